"""The `grappe` command: global options and the table of verbs. Every verb imports what it needs by itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import grappe
from grappe.cli import change, declaration, prove, twin, vm
from grappe.cli.state import BAD_INPUT, State

app = typer.Typer(
    name="grappe",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Declare a virtualisation cluster in one file; check it, plan the difference from the live state,"
        " apply it without locking yourself out, prove it with real packets, and operate it.\n\n"
        "A first round without any hardware:  grappe init > site.yaml;  grappe twin up;  grappe --twin apply;"
        "  grappe --twin verify;  grappe twin down."
    ),
)
declaration.register(app)
change.register(app)
prove.register(app)
app.add_typer(vm.app, name="vm")
app.add_typer(twin.app, name="twin")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"grappe {grappe.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    file: Annotated[Path, typer.Option("--file", "-f", envvar="GRAPPE_FILE", help="The declaration.")] = Path(
        "site.yaml"
    ),
    use_twin: Annotated[bool, typer.Option("--twin", help="Run the verb against the running twin.")] = False,
    twin_name: Annotated[
        str | None, typer.Option("--twin-name", help="Name of the twin; the site's name by default.")
    ] = None,
    ssh_config: Annotated[
        Path | None,
        typer.Option(
            "--ssh-config", exists=True, dir_okay=False, help="Instead of your own ssh configuration."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep the global options for the verbs."""
    del version
    context.obj = State(
        file=file, twin=use_twin or twin_name is not None, twin_name=twin_name, ssh_config=ssh_config
    )


def main() -> None:
    """Run the command; a closed pipe (`grappe plan | head`) is no error."""
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(BAD_INPUT)
