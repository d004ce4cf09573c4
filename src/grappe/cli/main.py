"""The `grappe` command: global options and the table of verbs. Every verb imports what it needs by itself."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

import grappe
from grappe.cli import change, declaration, errors, journal, output, prove, reach, twin, vm
from grappe.cli.errors import Terminated, prepare_streams
from grappe.cli.exits import FOUND, INTERRUPTED, TERMINATED, WORDS
from grappe.cli.state import State

app = typer.Typer(
    name="grappe",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"""Declare a virtualisation cluster in one file; check it, plan the difference from the live state,
apply it without locking yourself out, prove it with real packets, and operate it.

\b
A first round without any hardware:
  grappe init > site.yaml
  grappe twin up
  grappe --twin apply
  grappe --twin verify
  grappe twin down

{WORDS}
""",
)
declaration.register(app)
app.add_typer(twin.app, name="twin")
reach.register(app)
change.register(app)
prove.register(app)
app.add_typer(vm.app, name="vm")
journal.register(app)
declaration.register_help(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"grappe {grappe.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    file: Annotated[
        Path, typer.Option("--file", "-f", metavar="FILE", envvar="GRAPPE_FILE", help="The declaration.")
    ] = Path("site.yaml"),
    use_twin: Annotated[
        bool, typer.Option("--twin", help="Run the verb against the twin, not the real devices.")
    ] = False,
    twin_name: Annotated[
        str | None,
        typer.Option(
            "--twin-name", metavar="NAME", help="The twin of this name (implies --twin); usually the site's."
        ),
    ] = None,
    ssh_config: Annotated[
        Path | None,
        typer.Option(
            "--ssh-config",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="Use this ssh configuration instead of your own.",
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


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def main() -> None:
    """Run the command."""
    prepare_streams()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except SystemExit as end:
        _leave(end)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _leave(end: SystemExit) -> NoReturn:
    status = end.code if isinstance(end.code, int) else 0
    if output.failed() and not status:
        status = FOUND
    if status == INTERRUPTED and not errors.told():
        errors.warn("error: interrupted")
    if status in (INTERRUPTED, TERMINATED) and threading.active_count() > 1:
        # Threads that still wait for a silent device would keep the operator waiting too.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
