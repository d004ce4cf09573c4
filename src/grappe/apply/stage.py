"""A stage without a guard: scopes side by side, a scope's steps in order, each undone if one fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from grappe.apply import device, lease
from grappe.apply.events import StepBegins, StepDone, StepFailed, UndoBegins, UndoDone, UndoFailed
from grappe.apply.observe import UnreadableError
from grappe.apply.parallel import side_by_side
from grappe.apply.run import Run, Trouble, failure
from grappe.graph.plan import Stage, Step
from grappe.model.script import Command, Script
from grappe.transport.base import TransportError

QUIET = 60
"""Seconds that a step whose connection was lost may go on by itself before its undo is refused."""


def carry_out(run: Run, number: int, stage: Stage) -> Trouble | None:
    """Carry out a stage. On trouble the steps that ran are undone, latest first; None: all is done."""
    work = _Work(run, number, stage)
    side_by_side({scope: partial(work.scope, scope) for scope in stage.scopes})
    if work.failures:
        reason = "; ".join(f"{scope}: {why}" for scope, why in sorted(work.failures.items()))
        return Trouble(reason).worse(undo(run, number, stage, reversed(work.ran)))
    if run.interrupt.wanted and len(work.ran) < len(stage.steps):
        return Trouble(f"stopped after {len(work.ran)} of {len(stage.steps)} steps", interrupted=True)
    return None


class _Work:
    """What the threads of a stage share: steps that ran, in the order they began, and what failed."""

    def __init__(self, run: Run, number: int, stage: Stage) -> None:
        self.run, self.number, self.stage = run, number, stage
        self.ran: list[int] = []
        self.failures: dict[str, str] = {}
        self._halt = threading.Event()

    def scope(self, scope: str) -> None:
        """Take the steps of one scope until one fails anywhere or a stop is wanted."""
        for index, step in enumerate(self.stage.steps):
            if step.scope != scope:
                continue
            if self._halt.is_set() or self.run.interrupt.wanted:
                return
            reason = self._step(index, step)
            if reason:
                self.failures[scope] = reason
                self._halt.set()
                return

    def _step(self, index: int, step: Step) -> str:
        run, number, began = self.run, self.number, time.monotonic()
        names = tuple(str(c.key) for c in step.changes)
        if problem := run.record(StepBegins(number, index, step.scope, names)):
            return problem
        self.ran.append(index)
        try:
            reason = self._send(index, step)
            if not reason:
                until = time.monotonic() + run.options.settle
                missing = run.settled(step.scope, step.changes, until)
                reason = "; ".join(map(str, missing))
        except (TransportError, UnreadableError) as error:
            reason = getattr(error, "reason", str(error))
        if reason:
            run.record(StepFailed(number, index, step.scope, reason))
        else:
            seconds = round(time.monotonic() - began, 2)
            notes = run.notes(step.scope, step.changes)
            run.record(StepDone(number, index, step.scope, seconds, notes))
        return reason

    def _send(self, index: int, step: Step) -> str:
        run = self.run
        prelude = device.prelude(run.id, run.holder.id, self.number, index, step.undo)
        before: Script = (lease.renew(run.holder), *prelude)
        answers = run.way(step.scope).run(before + step.forward, timeout=run.options.step)
        if refused := failure(before, answers[: len(before)]):
            self.ran.remove(index)  # its undo did not get to the device, so nothing of it was begun
            return f"not begun: {refused}"
        return failure(step.forward, answers[len(before) :])


def undo(run: Run, number: int, stage: Stage, indices: Iterable[int]) -> Trouble | None:
    """Undo steps of a stage in the order given; each is proved by looking. None: all are as before."""
    trouble: Trouble | None = None
    lost: dict[str, str] = {}
    for index in indices:
        step = stage.steps[index]
        run.record(UndoBegins(number, index, step.scope))
        # A device that was called in vain is not called for each of its steps again, the others wait for it.
        reason = lost.get(step.scope, "")
        if not reason:
            reason = _undo_step(run, step, device.quiet(run.id, number, index, QUIET), lost)
        if not reason:
            run.record(UndoDone(number, index, step.scope))
            continue
        line = device.by_hand(run.id, number, index)
        run.record(UndoFailed(number, index, step.scope, reason, line))
        found = Trouble("", broken=(f"{step.scope}: {reason}",), by_hand=(f"{step.scope}: {line}",))
        trouble = found if trouble is None else trouble.worse(found)
    return trouble


def _undo_step(run: Run, step: Step, quiet: Command, lost: dict[str, str]) -> str:
    until = time.monotonic() + run.options.patience
    # A failed command must not keep the others from being undone: what counts is what is seen after.
    undo = () if step.irreversible else tuple(replace(command, check=False) for command in step.undo)
    changes = tuple(c.reverse() for c in reversed(step.changes))
    try:
        answers = run.reach(step.scope, (quiet, *undo), until, timeout=run.options.step)
        if not answers[0].ok:
            return answers[0].out.strip()
        missing = run.settled(step.scope, changes, time.monotonic() + run.options.settle)
    except TransportError as error:
        lost[step.scope] = error.reason
        return error.reason
    except UnreadableError as error:
        return str(error)
    if missing and step.irreversible:
        return f"it cannot be undone: {step.irreversible}"
    failed = (failure((c,), (a,)) for c, a in zip(step.undo, answers[1:], strict=False))
    return "; ".join([*map(str, missing), *filter(None, failed)]) if missing else ""
