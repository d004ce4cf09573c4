"""What happens while a plan runs, a line at a time, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from grappe.apply import events
from grappe.apply.events import Event
from grappe.apply.run import Outcome
from grappe.apply.runner import Result
from grappe.graph.plan import Plan


class Progress:
    """Turns events into lines; what an operator need not see gives none."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan, self._say = plan, say

    def __call__(self, event: Event) -> None:
        """Show one event."""
        for line in self._lines(event):
            self._say(line)

    def _lines(self, event: Event) -> Iterator[str]:
        match event:
            case events.StageBegins(stage, guarded, scopes):
                guard = ", guarded" if guarded else ""
                yield f"stage {stage + 1} of {len(self._plan.stages)}: {', '.join(scopes)}{guard}"
            case events.StepDone(stage, step, scope, seconds, notes):
                count = len(self._plan.stages[stage].steps[step].changes)
                changes = "1 change" if count == 1 else f"{count} changes"
                yield f"  {scope}: {changes} done and read back, {seconds:.1f} s"
                yield from (f"  {scope}: also changed: {note}" for note in notes)
            case events.StepFailed(_, _, scope, reason):
                yield f"  {scope}: FAILED: {reason}"
            case events.Armed(_, scope, _, seconds, how):
                yield f"  {scope}: will undo this by itself in {seconds} s unless told otherwise ({how})"
            case events.Reconnecting(scope, reason, seconds):
                yield f"  {scope}: calling again for up to {seconds:.0f} s ({reason})"
            case events.Committed():
                yield "  reached anew, proved and committed"
            case events.GuardFired(_, scope):
                yield f"  {scope}: the device undid the stage by itself"
            case events.Archived(scope, _, here):
                if here:
                    yield f"  {scope}: configuration archived in {here}"
            case _:
                pass


_ENDINGS = {
    Outcome.DONE: "done",
    Outcome.UNDONE: "UNDONE: everything of the failed stage is as it was before",
    Outcome.STOPPED: "STOPPED before anything of the stage was touched",
    Outcome.INTERRUPTED: "interrupted after a whole step; plan again to go on",
    Outcome.BROKEN: "BROKEN: something could not be put back",
}


def ending(result: Result, plan: Plan) -> str:
    """The last words of a run."""
    lines = [f"run {result.run}: {_ENDINGS[result.outcome]}"]
    if not result.ok and plan.stages:
        lines[0] += f"; {result.stages} of {len(plan.stages)} stages stay"
    if result.reason:
        lines.append(f"  why: {result.reason}")
    lines += [f"  could not be put back: {item}" for item in result.broken]
    lines += [f"  at the console: {line}" for line in result.by_hand]
    lines += [f"  left behind: {item}" for item in result.left]
    return "\n".join(lines)
