"""After a run that ended without a word: what it left, from its journal, and how to end it.

`settle` is the first half of a resume: it ends what stands half-way on the devices, after which a new plan
arrives. `abort` takes the interrupted stage back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grappe.apply import guard, lease, stage
from grappe.apply.events import (
    Arming,
    Committed,
    Event,
    RunBegins,
    RunEnds,
    StageBegins,
    StageEnds,
    StepBegins,
    UndoDone,
)
from grappe.apply.journal import Entry, Journal, entries, journals
from grappe.apply.lease import Holder
from grappe.apply.observe import Endpoint
from grappe.apply.run import Options, Outcome, Run, Trouble
from grappe.apply.runner import Result, end, prepare
from grappe.graph.plan import Plan
from grappe.graph.plan_json import from_json
from grappe.model.site import Site


@dataclass
class Past:
    """A run as its journal tells it.

    `ended` is empty while it runs, or when it was killed. `stage` is the last one begun, None when none
    was. `begun` are its steps, in order, that were begun and not undone.
    """

    run: str
    holder: Holder
    plan: Plan
    ended: str = ""
    stage: int | None = None
    stage_done: bool = False
    armed: bool = False
    committed: bool = False
    begun: list[int] = field(default_factory=list)

    @property
    def killed(self) -> bool:
        """Whether it ended in the middle of something, without or with a word."""
        return self.ended in ("", "abandoned") and not lease.is_alive(self.holder)

    def words(self) -> str:
        """Where it was cut off, for people."""
        if self.stage is None:
            return "before its first stage"
        where = f"stage {self.stage + 1} of {len(self.plan.stages)}"
        if self.stage_done:
            return f"after {where}"
        if self.committed:
            return f"in {where}: proved and committed, but perhaps not disarmed everywhere"
        steps = "1 step" if len(self.begun) == 1 else f"{len(self.begun)} steps"
        return f"in {where}, with {steps} begun" + (", under guard" if self.armed else "")


def past(path: Path) -> Past | None:
    """Read a journal; None when it holds no beginning of a run."""
    found: Past | None = None
    for entry in entries(path):
        found = _add(found, entry)
    return found


def _add(found: Past | None, entry: Entry) -> Past | None:
    match entry.event:
        case RunBegins(run, who, id_, plan):
            return Past(run, Holder(id_, who), from_json(plan))
        case None:
            return found
        case event:
            if found is not None:
                _follow(found, event)
            return found


def _follow(found: Past, event: Event) -> None:
    match event:
        case StageBegins(number):
            found.stage, found.begun = number, []
            found.stage_done = found.armed = found.committed = False
        case StageEnds():
            found.stage_done = True
        case Arming():
            found.armed = True
        case Committed():
            found.committed = True
        case StepBegins(_, step):
            found.begun.append(step)
        case UndoDone(number, step) if number == found.stage and step in found.begun:
            found.begun.remove(step)
        case RunEnds(outcome):
            found.ended = outcome
        case _:
            pass


def unfinished(directory: Path) -> tuple[tuple[Path, Past], ...]:
    """Journals of a directory whose run was killed or abandoned, oldest first."""
    found = ((path, past(path)) for path in journals(directory))
    return tuple((path, it) for path, it in found if it is not None and it.killed)


def abort(
    path: Path,
    site: Site,
    endpoints: Mapping[str, Endpoint],
    *,
    options: Options | None = None,
    tell: Callable[[Event], None] = lambda _event: None,
) -> Result:
    """Take the interrupted stage of a killed run back; what its earlier stages did stays.

    Harmless when done twice. ValueError when the journal holds no such run or it still goes on.
    """
    path.stat()  # opening a journal would make it
    with Journal(path) as journal:
        found, run = _take_over(path, site, endpoints, journal, options or Options())
        run.tell = tell
        return _end_it(run, found, _abort, Outcome.UNDONE)


def settle(
    path: Path,
    site: Site,
    endpoints: Mapping[str, Endpoint],
    *,
    options: Options | None = None,
    tell: Callable[[Event], None] = lambda _event: None,
) -> Result:
    """End what a killed run left half-way on the devices, so that a new plan arrives where it was going.

    A committed stage is kept and disarmed, an armed one goes back; steps of other stages stay as they are.
    """
    path.stat()  # opening a journal would make it
    with Journal(path) as journal:
        found, run = _take_over(path, site, endpoints, journal, options or Options())
        run.tell = tell
        return _end_it(run, found, _settle, Outcome.DONE)


def _take_over(
    path: Path, site: Site, endpoints: Mapping[str, Endpoint], journal: Journal, options: Options
) -> tuple[Past, Run]:
    found = past(path)
    if found is None or lease.is_alive(found.holder):
        why = "holds no run" if found is None else f"belongs to a run that goes on: {found.holder.who}"
        raise ValueError(f"{path} {why}")
    reached = {scope: endpoints[scope] for scope in _scopes(found, endpoints)}
    return found, Run(found.run, found.plan, site, reached, journal, lease.myself(), options)


def _end_it(run: Run, found: Past, way: Callable[[Run, Past], Trouble | None], well: Outcome) -> Result:
    stages = found.stage or 0
    if reason := prepare(run, archived=False):
        return end(run, Outcome.STOPPED, reason, stages)
    trouble = way(run, found)
    if trouble is None:
        return end(run, well, "", stages + (1 if found.stage_done else 0))
    return end(run, trouble.outcome, trouble.reason, stages, trouble)


def _scopes(found: Past, endpoints: Mapping[str, Endpoint]) -> Iterable[str]:
    scopes = sorted({scope for it in found.plan.stages for scope in it.scopes})
    if missing := [scope for scope in scopes if scope not in endpoints]:
        raise ValueError(f"no endpoint for {', '.join(missing)}, which run {found.run} changed")
    return scopes


def _abort(run: Run, found: Past) -> Trouble | None:
    if found.stage is None or found.stage_done:
        return None
    it = run.plan.stages[found.stage]
    if it.guarded:
        return _only_if_broken(guard.settle(run, found.stage, it, keep=False)) if found.armed else None
    return stage.undo(run, found.stage, it, list(reversed(found.begun)))


def _settle(run: Run, found: Past) -> Trouble | None:
    if found.stage is None or found.stage_done or not found.armed:
        return None
    it = run.plan.stages[found.stage]
    return _only_if_broken(guard.settle(run, found.stage, it, keep=found.committed))


def _only_if_broken(trouble: Trouble | None) -> Trouble | None:
    """Going back is what was asked for: only what cannot be put back is trouble."""
    return trouble if trouble is not None and trouble.broken else None
