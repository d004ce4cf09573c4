"""Carry out a plan as it stands: look, change, look again, and stop at the first difference.

The runner decides nothing. It takes the leases, archives each device, runs stage after stage, and leaves
behind either what was planned or what was there before, and a journal that says which.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from grappe.apply import archive, compare, device, guard, lease, stage
from grappe.apply.events import Archived, Event, Leased, RunBegins, RunEnds, StageBegins, StageEnds
from grappe.apply.interrupt import Interrupt
from grappe.apply.journal import Journal
from grappe.apply.lease import Held
from grappe.apply.observe import Endpoint, UnreadableError
from grappe.apply.parallel import side_by_side
from grappe.apply.run import Options, Outcome, Run, Trouble
from grappe.graph.change import Change
from grappe.graph.plan import Plan
from grappe.graph.plan_json import to_json
from grappe.graph.resource import Key
from grappe.model.script import Command, Script
from grappe.model.site import Site
from grappe.transport.base import TransportError


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended.

    `stages` of the plan are done and stay. `broken`: what could not be put back, `by_hand`: the lines to
    type at the consoles for that. `left`: housekeeping that did not work (a lease that will expire).
    """

    run: str
    outcome: Outcome
    reason: str = ""
    stages: int = 0
    broken: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all that was planned is done."""
        return self.outcome is Outcome.DONE


def new_id() -> str:
    """Return a name for a run: the time (UTC), for sorting, and four random digits."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def apply(
    plan: Plan,
    site: Site,
    endpoints: Mapping[str, Endpoint],
    journal: Journal,
    *,
    run_id: str | None = None,
    options: Options | None = None,
    tell: Callable[[Event], None] = lambda _event: None,
    interrupt: Interrupt | None = None,
) -> Result:
    """Carry out a plan; `tell` is called with every event, from any thread, one at a time.

    Needs an endpoint for every scope of the plan (ValueError). A second Ctrl-C comes out as
    KeyboardInterrupt, with the journal closed as abandoned.
    """
    scopes = sorted({scope for stage in plan.stages for scope in stage.scopes})
    if missing := [scope for scope in scopes if scope not in endpoints]:
        raise ValueError(f"no endpoint for {', '.join(missing)}, which the plan changes")
    run = Run(
        run_id or new_id(),
        plan,
        site,
        {scope: endpoints[scope] for scope in scopes},
        journal,
        lease.myself(),
        options or Options(),
        tell,
        interrupt or Interrupt(),
    )
    return start(run)


def start(run: Run) -> Result:
    """Carry out a prepared run."""
    if problem := run.record(RunBegins(run.id, run.holder.who, run.holder.id, to_json(run.plan))):
        return Result(run.id, Outcome.STOPPED, problem)
    try:
        return _carry_out(run)
    except KeyboardInterrupt:
        run.record(RunEnds("abandoned", "stopped in the middle of a step by the operator"))
        raise


def _carry_out(run: Run) -> Result:
    if reason := prepare(run):
        return end(run, Outcome.STOPPED, reason, 0)
    for number in range(len(run.plan.stages)):
        if run.interrupt.wanted:
            return end(run, Outcome.INTERRUPTED, f"stopped before stage {number + 1}", number)
        it = run.plan.stages[number]
        if reason := look_first(run, number) or run.record(StageBegins(number, it.guarded, it.scopes)):
            return end(run, Outcome.STOPPED, reason, number)
        if trouble := _stage(run, number):
            return _undone(run, number, trouble)
    return end(run, Outcome.DONE, "", len(run.plan.stages))


def _stage(run: Run, number: int) -> Trouble | None:
    it = run.plan.stages[number]
    carry_out = guard.carry_out if it.guarded else stage.carry_out
    trouble = carry_out(run, number, it)
    if trouble is None:
        run.record(StageEnds(number))
    return trouble


def _undone(run: Run, number: int, trouble: Trouble) -> Result:
    """End a run in trouble; with `undo_all`, earlier stages are taken back first."""
    done = number
    if run.options.undo_all and not trouble.broken and not trouble.interrupted:
        while done and not trouble.broken:
            done -= 1
            it = run.plan.stages[done]
            trouble = trouble.worse(stage.undo(run, done, it, reversed(range(len(it.steps)))))
    return end(run, trouble.outcome, trouble.reason, done, trouble)


