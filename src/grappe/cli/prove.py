"""Verbs that prove: verify."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from grappe.cli.state import BAD_INPUT, FOUND, fail, say, speaking, state


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(verify)


def verify(
    context: typer.Context,
    network: Annotated[
        list[str] | None, typer.Option("--network", "-n", help="Only this network; repeatable.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show every network's own matrix.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Hold the roll call: send numbered frames on every network and see who hears them, and who must not.

    Jumbo networks are tried with full-size frames, both ways. Guests' ports and uplinks only listen. Exit
    status 1 when a frame leaked, was not heard, or something could not be proved.
    """
    from grappe.verify.conduct import roll_call
    from grappe.verify.points import question
    from grappe.verify.render import to_json, to_text
    from grappe.verify.rollcall import State

    with speaking():
        cluster = state(context).cluster()
        unknown = sorted(set(network or ()) - cluster.site.networks.keys())
        if unknown:
            known = ", ".join(cluster.site.networks)
            fail(f"no network {', '.join(unknown)}", f"networks: {known}", status=BAD_INPUT)
        survey = cluster.survey()
        plan = question(cluster.site, survey.observations, frozenset(network or ()))
        call = roll_call(plan, cluster.transports)
    say(json.dumps(to_json(call), indent=2) if as_json else to_text(call, full=full))
    for scope, reason in survey.unknown.items():
        typer.echo(f"not asked: {scope}: {reason}", err=True)
    if not call.ok or call.counts[State.UNPROVED] or survey.unknown:
        raise typer.Exit(FOUND)
