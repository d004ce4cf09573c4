"""kill -9 around every journal entry, then abort, or settle and plan again: there or back, never between."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from grappe.apply import recover
from grappe.apply.events import Event, RunBegins
from grappe.apply.journal import Journal, entries
from grappe.apply.lease import Holder, myself
from grappe.apply.run import Options, Outcome
from grappe.apply.runner import apply
from simulated.sim import SITE, Rig

QUICK = Options(settle=0.3, patience=5.0, attempt=2.0)
BEFORE = {"d1": {"thing.old": "1", "thing.y": "0", "wire.up": "a"}, "d2": {"wire.up": "a"}}
AFTER = {"d1": {"first.x": "1", "thing.y": "2", "wire.up": "b"}, "d2": {"thing.y": "2", "wire.up": "b"}}


class Fatal(Journal):
    """A journal whose process is killed around its n-th entry: before it, in the middle of it, or after."""

    def __init__(self, path: Path, number: int, how: str) -> None:
        super().__init__(path)
        self.left, self.how = number, how

    def append(self, event: Event) -> None:
        self.left -= 1
        if self.left == 0 and self.how != "after":
            if self.how == "torn":
                os.write(self._file, b'{"at":1763712000.0,"event":"step-')
            os.kill(os.getpid(), signal.SIGKILL)
        super().append(event)
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        it = Rig(Path(place), "d1", "d2")
        for device, state in BEFORE.items():
            for name, value in state.items():
                it[device].set(name, value)
        yield it


def killed_run(rig: Rig, number: int, how: str) -> Path:
    """Apply in a process of its own that is killed around journal entry `number`."""
    path, plan = rig.place / "journal.jsonl", rig.plan(AFTER)
    child = os.fork()
    if child == 0:
        try:
            with Fatal(path, number, how) as journal:
                apply(plan, SITE, rig.endpoints, journal, run_id="r", options=QUICK)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the run was over before it was killed"
    return path


def stages_done(found: recover.Past) -> int:
    return 0 if found.stage is None else found.stage + int(found.stage_done)


ENTRIES = 32
"""Entries of the whole journal; the test below would fail for more or fewer."""


def test_the_number_of_entries_is_what_these_tests_count_on(rig: Rig) -> None:
    path = rig.place / "journal.jsonl"
    with Journal(path) as journal:
        assert apply(rig.plan(AFTER), SITE, rig.endpoints, journal, options=QUICK).ok
    assert len(entries(path)) == ENTRIES


@pytest.mark.parametrize("number", range(1, ENTRIES))
def test_settled_and_planned_again_a_killed_run_arrives(rig: Rig, number: int) -> None:
    path = killed_run(rig, number, ("after", "torn", "before")[number % 3])
    found = recover.past(path)
    if found is not None:
        assert found.killed
        assert recover.unfinished(rig.place) == ((path, found),)
        result = recover.settle(path, SITE, rig.endpoints, options=QUICK)
        assert result.outcome is Outcome.DONE, result
        assert recover.unfinished(rig.place) == ()
    with Journal(rig.place / "again.jsonl") as journal:
        assert apply(rig.plan(AFTER), SITE, rig.endpoints, journal, options=QUICK).ok
    assert rig.state() == AFTER
    assert rig.plan(AFTER).empty
    assert all(not (device.place / "home" / "lease").exists() for device in rig.devices.values())


@pytest.mark.parametrize("number", range(1, ENTRIES))
def test_aborted_a_killed_run_is_at_the_beginning_of_a_stage(rig: Rig, number: int) -> None:
    states = states_between_stages(rig)
    path = killed_run(rig, number, ("torn", "before", "after")[number % 3])
    found = recover.past(path)
    if found is None:
        assert rig.state() == states[0]
        return
    for _ in range(2):
        result = recover.abort(path, SITE, rig.endpoints, options=QUICK)
        assert result.outcome is Outcome.UNDONE, result
        assert rig.state() == states[stages_done(found)]
    assert recover.unfinished(rig.place) == ()


def states_between_stages(rig: Rig) -> list[dict[str, dict[str, str]]]:
    """What the devices hold before each stage, and at the end, as the plan has it."""
    now = rig.state()
    states = [now]
    for stage in rig.plan(AFTER).stages:
        now = {scope: dict(held) for scope, held in now.items()}
        for step in stage.steps:
            for change in step.changes:
                name = f"{change.key.kind}.{change.key.name}"
                if change.after is None:
                    del now[change.key.scope][name]
                else:
                    now[change.key.scope][name] = str(change.after.running["value"])
        states.append(now)
    return states


def test_a_run_that_goes_on_is_neither_settled_nor_aborted(rig: Rig) -> None:
    path = killed_run(rig, 10, "after")
    first = entries(path)[0].event
    assert isinstance(first, RunBegins)
    me: Holder = myself()
    lines = path.read_text().replace(first.holder_id, me.id).replace(first.holder, me.who)
    path.write_text(lines)
    for end in (recover.settle, recover.abort):
        with pytest.raises(ValueError, match=f"belongs to a run that goes on: {me.who}"):
            end(path, SITE, rig.endpoints)
    assert recover.unfinished(rig.place) == ()


def test_what_was_cut_off_is_said_in_words(rig: Rig) -> None:
    path = killed_run(rig, ENTRIES - 2, "after")
    found = recover.past(path)
    assert found is not None
    assert found.words() == "in stage 4 of 4, with 1 step begun"
