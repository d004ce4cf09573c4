"""Verbs that change the cluster, and those that tell what would change: plan, apply, status."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grappe.cli.state import BAD_INPUT, FOUND, fail, say, speaking, state

if TYPE_CHECKING:
    from grappe.app import Cluster
    from grappe.graph.plan import Plan
    from grappe.platforms.planning import Survey

Adopt = Annotated[
    list[str] | None,
    typer.Option(help="Take over an object that Grappe did not make: KEY, a pattern, or all; repeatable."),
]


class Limit(StrEnum):
    """Levels of disruption as the command line spells them."""

    NONE = "none"
    BLIP = "blip"
    GUEST_RESTART = "guest-restart"
    HOST_REBOOT = "host-reboot"

    @property
    def level(self) -> int:
        """The level in the plan's order."""
        return list(Limit).index(self)


Only = Annotated[list[str] | None, typer.Option(help="Only this device; repeatable.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(plan)
    app.command()(apply)
    app.command()(status)
    app.command()(journal)


def plan(
    context: typer.Context,
    adopt: Adopt = None,
    only: Only = None,
    out: Annotated[Path | None, typer.Option("--out", help="Save the plan, for `grappe apply FILE`.")] = None,
    scripts: Annotated[bool, typer.Option("--scripts", help="Show every command and its undo.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Look at every device and tell what apply would do, in which order, and what it may disturb.

    Nothing is touched. Exit status 1 when something is refused.
    """
    from grappe.cli.render_plan import PlanText
    from grappe.graph import plan_json

    with speaking():
        cluster = state(context).cluster()
        made, _ = planned(cluster, adopt, only)
    if out is not None:
        out.write_text(plan_json.dump(made))
    say(plan_json.dump(made) if as_json else PlanText(scripts=scripts).render(made))
    if made.refusals:
        raise typer.Exit(FOUND)


def planned(cluster: Cluster, adopt: list[str] | None, only: list[str] | None) -> tuple[Plan, Survey]:
    """Check, survey, plan. What blocks ends the program before any device is asked."""
    from grappe.check import blocking, check
    from grappe.platforms.planning import Choices, unknown_choices

    stop = blocking(check(cluster.site))
    if stop:
        fail(
            f"{len(stop)} errors in the declaration block every plan; the first is {stop[0].code}:"
            f" {stop[0].message}",
            "grappe check lists them",
        )
    unknown = sorted(set(only or ()) - cluster.endpoints.keys())
    if unknown:
        fail(f"no device {', '.join(unknown)}", f"devices: {', '.join(cluster.endpoints)}", status=BAD_INPUT)
    choices = Choices(adopt=tuple(adopt or ()), only=frozenset(only or ()))
    survey = cluster.survey()
    wrong = unknown_choices(choices, survey)
    if wrong:
        fail(f"--adopt {wrong[0].where} {wrong[0].message}", wrong[0].hint, status=BAD_INPUT)
    return cluster.plan(survey, choices), survey


def apply(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="A plan saved by `grappe plan --out`.")] = None,
    adopt: Adopt = None,
    only: Only = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    disruption: Annotated[
        Limit, typer.Option(help="The most that --yes agrees to; above it, apply asks or stops.")
    ] = Limit.BLIP,
    partial: Annotated[bool, typer.Option(help="Do the rest although something is refused.")] = False,
    undo_all: Annotated[bool, typer.Option(help="On a failure take earlier stages back too.")] = False,
    resume: Annotated[bool, typer.Option(help="End what a killed run left half-way, then go on.")] = False,
    abort: Annotated[bool, typer.Option(help="Take back the stage that a killed run left half-way.")] = False,
) -> None:
    """Make the devices as declared, stage by stage; each step is read back and compared with its prediction.

    A stage that touches the way to a device is guarded: the device itself undoes it unless a new connection
    proves that it can still be reached. A failed stage is put back. Exit status 1 when anything was left out.
    """
    from grappe.cli.run import Consent, run_plan, settle_past

    with speaking():
        cluster = state(context).cluster()
        if not settle_past(cluster, resume=resume, abort=abort):
            return
        made = _saved(cluster, file) if file else planned(cluster, adopt, only)[0]
        consent = Consent(yes=yes, limit=disruption.level, partial=partial)
        complete = run_plan(cluster, made, consent, undo_all=undo_all)
    if not complete:
        raise typer.Exit(FOUND)


def _saved(cluster: Cluster, file: Path) -> Plan:
    from grappe.graph.plan_json import PlanFileError, load

    try:
        return load(file.read_text(), digest=cluster.document.digest)
    except PlanFileError as error:
        fail(f"{file}: {error}", status=BAD_INPUT)


def journal(
    context: typer.Context,
    last: Annotated[int, typer.Option(help="How many runs, the latest last.")] = 1,
) -> None:
    """Print what was done, entry by entry."""
    from grappe.apply.journal import entries, journals, render

    with speaking():
        cluster = state(context).cluster()
        found = journals(cluster.journals)[-last:]
        if not found:
            say("no run yet")
        for path in found:
            say(f"{path}\n{render(entries(path))}")


def status(
    context: typer.Context,
    only: Only = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tell what is not as declared, device by device: now, and at the next boot. Changes nothing.

    Exit status 1 when something differs or a device does not answer.
    """
    from grappe.cli.render_plan import drift_text, drifts

    with speaking():
        cluster = state(context).cluster()
        survey = cluster.survey(frozenset(only or ()))
        difference = cluster.difference(survey)
        cut_off = _cut_off(cluster)
    found = drifts(difference, survey.resources)
    if as_json:
        items = [
            {
                "scope": d.key.scope,
                "kind": d.key.kind,
                "name": d.key.name,
                "facet": d.facet,
                "message": d.message,
            }
            for d in found
        ]
        refused = [{"where": r.where, "code": r.code, "message": r.message} for r in difference.refusals]
        body = {
            "site": cluster.site.name,
            "drift": items,
            "refused": refused,
            "unknown": dict(survey.unknown),
        }
        say(json.dumps({"format": "grappe/status/1", **body}, indent=2))
    else:
        counts = {s: len(o.resources) for s, o in survey.observations.items()}
        extra = [f"  {s}: unknown: {reason}" for s, reason in sorted(survey.unknown.items())]
        extra += [f"  refused: {r}" for r in difference.refusals]
        extra += [f"  cut off: {words}" for words in cut_off]
        say(drift_text(cluster.site.name, counts, found, extra))
    if found or survey.unknown or difference.refusals or cut_off:
        raise typer.Exit(FOUND)


def _cut_off(cluster: Cluster) -> list[str]:
    """Runs that were killed in the middle, and how to end them."""
    from grappe.apply.recover import unfinished

    return [
        f"run {past.run}: {past.words()}; end it with grappe apply --resume or --abort"
        for _, past in unfinished(cluster.journals)
    ]
