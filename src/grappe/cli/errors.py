"""How an error becomes words and an exit status. What is not in here is a bug, and keeps its traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import typer

from grappe.cli.exits import BAD_INPUT, FOUND, INTERRUPTED, TERMINATED
from grappe.model.text import harmless

# By name: none of these modules is imported before something needs it.
_STATUS = {
    "grappe.document.problem.DeclarationError": BAD_INPUT,
    "grappe.graph.plan_json.PlanFileError": BAD_INPUT,
    "grappe.twin.blueprint.BlueprintError": BAD_INPUT,
    "grappe.twin.errors.TwinError": FOUND,
    "grappe.transport.base.TransportError": FOUND,
    "grappe.apply.observe.UnreadableError": FOUND,
    "grappe.platforms.kvm.preflight.PreflightError": FOUND,
}


class Terminated(KeyboardInterrupt):
    """SIGTERM: treated like Ctrl-C, with a status of its own."""


_told: list[str] = []


def told() -> bool:
    """Whether an error was said."""
    return bool(_told)


def fail(message: str, hint: str = "", *, status: int = FOUND) -> NoReturn:
    """Say an error on standard error and end."""
    _told.append(message)
    warn(f"error: {message}", colour="red")
    if hint:
        warn(f"  {hint}")
    raise typer.Exit(status)


def warn(text: str, *, colour: str | None = None) -> None:
    """Print a line on standard error; in colour on a terminal, unless NO_COLOR is set (no-color.org)."""
    text = harmless(text)
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    with suppress(OSError):  # standard error is gone: there is nobody left to tell
        typer.echo(text if plain or not colour else typer.style(text, fg=colour), err=True)


@contextmanager
def speaking() -> Iterator[None]:
    """Turn the errors that an operator can act on into their words and an exit status; hide no bug."""
    try:
        yield
    except KeyboardInterrupt as error:
        interrupted(error)
    except OSError as error:
        fail(os_words(error), status=_known(error) or FOUND)
    except Exception as error:
        status = _known(error)
        if status is None:
            raise
        _tell(error, status)


def interrupted(error: KeyboardInterrupt, message: str = "interrupted", hint: str = "") -> NoReturn:
    """End after Ctrl-C or SIGTERM."""
    fail(message, hint, status=TERMINATED if isinstance(error, Terminated) else INTERRUPTED)


def _known(error: Exception) -> int | None:
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next((_STATUS[name] for name in names if name in _STATUS), None)


def _tell(error: Exception, status: int) -> NoReturn:
    problems = getattr(error, "problems", ())
    if type(error).__name__ == "DeclarationError":
        # The problems begin with file:line:column, as editors want it.
        for problem in problems:
            warn(str(problem))
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        fail(f"the declaration cannot be used: {count}", status=status)
    reason, hint = getattr(error, "reason", None), getattr(error, "hint", "")
    if reason is None:
        fail(str(error), status=status)
    device = getattr(error, "device", "")
    fail(f"{device}: {reason}" if device else str(reason), str(hint), status=status)


def os_words(error: OSError) -> str:
    """What the system said, and of which file."""
    where = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    said = error.strerror or str(error) or type(error).__name__
    return f"{where}: {said}" if where else said


def prepare_streams() -> None:
    """Make writing safe: no closed descriptor that a journal might get, no character that cannot be shown."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor is this one
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
