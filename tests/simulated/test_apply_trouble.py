"""Rarer trouble while a plan runs: two devices under one guard, a step that goes on alone, no disk here."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from grappe.apply import guard_script
from grappe.apply import journal as journals
from grappe.apply.events import Armed, Committed, Disarmed, Event, RunEnds, StepBegins, StepDone
from grappe.apply.interrupt import Interrupt
from grappe.apply.journal import Journal
from grappe.apply.observe import Endpoint, observe
from grappe.apply.run import Options, Outcome
from grappe.apply.runner import Result, apply
from grappe.graph.change import Change
from grappe.graph.plan import Plan, Stage, Step
from grappe.graph.resource import Key, Resource, Value
from grappe.model.script import Answer, Script, command
from grappe.model.site import Site
from grappe.platforms.base import Platform
from grappe.transport.base import TransportError
from simulated.sim import PLATFORM, SITE, Rig, SimPart, SimTransport, resource

QUICK = Options(settle=0.3, patience=5.0, attempt=1.0)
BEFORE = {"d1": {"thing.y": "0", "wire.up": "a"}, "d2": {"thing.y": "0", "wire.up": "a"}}
BOTH = {"d1": {"thing.y": "0", "wire.up": "b"}, "d2": {"thing.y": "0", "wire.up": "b"}}


@pytest.fixture
def rig() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        it = Rig(Path(place), "d1", "d2")
        for device, state in BEFORE.items():
            for name, value in state.items():
                it[device].set(name, value)
        yield it


def run(rig: Rig, plan: Plan, interrupt: Interrupt | None = None, options: Options = QUICK) -> Result:
    with Journal(rig.place / "journal.jsonl") as journal:
        return apply(plan, SITE, rig.endpoints, journal, run_id="r", options=options, interrupt=interrupt)


def told(rig: Rig) -> list[Event | None]:
    return [entry.event for entry in journals.entries(rig.place / "journal.jsonl")]


def test_two_ends_of_a_cable_are_armed_together_committed_once_and_disarmed_in_order(rig: Rig) -> None:
    plan = rig.plan(BOTH, [("d1", "d2")])
    assert [(s.guarded, s.scopes) for s in plan.stages] == [(True, ("d1", "d2"))]
    assert run(rig, plan).ok
    assert rig.state() == BOTH
    events = [e for e in told(rig) if isinstance(e, Armed | StepBegins | StepDone | Committed | Disarmed)]
    kinds = [type(e).__name__ for e in events]
    assert kinds[:2] == ["Armed", "Armed"]
    assert set(kinds[2:6]) == {"StepBegins", "StepDone"}
    assert kinds[6:] == ["Committed", "Disarmed", "Disarmed"]
    assert [e.scope for e in events if isinstance(e, Disarmed)] == ["d1", "d2"]


def test_when_one_end_fails_both_go_back(rig: Rig) -> None:
    plan = rig.plan(BOTH, [("d1", "d2")])
    rig["d2"].set("wire.up", "b", "refuse")
    result = run(rig, plan)
    assert result.outcome is Outcome.UNDONE
    assert "refused: wire.up" in result.reason
    assert rig.state() == BEFORE


def test_when_one_guard_cannot_be_armed_nothing_is_changed(rig: Rig) -> None:
    plan = rig.plan(BOTH, [("d1", "d2")])
    (rig["d2"].place / "home" / "guard").write_text("in the way")
    result = run(rig, plan)
    assert result.outcome is Outcome.UNDONE
    assert result.reason.startswith("nothing was changed, for not every guard could be armed: d2: ")
    assert not any(isinstance(e, StepBegins) for e in told(rig))
    assert rig.state() == BEFORE
    assert rig["d1"].left() == []


def test_a_guard_that_fires_after_the_commit_takes_the_disarmed_end_back_too(rig: Rig) -> None:
    """The split: d1 is disarmed, then d2 cannot be reached until its own guard has fired."""
    plan = rig.plan(BOTH, [("d1", "d2")])
    fired = rig["d2"].place / "home" / "guard" / "r-0" / "fired"

    def silent(_number: int, script: Script) -> None:
        disarming = script == (guard_script.disarm("r-0"),)
        if disarming and not fired.exists():
            raise TransportError("d2", "no answer")

    rig["d2"].before = silent
    result = run(rig, plan, options=replace(QUICK, guard=8))
    assert result.outcome is Outcome.UNDONE
    assert result.reason == "committed, but not every guard could be disarmed (d2: fired)"
    assert rig.state() == BEFORE


def test_guards_on_a_device_are_listed_for_whoever_asks(rig: Rig) -> None:
    rig["d1"].set("wire.up", "b", "refuse")
    run(rig, rig.plan(BOTH))
    for name, expected in (("d1", {"r-0": "fired"}), ("d2", {})):
        (answer,) = rig.endpoints[name].transport.run((guard_script.listing(),))
        assert guard_script.listed(answer) == expected


@pytest.mark.parametrize("pause", [0.0, 0.3], ids=["before it began", "in its middle"])
def test_an_undo_waits_for_a_step_that_goes_on_without_its_line_or_forbids_it(rig: Rig, pause: float) -> None:
    rig["d1"].set("thing.y", "2", "slow")
    rig["d1"].lose = lambda script: any(c.stdin == "2" for c in script)
    rig["d1"].before = lambda _number, _script: time.sleep(pause if rig["d1"].alone else 0)
    result = run(rig, rig.plan({"d1": {"thing.y": "2", "wire.up": "a"}}))
    assert result.outcome is Outcome.UNDONE
    (alone,) = rig["d1"].alone
    assert alone.wait(10) == 0
    assert rig["d1"].state == BEFORE["d1"]


class Full(Journal):
    """A journal on a disk that is full from a certain kind of entry on."""

    kind: type[Event] = Event

    def append(self, event: Event) -> None:
        if isinstance(event, self.kind):
            raise OSError(28, "No space left on device")
        super().append(event)


@pytest.mark.parametrize("kind", [StepBegins, Armed.__mro__[1], Committed])
def test_what_cannot_be_journalled_is_not_begun(rig: Rig, kind: type[Event]) -> None:
    wanted = {"d1": {"thing.y": "2", "wire.up": "b"}}
    plan = rig.plan(wanted)
    with Full(rig.place / "journal.jsonl") as journal:
        journal.kind = kind
        result = apply(plan, SITE, rig.endpoints, journal, run_id="r", options=QUICK)
    assert result.outcome in (Outcome.UNDONE, Outcome.STOPPED)
    assert "journal.jsonl cannot be written: No space left on device" in result.reason
    assert rig["d1"].state == (BEFORE["d1"] if kind is not Committed else {"thing.y": "2", "wire.up": "a"})


def test_an_irreversible_step_that_failed_half_way_is_not_undone_but_named(rig: Rig) -> None:
    before, after = resource("d1", "thing.y", "0"), resource("d1", "thing.y", "2")
    change = Change(Key("d1", "thing", "y"), before, after)
    half = (*PLATFORM.realise([change]), command("false"))
    step = Step("d1", (change,), half, (), irreversible="the old contents are gone")
    result = run(rig, Plan("sim", "x", (Stage((step,)),)))
    assert result.outcome is Outcome.BROKEN
    assert result.broken == ("d1: it cannot be undone: the old contents are gone",)
    untouched = replace(step, forward=(command("false"),), changes=(Change(change.key, after, before),))
    assert run(rig, Plan("sim", "x", (Stage((untouched,)),))).outcome is Outcome.UNDONE


def test_a_second_ctrl_c_stops_at_once_and_says_so_in_the_journal(rig: Rig) -> None:
    rig["d1"].set("thing.y", "2", "slow")
    plan = rig.plan({"d1": {"thing.y": "2", "wire.up": "a"}})
    child = os.fork()
    if child == 0:
        interrupt = Interrupt()
        with interrupt.on_signals():
            try:
                run(rig, plan, interrupt=interrupt)
            except KeyboardInterrupt:
                os._exit(130)
        os._exit(0)
    wait_for_step(rig)
    began = time.monotonic()
    os.kill(child, signal.SIGINT)
    time.sleep(0.1)  # two signals that are pending together are one
    os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    assert time.monotonic() - began < 1.4
    assert told(rig)[-1] == RunEnds("abandoned", "stopped in the middle of a step by the operator")


def wait_for_step(rig: Rig) -> None:
    end = time.monotonic() + 10
    while not (rig["d1"].place / "home" / "running").exists():
        assert time.monotonic() < end, "the step did not begin"
        time.sleep(0.01)


def test_a_plan_without_an_endpoint_for_a_scope_is_not_begun(rig: Rig) -> None:
    plan = rig.plan(BOTH)
    del rig.endpoints["d2"]
    with pytest.raises(ValueError, match="no endpoint for d2, which the plan changes"):
        run(rig, plan)


def test_a_silent_and_a_failing_device_are_unknown_never_empty(rig: Rig) -> None:
    failing = Rig(rig.place, "failing")
    (failing["failing"].place / "state").rmdir()
    rig["d2"].set("wire.up", "cut")
    survey = observe(SITE, {**rig.endpoints, **failing.endpoints})
    assert set(survey.observations) == {"d1"}
    assert survey.unknown["d2"] == "no answer: its wire is cut"
    assert "failed with status 1: sh: 1: cd: can't cd to" in survey.unknown["failing"]
    assert set(survey.observations["d1"].resources) == {Key("d1", "thing", "y"), Key("d1", "wire", "up")}


def test_answers_that_make_no_sense_make_a_device_unknown(rig: Rig) -> None:
    class Odd(SimPart):
        def understand(
            self, _site: Site, _scope: str, _answers: Sequence[Answer]
        ) -> tuple[Iterable[Resource], Mapping[str, Value]]:
            return json.loads("{"), {}

    platform = Platform(Odd())
    survey = observe(SITE, {"d1": Endpoint(platform, SimTransport(rig["d1"]))})
    assert survey.unknown["d1"].startswith("its answers were not understood: JSONDecodeError: Expecting")
    assert observe(SITE, {}).observations == {}