def end(run: Run, outcome: Outcome, reason: str, stages: int, trouble: Trouble | None = None) -> Result:
    """Tidy the devices up, unless something there may still be needed, and close the journal."""
    forget = () if outcome is Outcome.BROKEN else (device.forget(run.id),)
    # The lease first: a step that was lost on its way and arrives now must find that its run is over.
    tidy = (lease.release(run.holder), *forget)
    results = side_by_side({scope: partial(_tidy, run, scope, tidy) for scope in run.endpoints})
    left = tuple(f"{scope}: {why}" for scope, why in sorted(results.items()) if why)
    run.record(RunEnds(outcome.value, reason))
    broken, by_hand = (trouble.broken, trouble.by_hand) if trouble else ((), ())
    return Result(run.id, outcome, reason, stages, broken, by_hand, left)


def _tidy(run: Run, scope: str, tidy: Script) -> str:
    try:
        run.way(scope).run(tidy)
    except TransportError as error:
        return f"its lease stays for up to {lease.SECONDS} s: {error.reason}"
    return ""


def prepare(run: Run, *, archived: bool = True) -> str:
    """Take the lease of every scope, then archive it; returns why not, empty when all is ready."""
    reasons = side_by_side({scope: partial(_lease, run, scope) for scope in run.endpoints})
    if archived and not any(reasons.values()):
        reasons = side_by_side({scope: partial(_archive, run, scope) for scope in run.endpoints})
    return "; ".join(f"{scope}: {why}" for scope, why in sorted(reasons.items()) if why)


def _lease(run: Run, scope: str) -> str:
    try:
        got = _take(run, scope, lease.take(run.holder))
        if isinstance(got, Held) and lease.is_here(got.holder) and not lease.is_alive(got.holder):
            got = _take(run, scope, lease.take(run.holder, instead_of=got.holder))
    except TransportError as error:
        return error.reason
    except ValueError as error:
        return f"its lease cannot be taken: {error}"
    if isinstance(got, Held):
        return f"{got}: wait, or end that run"
    run.record(Leased(scope, got))
    return ""


def _take(run: Run, scope: str, question: Command) -> int | Held:
    (answer,) = run.way(scope).run((question,))
    return lease.taken(answer)


def _archive(run: Run, scope: str) -> str:
    directory = run.options.archive
    if directory is None:
        return ""
    try:
        (answer,) = run.way(scope).run((archive.save(run.id),))
        here = archive.keep_here(directory, scope, run.id, answer)
    except TransportError as error:
        return error.reason
    except (ValueError, OSError) as error:
        return f"its configuration cannot be archived: {error}"
    run.record(Archived(scope, archive.there(run.id), str(here)))
    return ""


def look_first(run: Run, number: int) -> str:
    """Look whether the scopes are still as the plan expects; returns what is not.

    Before the first stage every scope of the plan is looked at, later those of the stage.
    """
    scopes = run.plan.stages[number].scopes if number else tuple(run.endpoints)
    results = side_by_side({scope: partial(_look_first, run, number, scope) for scope in scopes})
    return "; ".join(why for _, why in sorted(results.items()) if why)


def _look_first(run: Run, number: int, scope: str) -> str:
    try:
        seen = run.look(scope).resources
    except (TransportError, UnreadableError) as error:
        return f"{scope} is unknown now: {getattr(error, 'reason', error)}"
    last = run.last.get(scope)
    found = [
        mismatch.now()
        for change in _ahead(run.plan, number, scope).values()
        for mismatch in compare.changed_since(
            change, seen.get(change.key), last.get(change.key) if last is not None else None
        )
    ]
    run.last[scope] = seen
    return f"changed since the plan: {'; '.join(found)}" if found else ""


def _ahead(plan: Plan, number: int, scope: str) -> dict[Key, Change]:
    """Return the first change of each key of a scope from stage `number` on."""
    found: dict[Key, Change] = {}
    for it in plan.stages[number:]:
        for step in it.of(scope):
            for change in step.changes:
                found.setdefault(change.key, change)
    return found
