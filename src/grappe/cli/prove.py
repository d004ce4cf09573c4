"""Verbs that prove: verify."""

from __future__ import annotations

from typing import Annotated

import typer

from grappe.cli import complete
from grappe.cli.errors import fail, speaking, warn
from grappe.cli.exits import FOUND
from grappe.cli.output import say, say_json
from grappe.cli.state import must_know, state


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(verify)


@speaking()
def verify(
    context: typer.Context,
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            "-n",
            metavar="NAME",
            autocompletion=complete.networks,
            help="Only this network; repeatable.",
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show every network's own matrix.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Hold the roll call: send numbered frames on every network and see who hears them, and who must not.

    Jumbo networks are tried with full-size frames, both ways. Guests' ports and uplinks only listen. A small
    probe runs on each device meanwhile (Python 3, as root); temporary ports are removed again. Nothing else
    is touched. Exit status 1 when a frame leaked, was not heard, or a device could not be asked.

    \b
    Examples:
      grappe verify
      grappe verify --network storage --full
    """
    from grappe.verify.conduct import roll_call
    from grappe.verify.points import question
    from grappe.verify.render import to_json, to_text

    cluster = state(context).cluster()
    must_know("network", network or (), cluster.site.networks)
    survey = cluster.survey()
    plan = question(cluster.site, survey.observations, frozenset(network or ()))
    if not plan.points:
        reasons = "; ".join(f"{scope}: {reason}" for scope, reason in survey.unknown.items())
        fail(f"nothing can be proved, for no device could be asked: {reasons or 'none is declared'}")
    call = roll_call(plan, cluster.transports)
    for scope, reason in {**survey.unknown, **survey.excused}.items():
        warn(f"not asked, so nothing is proved of it: {scope}: {reason}")
    if as_json:
        say_json(to_json(call))
    else:
        say(to_text(call, full=full))
    # A host alone on a network has nobody to hear: said as unproved, but nothing is wrong with it.
    silent = [r for r in call.reports.values() if r.reason or any(f.error for f in r.faces.values())]
    if not call.ok or silent or survey.unknown:
        raise typer.Exit(FOUND)
