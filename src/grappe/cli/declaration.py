"""Verbs over the file alone: init, check, explain, schema."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from grappe.cli import complete
from grappe.cli.errors import fail, speaking
from grappe.cli.exits import BAD_INPUT, FOUND
from grappe.cli.output import say, say_json
from grappe.cli.state import state

if TYPE_CHECKING:
    from grappe.check.code import Code


class What(StrEnum):
    """What has a schema."""

    DECLARATION = "declaration"
    CHECK = "check"
    PLAN = "plan"
    STATUS = "status"
    VERIFY = "verify"
    PREFLIGHT = "preflight"
    VM_LIST = "vm-list"
    TWIN_STATUS = "twin-status"
    JOURNAL = "journal"


def register(app: typer.Typer) -> None:
    """Add the verbs that a person begins with."""
    app.command()(init)
    app.command()(check)


def register_help(app: typer.Typer) -> None:
    """Add the verbs that explain."""
    app.command()(explain)
    app.command()(schema)


@speaking()
def init(
    hosts: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="How many hosts.")] = 3,
    switch: Annotated[bool, typer.Option(help="Put an Open vSwitch rack switch between them.")] = True,
) -> None:
    """Print a first declaration, with comments, to edit.

    Touches nothing: redirect it into a file.

    \b
    Examples:
      grappe init > site.yaml
      grappe init --hosts 1 --no-switch > lab.yaml
    """
    from grappe.document.first import first_file

    names = tuple(f"h{number}" for number in range(1, hosts + 1))
    say(first_file(hosts=names, switch="sw1" if switch else None).rstrip("\n"))


@speaking()
def schema(
    what: Annotated[What, typer.Argument(help="The declaration, or the verb whose --json is meant.")] = (
        What.DECLARATION
    ),
) -> None:
    """Print a JSON Schema: of the declaration, for editors, or of what a verb prints with --json.

    Every --json output names its format as grappe/NAME/VERSION. A new key does not change the version; a key
    that is gone or means something else does.

    \b
    Examples:
      grappe schema > site.schema.json      then, first in site.yaml:
                                            # yaml-language-server: $schema=site.schema.json
      grappe schema status
    """
    if what is What.DECLARATION:
        from grappe.document.schema import schema as made

        say(json.dumps(made(), indent=2))
        return
    from grappe.cli.schemas import published

    say(json.dumps(published(what.value), indent=2))


@speaking()
def check(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
    sarif: Annotated[
        bool, typer.Option("--sarif", help="Print findings as SARIF 2.1.0, for code hosts.")
    ] = False,
) -> None:
    """Find the mistakes and the traps of a declaration before anything is touched.

    Errors block plan and apply. Risks and warnings can be acknowledged in the file under accept:, with a
    reason; they stay listed. Asks no device. Exit status 1 when something blocks, 2 when the file cannot be
    used.

    \b
    Examples:
      grappe check
      grappe --file lab.yaml check --json
    """
    import grappe
    from grappe.check import blocking
    from grappe.check import check as find
    from grappe.check.render import to_json, to_text
    from grappe.check.sarif import to_sarif

    if as_json and sarif:
        fail("--json and --sarif exclude each other", status=BAD_INPUT)
    document = state(context).document()
    findings, name = find(document.site), str(document.filename)

    def position(path: tuple[str | int, ...]) -> tuple[int, int]:
        found = document.position(path)
        return found.line, found.column

    if sarif:
        say_json(json.loads(to_sarif(findings, name, position, grappe.__version__)))
    elif as_json:
        say_json(json.loads(to_json(findings, name, position)))
    else:
        say(to_text(findings, name, position).rstrip("\n"))
    if blocking(findings):
        raise typer.Exit(FOUND)


@speaking()
def explain(
    code: Annotated[
        str | None, typer.Argument(help="A finding's code; none: list all.", autocompletion=complete.codes)
    ] = None,
) -> None:
    """Explain a finding: what it means, why it hurts, how to mend it.

    \b
    Examples:
      grappe explain                        all codes, a line each
      grappe explain duplicate-address
    """
    from grappe.check.catalogue import explain as text

    if code is not None:
        say(text(_code(code)).rstrip("\n"))
        return
    from grappe.check.catalogue import index
    from grappe.cli.preflight import host_codes

    say(index().rstrip("\n"))
    say("\nFound by grappe preflight:")
    for known in host_codes().values():
        say(f"{known.name}  {known.severity}  {known.title}")


def _code(name: str) -> Code:
    from grappe.check.catalogue import CATALOGUE
    from grappe.cli.preflight import host_codes
    from grappe.document.problem import nearest

    known = {**CATALOGUE, **host_codes()}
    wanted = name.strip().lower().replace("_", "-")
    if wanted in known:
        return known[wanted]
    close = nearest(wanted, known) or next((one for one in known if wanted and wanted in one), None)
    hint = f"did you mean {close}?" if close else "grappe explain lists all codes"
    return fail(f"there is no finding called {name}", hint, status=BAD_INPUT)
