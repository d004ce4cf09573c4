"""What every command shares: the file, the twin, and how an error reaches the operator."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from grappe.app import Cluster
    from grappe.document import Document

OK, FOUND, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: all is well; something was found (drift, a refusal, a failure); wrong use, bad file."""


@dataclass(frozen=True, slots=True)
class State:
    """The global options."""

    file: Path
    twin: bool
    twin_name: str | None
    ssh_config: Path | None = None

    def document(self) -> Document:
        """Load the declaration; a bad one ends the program with every problem listed."""
        from grappe.document import load

        with speaking():
            return load(self.file)

    def cluster(self) -> Cluster:
        """The declaration with its devices: the twin's with --twin, the real ones otherwise."""
        from grappe import app

        with speaking():
            return app.twin(self.file, self.twin_name) if self.twin else app.real(self.file, self.ssh_config)


def state(context: typer.Context) -> State:
    """The global options of a command's context."""
    found = context.find_object(State)
    if found is None:
        raise RuntimeError("the command was called without its group")
    return found


@contextmanager
def speaking() -> Iterator[None]:
    """Turn the errors that an operator can act on into their text and an exit status; hide no bug."""
    try:
        yield
    except KeyboardInterrupt:
        fail("interrupted", status=INTERRUPTED)
    except _expected() as error:
        fail(str(error), status=_status(error))
    except FileNotFoundError as error:
        fail(f"{error.filename}: no such file", "name the declaration with --file", status=BAD_INPUT)
    except (IsADirectoryError, PermissionError, UnicodeDecodeError) as error:
        fail(str(error), status=BAD_INPUT)


def _expected() -> tuple[type[Exception], ...]:
    from grappe.document import DeclarationError
    from grappe.transport.base import TransportError

    return (DeclarationError, TransportError, *_twin_errors())


def _twin_errors() -> tuple[type[Exception], ...]:
    """Errors of the twin, if it was loaded at all."""
    errors, blueprint = sys.modules.get("grappe.twin.errors"), sys.modules.get("grappe.twin.blueprint")
    found = [getattr(errors, "TwinError", None), getattr(blueprint, "BlueprintError", None)]
    return tuple(e for e in found if e is not None)


def _status(error: Exception) -> int:
    return BAD_INPUT if type(error).__name__ == "DeclarationError" else FOUND


def fail(message: str, hint: str = "", *, status: int = FOUND) -> NoReturn:
    """Say an error on standard error and end."""
    typer.secho(f"error: {message}", err=True, fg="red")
    if hint:
        typer.echo(f"  {hint}", err=True)
    raise typer.Exit(status)


def say(text: str = "") -> None:
    """Print a line."""
    typer.echo(text)
