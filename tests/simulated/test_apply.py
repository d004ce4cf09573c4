"""Plans carried out on simulated devices: all goes well, something fails, somebody interferes."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from grappe.apply import journal as journals
from grappe.apply import lease
from grappe.apply.events import Event, GuardFired, StepBegins, StepDone, StepFailed, UndoFailed
from grappe.apply.interrupt import Interrupt
from grappe.apply.journal import Journal
from grappe.apply.run import Options, Outcome
from grappe.apply.runner import Result, apply
from grappe.graph.plan import Plan
from grappe.model.script import Script
from grappe.transport.base import TransportError
from simulated.sim import CUT, SITE, Rig

QUICK = Options(settle=0.3, patience=1.0, attempt=1.0)
BEFORE = {"d1": {"thing.old": "1", "wire.up": "a"}, "d2": {"thing.old": "1", "wire.up": "a"}}
AFTER = {
    "d1": {"first.x": "1", "thing.y": "2", "wire.up": "b"},
    "d2": {"first.x": "1", "thing.y": "2", "wire.up": "b"},
}


@pytest.fixture
def rig() -> Iterator[Rig]:
    # In memory: everything is flushed to the disk again and again.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        it = Rig(Path(place), "d1", "d2")
        for device, state in BEFORE.items():
            for name, value in state.items():
                it[device].set(name, value)
        yield it


def run(
    rig: Rig,
    plan: Plan,
    *,
    options: Options = QUICK,
    tell: Callable[[Event], None] = lambda _e: None,
    interrupt: Interrupt | None = None,
) -> Result:
    with Journal(rig.place / "journal.jsonl") as journal:
        return apply(
            plan, SITE, rig.endpoints, journal, run_id="r", options=options, tell=tell, interrupt=interrupt
        )


def told(rig: Rig) -> list[Event | None]:
    return [entry.event for entry in journals.entries(rig.place / "journal.jsonl")]


def test_a_plan_is_carried_out_and_nothing_is_left_to_do_or_left_behind(rig: Rig) -> None:
    plan = rig.plan(AFTER)
    assert [stage.guarded for stage in plan.stages] == [False, True, True, False]
    result = run(rig, plan)
    assert result == Result("r", Outcome.DONE, stages=4)
    assert rig.state() == AFTER
    assert rig.plan(AFTER).empty
    assert all(device.left() == [] for device in rig.devices.values())
    assert "stage 0 step 0 begins" in rig["d1"].journal()
    assert "guard r-1: disarmed" in rig["d1"].journal()


def test_every_step_is_in_the_journal_before_its_device_hears_of_it(rig: Rig) -> None:
    heard: list[tuple[str, int]] = []
    for device in rig.devices.values():
        device.before = lambda _n, script: heard.extend(
            (command.argv[4], len(told(rig))) for command in script if command.argv[-2:-1] == ("sim",)
        )
    run(rig, rig.plan(AFTER))
    announced = {
        change.split("/", 1)[1].replace("/", "."): number
        for number, event in enumerate(told(rig), start=1)
        if isinstance(event, StepBegins)
        for change in event.changes
    }
    assert {name for name, _ in heard} >= {"first.x", "thing.y"}
    assert all(at >= 1 for _, at in heard)
    assert set(announced) == {"first.x", "thing.y", "wire.up", "thing.old"}


def test_an_empty_plan_touches_nothing(rig: Rig) -> None:
    result = run(rig, rig.plan(BEFORE))
    assert result.ok
    assert all(len(device.calls) == 1 for device in rig.devices.values())  # the plan's own look


@pytest.mark.parametrize("name", ["first.x", "thing.y"])
@pytest.mark.parametrize("how", ["refuse", "lie"])
def test_a_failed_step_takes_its_stage_back(rig: Rig, name: str, how: str) -> None:
    plan = rig.plan(AFTER)
    rig["d2"].set(name, AFTER["d2"][name], how)
    result = run(rig, plan)
    assert (result.outcome, result.stages) == (Outcome.UNDONE, 0)
    key = f"d2/{name.replace('.', '/')}"
    expected = f"refused: {name}" if how == "refuse" else f"{key}: expected present, found absent"
    assert expected in result.reason
    assert rig.state() == BEFORE
    assert any(isinstance(event, StepFailed) and event.scope == "d2" for event in told(rig))
    rig["d2"].set(name, None, how)
    assert run(rig, rig.plan(AFTER)).ok


@pytest.mark.parametrize("how", ["refuse", "lie"])
def test_a_failed_guarded_step_takes_only_its_stage_back(rig: Rig, how: str) -> None:
    plan = rig.plan(AFTER)
    rig["d2"].set("wire.up", "b", how)
    result = run(rig, plan)
    assert (result.outcome, result.stages) == (Outcome.UNDONE, 2), result
    assert rig["d1"].state == {"first.x": "1", "thing.y": "2", "thing.old": "1", "wire.up": "b"}
    assert rig["d2"].state == {"first.x": "1", "thing.y": "2", "thing.old": "1", "wire.up": "a"}
    assert any(isinstance(event, GuardFired) and event.scope == "d2" for event in told(rig))


def test_with_undo_all_earlier_stages_go_back_too(rig: Rig) -> None:
    plan = rig.plan(AFTER)
    rig["d2"].set("wire.up", "b", "refuse")
    result = run(rig, plan, options=Options(settle=0.3, patience=1, attempt=1, undo_all=True))
    assert (result.outcome, result.stages) == (Outcome.UNDONE, 0)
    assert rig.state() == BEFORE


def test_a_device_that_cuts_itself_off_comes_back_by_itself(rig: Rig) -> None:
    plan = rig.plan({**AFTER, "d1": {**AFTER["d1"], "wire.up": CUT}})
    result = run(rig, plan, options=replace(QUICK, guard=5))
    assert (result.outcome, result.stages) == (Outcome.UNDONE, 1)
    assert "it cannot be reached any more" in result.reason
    assert rig["d1"].state["wire.up"] == "a"
    assert "guard r-1: fires: nobody came back in time" in rig["d1"].journal()


def test_a_probe_that_fails_takes_the_stage_back(rig: Rig) -> None:
    probes = (lambda: "", lambda: "the gateway does not answer")
    result = run(rig, rig.plan(AFTER), options=Options(settle=0.3, attempt=1, probes=probes))
    assert (result.outcome, result.stages) == (Outcome.UNDONE, 1)
    assert result.reason == "the gateway does not answer"
    assert rig["d1"].state["wire.up"] == "a"


def test_a_probe_may_need_a_moment(rig: Rig) -> None:
    answers = ["not yet", "not yet", "", "", ""]
    probes = (lambda: answers.pop(0),)
    assert run(rig, rig.plan(AFTER), options=Options(settle=0.3, attempt=1, probes=probes)).ok


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("thing.old", "2", "d1/thing/old value: was 1, now 2"),
        ("thing.old", None, "d1/thing/old: was present, now absent"),
        ("first.x", "9", "d1/first/x: was absent, now present"),
        ("wire.up", "c", "d1/wire/up value: was a, now c"),
    ],
)
def test_what_changed_since_the_plan_stops_it_before_anything_is_touched(
    rig: Rig, name: str, value: str | None, words: str
) -> None:
    plan = rig.plan(AFTER)
    rig["d1"].set(name, value)
    state = rig.state()
    result = run(rig, plan)
    assert result.outcome is Outcome.STOPPED
    assert result.reason == f"changed since the plan: {words}"
    assert rig.state() == state
    assert not any(isinstance(event, StepBegins) for event in told(rig))


def test_what_changes_between_two_stages_stops_the_later_one(rig: Rig) -> None:
    plan = rig.plan(AFTER)

    def meddle(event: Event) -> None:
        if isinstance(event, StepDone) and event.stage == 1:
            rig["d2"].set("wire.up", "z")

    result = run(rig, plan, tell=meddle)
    assert (result.outcome, result.stages) == (Outcome.STOPPED, 2)
    assert result.reason == "changed since the plan: d2/wire/up value: was a, now z"


def test_a_device_that_does_not_answer_stops_the_plan_before_anything_is_touched(rig: Rig) -> None:
    plan = rig.plan(AFTER)
    rig["d2"].set("wire.other", CUT)
    result = run(rig, plan)
    assert result.outcome is Outcome.STOPPED
    assert "d2: no answer: its wire is cut" in result.reason
    assert rig["d1"].state == BEFORE["d1"]
    assert rig["d1"].left() == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_line_that_breaks_at_any_call_ends_in_a_known_state(rig: Rig, moment: str) -> None:
    calls = 0

    def count(_number: int, _script: Script) -> None:
        nonlocal calls
        calls += 1
        if calls == broken:
            raise TransportError("d1", "the line broke")

    broken = -1
    setattr(rig["d1"], moment, count)
    wanted = {"d1": {"thing.y": "2", "wire.up": "b"}}
    assert run(rig, rig.plan(wanted)).ok
    total, outcomes = calls, []
    for number in range(2, total + 1):  # the first is the plan's own look
        for name in ("thing.y", "thing.old", "wire.up"):
            rig["d1"].set(name, BEFORE["d1"].get(name))
        calls, broken = 0, number
        result = run(rig, rig.plan(wanted))
        outcomes.append(result.outcome)
        assert result.outcome is not Outcome.BROKEN, result
        state = {0: BEFORE["d1"], 1: {**BEFORE["d1"], "thing.y": "2"}, 3: wanted["d1"]}
        assert rig["d1"].state == state.get(result.stages, {**wanted["d1"], "thing.old": "1"}), number
        broken = -1
        assert run(rig, rig.plan(wanted)).ok
        assert rig["d1"].state == wanted["d1"]
    assert set(outcomes) == {Outcome.DONE, Outcome.UNDONE, Outcome.STOPPED}


def test_a_device_that_is_lost_for_good_is_said_with_the_line_for_its_console(rig: Rig) -> None:
    plan = rig.plan(AFTER)

    def lose(_number: int, script: Script) -> None:
        if any(command.argv[-1] == "thing.y" for command in script):
            rig["d1"].set("wire.other", CUT)

    rig["d1"].after = lose
    result = run(rig, plan)
    assert result.outcome is Outcome.BROKEN
    assert result.by_hand == ("d1: sh /var/lib/grappe/undo/r/0-1", "d1: sh /var/lib/grappe/undo/r/0-0")
    assert any(isinstance(event, UndoFailed) for event in told(rig))
    assert rig["d2"].state == BEFORE["d2"]
    # A person at the console types the lines: they work, and twice is harmless.
    rig["d1"].set("wire.other", None)
    for _ in range(2):
        for line in result.by_hand:
            from_console(rig, line.removeprefix("d1: sh "))
    assert rig["d1"].state == BEFORE["d1"]


def test_a_lost_device_is_called_once_not_for_each_of_its_steps(rig: Rig) -> None:
    plan = rig.plan(AFTER)

    def lose(_number: int, script: Script) -> None:
        if any(command.argv[-1] == "thing.y" for command in script):
            rig["d1"].set("wire.other", CUT)

    rig["d1"].after = lose
    result = run(rig, plan)
    failed = [event.step for event in told(rig) if isinstance(event, UndoFailed)]
    assert len(failed) == 2
    assert result.outcome is Outcome.BROKEN
    assert rig["d2"].state == BEFORE["d2"]
    times = [e.at for e in journals.entries(rig.place / "journal.jsonl") if isinstance(e.event, UndoFailed)]
    assert times[1] - times[0] < QUICK.patience / 2


def from_console(rig: Rig, path: str) -> None:
    subprocess.run(["sh", rig["d1"].own(path)], check=True)


def test_a_full_disk_stops_the_plan_before_anything_is_touched(rig: Rig) -> None:
    plan = rig.plan(AFTER)
    (rig["d1"].place / "home").rmdir()
    (rig["d1"].place / "home").write_text("a file, so that no directory can be made here")
    result = run(rig, plan)
    assert result.outcome is Outcome.STOPPED
    assert "d1: its lease cannot be taken" in result.reason
    assert rig.state() == BEFORE


def test_an_undo_that_cannot_be_stored_keeps_its_step_from_beginning(rig: Rig) -> None:
    plan = rig.plan(AFTER)
    (rig["d1"].place / "home" / "undo").write_text("in the way")
    result = run(rig, plan)
    assert result.outcome is Outcome.UNDONE
    assert "d1: not begun: " in result.reason
    assert rig.state() == BEFORE


def test_a_first_ctrl_c_ends_after_the_running_steps(rig: Rig) -> None:
    interrupt = Interrupt()

    def press(event: Event) -> None:
        if isinstance(event, StepBegins) and event.stage == 0:
            interrupt.want()

    result = run(rig, rig.plan(AFTER), tell=press, interrupt=interrupt)
    assert result.outcome is Outcome.INTERRUPTED
    done = [e for e in told(rig) if isinstance(e, StepDone)]
    begun = [e for e in told(rig) if isinstance(e, StepBegins)]
    assert len(done) == len(begun) >= 1
    assert all(device.left() == [] for device in rig.devices.values())
    assert run(rig, rig.plan(AFTER)).ok
    assert rig.state() == AFTER


def test_ctrl_c_under_a_guard_takes_the_stage_back(rig: Rig) -> None:
    interrupt = Interrupt()

    def press(event: Event) -> None:
        if isinstance(event, StepBegins) and event.stage == 1:
            interrupt.want()

    result = run(rig, rig.plan(AFTER), tell=press, interrupt=interrupt)
    assert (result.outcome, result.stages) == (Outcome.INTERRUPTED, 1)
    assert rig["d1"].state["wire.up"] == "a"
    assert "fires: stopped by the operator" in rig["d1"].journal()


def test_two_operators_at_once_the_second_is_told_who_and_until_when(rig: Rig) -> None:
    plan = rig.plan(AFTER)
    other = lease.Holder("0123.1.1", "ana@console pid 7")
    transport = rig.endpoints["d2"].transport
    transport.run((lease.take(other),))
    result = run(rig, plan)
    assert result.outcome is Outcome.STOPPED
    assert result.reason.startswith("d2: held by ana@console pid 7 until ")
    assert rig.state() == BEFORE
    assert rig["d1"].left() == []
    transport.run((lease.release(other),))
    assert run(rig, rig.plan(AFTER)).ok


def test_scopes_run_side_by_side(rig: Rig) -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meet(_number: int, script: Script) -> None:
        if any(command.argv[-1] == "first.x" for command in script):
            meeting.wait()

    for device in rig.devices.values():
        device.before = meet
    plan = rig.plan({n: {**BEFORE[n], "first.x": "1"} for n in BEFORE})
    assert run(rig, plan).ok
    assert not meeting.broken


def test_each_device_is_archived_before_the_first_touch(rig: Rig) -> None:
    options = Options(settle=0.3, archive=rig.place / "archive")
    assert run(rig, rig.plan(AFTER), options=options).ok
    assert sorted(p.name for p in (rig.place / "archive").iterdir()) == ["r-d1.tar", "r-d2.tar"]
    assert (rig["d1"].place / "home/archive/r/RESTORE").read_text().startswith("# How this device was at r.")


def test_a_journal_is_readable(rig: Rig) -> None:
    run(rig, rig.plan(AFTER))
    text = journals.render(journals.entries(rig.place / "journal.jsonl"))
    assert "run begins: run r, " in text
    assert "step begins: stage 0, step 0, scope d" in text
    assert text.splitlines()[-1].endswith("run ends: outcome done")
    assert time.strftime("%Y-", time.gmtime()) in text
