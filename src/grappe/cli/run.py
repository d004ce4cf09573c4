"""Carry out a plan in front of the operator: show it, ask, run it, say how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import typer

from grappe.app import Cluster
from grappe.apply import recover, runner
from grappe.apply.events import Event
from grappe.apply.interrupt import Interrupt
from grappe.apply.journal import Journal
from grappe.apply.run import Options, Outcome
from grappe.apply.runner import Result
from grappe.cli.errors import fail, interrupted, os_words
from grappe.cli.exits import INTERRUPTED, TERMINATED
from grappe.cli.output import say
from grappe.cli.render_plan import PlanText
from grappe.cli.render_run import Progress, ending
from grappe.graph.plan import Plan
from grappe.platforms.planning import unwilling


@dataclass(frozen=True, slots=True)
class Consent:
    """What the operator agreed to beforehand."""

    yes: bool
    limit: int
    partial: bool


class SpokenInterrupt(Interrupt):
    """Says what Ctrl-C does, and remembers which signal it was."""

    number = 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal and say so; the second one raises KeyboardInterrupt."""
        if not self.wanted:
            self.number = number
            # Not through the buffered stream: a handler may run in the middle of a print.
            with contextlib.suppress(OSError):
                os.write(2, b"\nstopping after the running steps; once more stops at once\n")
        super().handle(number, frame)

    @property
    def status(self) -> int:
        """The exit status."""
        return TERMINATED if self.number == signal.SIGTERM else INTERRUPTED


def run_plan(cluster: Cluster, plan: Plan, consent: Consent, *, undo_all: bool) -> bool:
    """Carry a plan out once it is agreed to; whether everything declared is done."""
    say(PlanText().render(plan))
    if plan.refusals and not consent.partial:
        fail(f"{len(plan.refusals)} refused; nothing was touched", "mend them, or do the rest with --partial")
    complete = not (plan.refusals or unwilling(plan.frozen))
    if not plan.stages:
        return complete
    _agree(plan, consent)
    say()
    interrupt = SpokenInterrupt()
    result = _run(cluster, plan, interrupt, undo_all=undo_all)
    say(ending(result, plan))
    if result.outcome is Outcome.INTERRUPTED:
        raise typer.Exit(interrupt.status)
    return result.ok and complete


def _run(cluster: Cluster, plan: Plan, interrupt: SpokenInterrupt, *, undo_all: bool) -> Result:
    run = runner.new_id()
    with _journal(cluster.journals / f"{run}.jsonl") as journal, interrupt.on_signals():
        return _spoken(
            lambda tell: runner.apply(
                plan,
                cluster.site,
                cluster.endpoints,
                journal,
                run_id=run,
                options=Options(undo_all=undo_all, archive=cluster.journals / "archive"),
                tell=tell,
                interrupt=interrupt,
            ),
            plan,
            journal.path,
        )


def _journal(path: Path) -> Journal:
    try:
        return Journal(path)
    except OSError as error:
        hint = "a run without a journal is not begun; XDG_STATE_HOME names another place for journals"
        fail(f"the journal cannot be written: {os_words(error)}; nothing was touched", hint)


def _spoken(run: Callable[[Callable[[Event], None]], Result], plan: Plan, journal: Path) -> Result:
    """Run, and say what an end in the middle leaves behind."""
    hint = "grappe status tells how things stand; grappe apply --resume or --abort ends it"
    try:
        return run(Progress(plan, say))
    except KeyboardInterrupt as error:
        interrupted(error, "stopped in the middle of a step, as you asked", hint)
    except OSError as error:
        fail(f"the journal {journal} cannot be written any more: {os_words(error)}; the run ends here", hint)


def _agree(plan: Plan, consent: Consent) -> None:
    if consent.yes and plan.disruption.level <= consent.limit:
        return
    words = (
        f"it may disturb: {plan.disruption.level.words}" if plan.disruption.level else "it disturbs nothing"
    )
    if not sys.stdin or not sys.stdin.isatty():
        wanted = plan.disruption.level.name.lower().replace("_", "-")
        above = plan.disruption.level > consent.limit
        hint = f"agree with --yes --disruption {wanted}" if above else "agree with --yes"
        fail(f"apply waits for your word ({words}) and nobody is there to ask; nothing was touched", hint)
    ask(f"\nDo this? ({words})", "nothing was touched")


def ask(question: str, otherwise: str) -> None:
    """Ask; anything but yes ends the program, saying `otherwise`."""
    try:
        agreed = typer.confirm(question)
    except typer.Abort:
        fail(otherwise, status=INTERRUPTED)
    if not agreed:
        fail(otherwise)


def settle_past(cluster: Cluster, *, resume: bool, abort: bool) -> bool:
    """End runs that were killed in the middle, or stop and say so; whether to go on with a new plan."""
    found = recover.unfinished(cluster.journals)
    for path, past in found:
        if not (resume or abort):
            hint = "end it with grappe apply --resume (go on) or --abort (take the interrupted stage back)"
            fail(f"run {past.run} was cut off {past.words()}", hint)
        _settle(cluster, path, past, recover.settle if resume else recover.abort)
    if (resume or abort) and not found:
        say("no run was cut off")
    return not abort


def _settle(cluster: Cluster, path: Path, past: recover.Past, end: Callable[..., Result]) -> None:
    try:
        result = _spoken(lambda tell: end(path, cluster.site, cluster.endpoints, tell=tell), past.plan, path)
    except ValueError as error:  # it goes on, or changed a device that is not declared any more
        fail(f"run {past.run} cannot be ended from here: {error}")
    say(ending(result, past.plan))
    if result.outcome is Outcome.STOPPED or result.broken:
        fail(f"run {past.run} is not ended: {result.reason or 'this has to be mended by hand first'}")
