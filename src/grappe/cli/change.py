"""Verbs that change the cluster, and those that tell what would change: status, plan, apply."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grappe.cli import complete
from grappe.cli.errors import fail, os_words, speaking
from grappe.cli.exits import BAD_INPUT, FOUND
from grappe.cli.output import say, say_json
from grappe.cli.state import must_know, state

if TYPE_CHECKING:
    from grappe.app import Cluster
    from grappe.graph.plan import Plan
    from grappe.platforms.planning import Choices, Survey

Adopt = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY",
        help="Take over an object that Grappe did not make: SCOPE/KIND/NAME as the plan writes it, a pattern"
        " ('h*/libvirt-network/default'), or all; repeatable.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="DEVICE", autocompletion=complete.devices, help="Only this device; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


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


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(status)
    app.command()(plan)
    app.command()(apply)


@speaking()
def plan(
    context: typer.Context,
    adopt: Adopt = None,
    only: Only = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Save the plan, for grappe apply FILE."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Show every attribute, device by device, in order.")
    ] = False,
    scripts: Annotated[
        bool, typer.Option("--scripts", help="Show every command and its undo too (implies --full).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at every device and tell what apply would do, in which order, and what it may disturb.

    Touches nothing. In the text, + is made, ~ changed, & taken over, - removed; what is the same on several
    devices stands there once. Exit status 1 when something is refused or a device does not answer.

    \b
    Examples:
      grappe plan
      grappe plan --only h1 --scripts
      grappe plan --out friday.plan         review it; then: grappe apply friday.plan
    """
    from grappe.cli.render_plan import PlanText
    from grappe.graph import plan_json
    from grappe.platforms.planning import unwilling

    made, _ = planned(state(context).cluster(), adopt, only)
    if out is not None:
        _save(out, plan_json.dump(made))
    if as_json:
        say_json(plan_json.to_json(made))
    else:
        say(PlanText(full=full, scripts=scripts).render(made))
    if made.refusals or unwilling(made.frozen):
        raise typer.Exit(FOUND)


def _save(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="ascii")
    except OSError as error:
        fail(f"the plan cannot be saved: {os_words(error)}", status=BAD_INPUT)


def planned(cluster: Cluster, adopt: list[str] | None, only: list[str] | None) -> tuple[Plan, Survey]:
    """Check, survey, plan. What blocks ends the program before any device is asked."""
    from grappe.check import blocking, check
    from grappe.platforms.planning import Choices

    stop = blocking(check(cluster.site))
    if stop:
        count = "1 error blocks" if len(stop) == 1 else f"{len(stop)} errors block"
        fail(f"{count} every plan; the first is {stop[0].code}: {stop[0].message}", "grappe check lists them")
    must_know("device", only or (), cluster.endpoints)
    choices = Choices(adopt=tuple(adopt or ()), only=frozenset(only or ()))
    survey = cluster.survey()
    _adopted_exists(choices, survey)
    return cluster.plan(survey, choices), survey


def _adopted_exists(choices: Choices, survey: Survey) -> None:
    from grappe.document.problem import nearest
    from grappe.platforms.planning import unknown_choices

    for wrong in unknown_choices(choices, survey):
        hint = "keys are SCOPE/KIND/NAME, as grappe plan writes them"
        if close := nearest(wrong.where, [str(key) for key in survey.resources]):
            hint = f"did you mean {close}?"
        elif survey.unknown:
            hint = f"not asked: {', '.join(f'{s} ({why})' for s, why in sorted(survey.unknown.items()))}"
        fail(f"--adopt {wrong.where} {wrong.message}", hint, status=BAD_INPUT)


