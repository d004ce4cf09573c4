"""Verbs that change the cluster, and those that tell what would change: plan, apply, status."""

from __future__ import annotations

import json
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
Only = Annotated[list[str] | None, typer.Option(help="Only this device; repeatable.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(plan)
    app.command()(status)


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
        out.write_text(plan_json.dumps(made))
    say(plan_json.dumps(made) if as_json else PlanText(scripts=scripts).render(made))
    if made.refusals:
        raise typer.Exit(FOUND)


def planned(cluster: Cluster, adopt: list[str] | None, only: list[str] | None) -> tuple[Plan, Survey]:
    """Check, survey, plan. What blocks ends the program before any device is asked."""
    from grappe.check import blocking, check
    from grappe.platforms.planning import Choices, unknown_choices

    stop = blocking(check(cluster.site))
    if stop:
        fail(
            f"{len(stop)} errors in the declaration block every plan, the first: {stop[0].code}: {stop[0].message}",
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
        say(drift_text(cluster.site.name, counts, found, extra))
    if found or survey.unknown or difference.refusals:
        raise typer.Exit(FOUND)
