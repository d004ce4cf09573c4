"""Verbs over the file alone: init, schema, check, explain."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from grappe.cli.state import BAD_INPUT, FOUND, fail, say, speaking, state


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(init)
    app.command()(schema)
    app.command()(check)
    app.command()(explain)


def init(
    hosts: Annotated[int, typer.Option(min=1, max=64, help="How many hosts.")] = 3,
    switch: Annotated[bool, typer.Option(help="Put an Open vSwitch rack switch between them.")] = True,
) -> None:
    """Print a first declaration, with comments, to edit: grappe init > site.yaml"""
    from grappe.document.first import first_file

    names = tuple(f"h{number}" for number in range(1, hosts + 1))
    say(first_file(hosts=names, switch="sw1" if switch else None).rstrip("\n"))


def schema() -> None:
    """Print the JSON Schema of the declaration, for editors that complete and check YAML."""
    from grappe.document.schema import schema as made

    say(json.dumps(made(), indent=2))


def check(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
    sarif: Annotated[
        bool, typer.Option("--sarif", help="Print findings as SARIF 2.1.0, for code hosts.")
    ] = False,
) -> None:
    """Find the mistakes and the traps of a declaration before anything is touched.

    Errors block. Risks and warnings can be acknowledged in the file under accept:, with a reason; they stay
    listed. Exit status 1 when something blocks.
    """
    import grappe
    from grappe.check import blocking
    from grappe.check import check as find
    from grappe.check.render import to_json, to_text
    from grappe.check.sarif import to_sarif

    document = state(context).document()
    findings, name = find(document.site), str(document.filename)

    def position(path: tuple[str | int, ...]) -> tuple[int, int]:
        found = document.position(path)
        return found.line, found.column

    if sarif:
        say(to_sarif(findings, name, position, grappe.__version__))
    elif as_json:
        say(to_json(findings, name, position))
    else:
        say(to_text(findings, name, position))
    if blocking(findings):
        raise typer.Exit(FOUND)


def explain(
    code: Annotated[str | None, typer.Argument(help="A finding's code; none: list all.")] = None,
) -> None:
    """Explain a finding: what it means, why it hurts, how to mend it."""
    from grappe.check.catalogue import UnknownCodeError, index, lookup
    from grappe.check.catalogue import explain as text

    if code is None:
        say(index())
        return
    with speaking():
        try:
            say(text(lookup(code)))
        except UnknownCodeError as error:
            fail(
                str(error.args[0] if error.args else error),
                "grappe explain lists all codes",
                status=BAD_INPUT,
            )
