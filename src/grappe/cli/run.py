"""Carry out a plan in front of the operator: show it, ask, run it, say how it ended."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import typer

from grappe.app import Cluster
from grappe.apply import recover, runner
from grappe.apply.interrupt import Interrupt
from grappe.apply.journal import Journal
from grappe.apply.run import Options
from grappe.cli.render_plan import PlanText
from grappe.cli.render_run import Progress, ending
from grappe.cli.state import fail, say
from grappe.graph.plan import Plan


@dataclass(frozen=True, slots=True)
class Consent:
    """What the operator agreed to beforehand."""

    yes: bool
    limit: int
    partial: bool


def run_plan(cluster: Cluster, plan: Plan, consent: Consent, *, undo_all: bool) -> bool:
    """Carry a plan out once it is agreed to; whether everything declared is done."""
    say(PlanText().render(plan))
    if plan.refusals and not consent.partial:
        fail(f"{len(plan.refusals)} refused; nothing was touched", "mend them, or do the rest with --partial")
    if not plan.stages:
        return not (plan.refusals or plan.frozen)
    _agree(plan, consent)
    run, interrupt = runner.new_id(), Interrupt()
    say()
    with Journal(cluster.journals / f"{run}.jsonl") as journal, interrupt.on_signals():
        result = runner.apply(
            plan,
            cluster.site,
            cluster.endpoints,
            journal,
            run_id=run,
            options=Options(undo_all=undo_all, archive=cluster.journals / "archive"),
            tell=Progress(plan, say),
            interrupt=interrupt,
        )
    say(ending(result, plan))
    return result.ok and not (plan.refusals or plan.frozen)


def _agree(plan: Plan, consent: Consent) -> None:
    if consent.yes and plan.disruption.level <= consent.limit:
        return
    words = plan.disruption.level.words
    if not sys.stdin.isatty():
        hint = "agree with --yes" if not consent.yes else "agree with --disruption"
        fail(f"apply would disturb: {words}; nobody is there to ask; nothing was touched", hint)
    if not typer.confirm(f"\nDo this? It may disturb: {words}"):
        fail("nothing was touched")


def settle_past(cluster: Cluster, *, resume: bool, abort: bool) -> bool:
    """End runs that were killed in the middle, or stop and say so; whether to go on with a new plan."""
    if resume and abort:
        fail("--resume and --abort exclude each other")
    found = recover.unfinished(cluster.journals)
    for path, past in found:
        if not (resume or abort):
            hint = "end it with --resume (go on) or --abort (take the interrupted stage back)"
            fail(f"run {past.run} was cut off {past.words()}", hint)
        end = recover.settle if resume else recover.abort
        result = end(path, cluster.site, cluster.endpoints, tell=Progress(past.plan, say))
        say(ending(result, past.plan))
        if result.broken:
            fail("this has to be mended by hand first")
    if abort and not found:
        say("no run was cut off")
    return not abort