@speaking()
def apply(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="A plan saved by grappe plan --out.")
    ] = None,
    adopt: Adopt = None,
    only: Only = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    disruption: Annotated[
        Limit, typer.Option(help="The most that --yes agrees to; above it, apply asks or stops.")
    ] = Limit.BLIP,
    partial: Annotated[bool, typer.Option("--partial", help="Do the rest although something is refused.")] = (
        False
    ),
    undo_all: Annotated[
        bool, typer.Option("--undo-all", help="On a failure take earlier stages back too.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="End what a killed run left half-way, then go on.")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Take back the stage that a killed run left half-way.")
    ] = False,
) -> None:
    """Make the devices as declared, stage by stage; each step is read back and compared with its prediction.

    A stage that touches the way to a device is guarded: the device itself undoes it unless a new connection
    proves that it can still be reached. A failed stage is put back. Ctrl-C stops after the running steps, a
    second one at once. Exit status 1 when anything was left out, 130 when you stopped it.

    \b
    Touches: the devices; on each also /var/lib/grappe (its part of the journal, an archive of its
    configuration). Here: journals and archives in ~/.local/state/grappe (XDG_STATE_HOME).

    \b
    Examples:
      grappe apply                          shows the plan, asks, does it
      grappe apply --yes --disruption none  for scripts: stops if anything could be disturbed
      grappe apply friday.plan              exactly that plan, if nothing changed since
      grappe apply --resume                 after this machine or this program died
    """
    from grappe.cli.run import Consent, run_plan, settle_past

    if resume and abort:
        fail("--resume and --abort exclude each other", status=BAD_INPUT)
    if file is not None and (adopt or only):
        fail(
            "a saved plan is carried out as it stands: --adopt and --only belong to grappe plan",
            status=BAD_INPUT,
        )
    cluster = state(context).cluster()
    saved = _saved(cluster, file) if file else None
    if not settle_past(cluster, resume=resume, abort=abort):
        return
    made = saved or planned(cluster, adopt, only)[0]
    consent = Consent(yes=yes, limit=disruption.level, partial=partial)
    if not run_plan(cluster, made, consent, undo_all=undo_all):
        raise typer.Exit(FOUND)


def _saved(cluster: Cluster, file: Path) -> Plan:
    from grappe.graph.plan_json import PlanFileError, load

    hint = "make one with: grappe plan --out FILE"
    try:
        made = load(file.read_text(encoding="utf-8"), digest=cluster.document.digest)
    except FileNotFoundError:
        fail(f"{file}: there is no such plan", hint, status=BAD_INPUT)
    except OSError as error:
        fail(f"the plan cannot be read: {os_words(error)}", hint, status=BAD_INPUT)
    except (PlanFileError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}", hint, status=BAD_INPUT)
    scopes = {step.scope for stage in made.stages for step in stage.steps}
    missing = sorted(scopes - cluster.endpoints.keys())
    if missing:
        fail(f"{file}: the plan changes {', '.join(missing)}, which cannot be reached from here", hint)
    return made


@speaking()
def status(context: typer.Context, only: Only = None, as_json: AsJson = False) -> None:
    """Tell what is not as declared, device by device: now, and at the next boot.

    Touches nothing. Exit status 1 when something differs, a device does not answer, or a killed run waits to
    be ended. Foreign objects count where they sit inside what is Grappe's.

    \b
    Examples:
      grappe status
      grappe status --only h1 --json
    """
    from grappe.cli import render_drift

    cluster = state(context).cluster()
    must_know("device", only or (), cluster.endpoints)
    survey = cluster.survey(frozenset(only or ()))
    told = render_drift.Told(
        site=cluster.site.name,
        survey=survey,
        difference=cluster.difference(survey),
        cut_off=_cut_off(cluster),
    )
    if as_json:
        say_json(render_drift.to_json(told))
    else:
        say(render_drift.to_text(told))
    if not told.well:
        raise typer.Exit(FOUND)


def _cut_off(cluster: Cluster) -> dict[str, str]:
    """Runs that were killed in the middle, and where."""
    from grappe.apply.recover import unfinished

    return {past.run: past.words() for _, past in unfinished(cluster.journals)}
