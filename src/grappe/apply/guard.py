"""A stage that touches the way to its devices: each device holds a dead-man's timer while it runs.

Arm all, change all, come back over new connections, prove, commit, disarm in the order of the names. Until
the commit each device puts itself back when nobody comes back in time, whatever has become of us.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from grappe.apply import guard_script as script
from grappe.apply import lease
from grappe.apply.events import (
    Armed,
    Arming,
    Committed,
    Disarmed,
    GuardFired,
    StepBegins,
    StepDone,
    StepFailed,
    UndoBegins,
    UndoDone,
    UndoFailed,
)
from grappe.apply.guard_script import GuardState
from grappe.apply.observe import UnreadableError
from grappe.apply.parallel import side_by_side
from grappe.apply.run import Run, Trouble, back, failure
from grappe.graph.plan import Stage, Step
from grappe.model.script import Command, Script, command
from grappe.model.shell import parse_round_trip
from grappe.transport.base import Transport, TransportError

GRACE = 45.0
"""Seconds after the deadline in which a device must have put itself back and answer again."""

ARMING = 180.0
"""Seconds that storing and arming may take: systemd reads all its units anew for it."""

ENDED = ("fired", "failed", "disarmed", "unarmed", "lost")


def carry_out(run: Run, number: int, stage: Stage) -> Trouble | None:
    """Carry out a guarded stage; None: done, proved and disarmed. On trouble the devices undo it."""
    try:
        return _Guarded(run, number, stage).carry_out()
    finally:
        for scope in stage.scopes:
            run.hang_up(scope)


def settle(run: Run, number: int, stage: Stage, *, keep: bool) -> Trouble | None:
    """End a guarded stage that an earlier process left behind: keep what was committed, or take it back."""
    guarded = _Guarded(run, number, stage)
    return guarded.disarm() if keep else guarded.take_back("aborted", {})


class _Guarded:
    """One guarded stage under way."""

    def __init__(self, run: Run, number: int, stage: Stage) -> None:
        self.run, self.number, self.stage = run, number, stage
        self.name = script.name(run.id, number)
        self.seconds = run.options.guard or run.site.guard.timeout
        # The device counts whole seconds, so its deadline may come up to one second early.
        self.deadlines = dict.fromkeys(stage.scopes, time.monotonic() + self.seconds - 1)

    @property
    def deadline(self) -> float:
        """When, at the earliest, the first device acts by itself."""
        return min(self.deadlines.values())

    @property
    def commit_by(self) -> float:
        """When it is too late to commit: disarming takes a new connection to each device, one by one."""
        needed = sum(2 * self.run.pace.get(scope, 0.5) for scope in self.stage.scopes)
        return self.deadline - min(0.5 * self.seconds, 1 + needed)

    def carry_out(self) -> Trouble | None:
        """From arming to disarming."""
        reasons = self._each(self._arm) or self._each(self._still_armed)
        if reasons:
            self._each(self._stand_down)
            return Trouble(f"nothing was changed, for not every guard could be armed: {reasons}")
        reasons = self._each(self._steps) or self._probe()
        if not reasons and self.run.interrupt.wanted:
            reasons = "stopped by the operator"
        if not reasons and time.monotonic() >= self.commit_by:
            reasons = f"not proved within the {self.seconds} s of the guard"
        reasons = reasons or self.run.record(Committed(self.number))
        return self.take_back(reasons, {}) if reasons else self.disarm()

    def _each(self, job: Callable[[str], str]) -> str:
        """Run a job for every scope side by side; returns what went wrong, empty when nothing did."""
        results = side_by_side({scope: partial(job, scope) for scope in self.stage.scopes})
        return "; ".join(f"{scope}: {why}" for scope, why in sorted(results.items()) if why)

    def _arm(self, scope: str) -> str:
        run, steps = self.run, self.stage.of(scope)
        undo = tuple(c for step in reversed(steps) for c in step.undo)
        if problem := run.record(Arming(self.number, scope, self.name)):
            return problem
        words = (
            lease.renew(run.holder),
            *script.arm(self.name, undo, [step.forward for step in steps], self.seconds),
        )
        try:
            seconds, how = script.armed(words, run.way(scope).run(words, timeout=ARMING))
        except TransportError as error:
            return error.reason
        except ValueError as error:
            return str(error)
        run.record(Armed(self.number, scope, self.name, seconds, how))
        return ""

    def _still_armed(self, scope: str) -> str:
        """Ask over a new connection, before anything is touched: it also tells how much time is left."""
        try:
            state = self._ask(scope, script.poll(self.name), self.deadlines[scope])
        except TransportError as error:
            return f"no new connection can be made: {error.reason}"
        except ValueError as error:
            return str(error)
        return "" if state.state == "armed" else f"its guard is {state.state}: {state.reason}"

    def _stand_down(self, scope: str) -> str:
        try:
            self._ask(scope, script.disarm(self.name), time.monotonic() + 5)
        except (TransportError, ValueError):
            return "unreachable"  # it fires, which puts back what was not changed: harmless
        return ""

    def _ask(self, scope: str, question: Command, until: float) -> GuardState:
        """Ask over new connections until `until`. Raises TransportError, or ValueError for no answer."""
        (answer,) = self.run.reach(scope, (question,), until, timeout=self.run.options.attempt)
        state = script.understand(answer)
        if state.state == "armed":
            # It was asked after the question left, so it cannot be earlier than this.
            asked = time.monotonic() - self.run.pace[scope]
            self.deadlines[scope] = max(self.deadlines[scope], asked + state.left - 1)
        return state

    def _steps(self, scope: str) -> str:
        for position, step in enumerate(self.stage.of(scope)):
            reason = self._step(position, step)
            if reason:
                return reason
        return ""

    def _step(self, position: int, step: Step) -> str:
        run, number = self.run, self.number
        index, began = self.stage.steps.index(step), time.monotonic()
        names = tuple(str(c.key) for c in step.changes)
        if problem := run.record(StepBegins(number, index, step.scope, names)):
            return problem
        try:
            reason = self._run_detached(position, step) or self._proved(step)
        except (TransportError, UnreadableError) as error:
            reason = "it cannot be reached any more: " + getattr(error, "reason", str(error))
        except ValueError as error:
            reason = str(error)
        if reason:
            run.record(StepFailed(number, index, step.scope, reason))
        else:
            seconds, notes = round(time.monotonic() - began, 2), run.notes(step.scope, step.changes)
            run.record(StepDone(number, index, step.scope, seconds, notes))
        return reason

    def _run_detached(self, position: int, step: Step) -> str:
        start = script.start(self.name, position)
        (answer,) = self.run.reach(step.scope, (start,), self.commit_by, timeout=self.run.options.attempt)
        if not answer.ok:
            return answer.err.strip() or f"status {answer.status}"
        while time.monotonic() < self.commit_by:
            state = self._ask(step.scope, script.poll(self.name, position), self.commit_by)
            if state.state != "armed":
                return f"its guard is {state.state}: {state.reason}"
            if state.output is not None:
                data = state.output.encode("utf-8", "surrogateescape")
                return failure(step.forward, parse_round_trip(data))
            time.sleep(0.2)
        return "the step did not end in time"

    def _proved(self, step: Step) -> str:
        """Look over new connections, to where the device shall be from now on."""
        while True:
            for moves, way in self._arrivals(step.scope):
                try:
                    until = min(self.commit_by, time.monotonic() + self.run.options.settle)
                    missing = self.run.settled(step.scope, step.changes, until, way)
                except TransportError:
                    if time.monotonic() >= self.commit_by:
                        raise
                    continue
                (self.run.moved.add if moves else self.run.moved.discard)(step.scope)
                return "; ".join(map(str, missing))

    def _arrivals(self, scope: str) -> Iterator[tuple[bool, Transport]]:
        """Yield the ways that count as a proof, and whether they are new ones.

        The plan's last guarded stage of a scope must lead to its desired address; stages before may still
        keep the present one.
        """
        endpoint = self.run.endpoints[scope]
        last = not any(s.guarded and scope in s.scopes for s in self.run.plan.stages[self.number + 1 :])
        if endpoint.arrival is not None:
            yield True, endpoint.arrival.fresh()
        if endpoint.arrival is None or not last:
            yield False, endpoint.transport.fresh()

    def _probe(self) -> str:
        """Try every probe until it succeeds or time is up."""
        for probe in self.run.options.probes:
            while reason := probe():
                if time.monotonic() >= self.commit_by or self.run.interrupt.wanted:
                    return reason
                time.sleep(0.2)
        return ""

    def disarm(self) -> Trouble | None:
        """Disarm in the order of the names. A device that had fired already takes the others back with it."""
        ends: dict[str, str] = {}
        for scope in self.stage.scopes:
            try:
                state = self._ask(scope, script.disarm(self.name), self.deadline + GRACE)
            except (TransportError, ValueError) as error:
                ends[scope] = getattr(error, "reason", str(error))
                continue
            ends[scope] = state.state
            if state.state == "disarmed":
                self.run.record(Disarmed(self.number, scope))
        split = {scope: end for scope, end in ends.items() if end != "disarmed"}
        if not split:
            return None
        words = "; ".join(f"{scope}: {end}" for scope, end in split.items())
        return self.take_back(f"committed, but not every guard could be disarmed ({words})", ends)

    def take_back(self, reason: str, ends: dict[str, str]) -> Trouble:
        """Have every device undo the stage, wait for it, and look. `ends`: guards known to be over."""
        self.run.moved -= set(self.stage.scopes)
        because = reason if len(reason) < 300 else reason[:300] + "…"
        results = side_by_side(
            {scope: partial(self._scope_back, scope, because) for scope in self.stage.scopes}
        )
        bad = {scope: why for scope, why in sorted(results.items()) if why}
        line = script.by_hand(self.name)
        return Trouble(
            reason,
            interrupted=self.run.interrupt.wanted and not ends,
            broken=tuple(f"{scope}: {why}" for scope, why in bad.items()),
            by_hand=tuple(f"{scope}: {line}" for scope in bad),
        )

    def _scope_back(self, scope: str, because: str) -> str:
        run, indices = self.run, [i for i, s in enumerate(self.stage.steps) if s.scope == scope]
        for index in indices:
            run.record(UndoBegins(self.number, index, scope))
        reason = self._fire_and_look(scope, because)
        for index in indices:
            if reason:
                line = script.by_hand(self.name)
                run.record(UndoFailed(self.number, index, scope, reason, line))
            else:
                run.record(UndoDone(self.number, index, scope))
        return reason

    def _fire_and_look(self, scope: str, because: str) -> str:
        until = max(time.monotonic(), self.deadline) + GRACE
        try:
            state = self._ended(scope, because, until)
            if state.state in ("disarmed", "lost"):
                self._undo_again(scope, until)
            else:
                self.run.record(GuardFired(self.number, scope, state.reason or because))
            missing = self._look_back(scope, until)
        except (TransportError, UnreadableError) as error:
            reason = getattr(error, "reason", str(error))
            return f"it has not come back {GRACE:g} s after its guard's deadline: {reason}"
        except ValueError as error:
            return str(error)
        failed = "its undo script reported a failure; " if state.state == "failed" else ""
        return failed + "; ".join(map(str, missing)) if missing else ""

    def _ended(self, scope: str, because: str, until: float) -> GuardState:
        """Tell the guard to fire and wait until it has; raises TransportError when it stays away."""
        state = self._ask(scope, script.fire(self.name, because), until)
        while state.state not in ENDED:
            if time.monotonic() >= until:
                raise ValueError(f"its guard is still {state.state}")
            time.sleep(0.2)
            state = self._ask(scope, script.poll(self.name), until)
        return state

    def _undo_again(self, scope: str, until: float) -> None:
        """Undo without a guard: it was disarmed already, or never got to the device."""
        undo: Script = tuple(
            command(*c.argv, stdin=c.stdin, check=False)
            for step in reversed(self.stage.of(scope))
            for c in step.undo
        )
        self.run.reach(scope, undo, until, timeout=self.run.options.step)

    def _look_back(self, scope: str, until: float) -> Iterable[object]:
        """Look over the way that the device had before."""
        changes, settle = back(self.stage, scope), self.run.options.settle
        while True:
            moment = min(until, time.monotonic() + settle)
            try:
                way = self.run.endpoints[scope].transport.fresh()
                return self.run.settled(scope, changes, moment, way)
            except TransportError:
                if time.monotonic() >= until:
                    raise
