"""Standard output. A reader that has gone, or a full disk, never stops what runs on the devices."""

from __future__ import annotations

import errno
import json
import os
import sys

import typer

from grappe.cli.errors import warn
from grappe.model.text import harmless

_failed: list[str] = []


def say(text: str = "") -> None:
    """Print a line. When nobody reads any more (`grappe plan | head`), go on in silence."""
    try:
        typer.echo(harmless(text))
    except OSError as error:
        if error.errno != errno.EPIPE:
            _failed.append(error.strerror or "it failed")
            warn(f"error: standard output cannot be written: {_failed[0]}", colour="red")
        _to_nowhere()


def say_json(data: object) -> None:
    """Print data as JSON; beyond ASCII only where the output is UTF-8."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    say(json.dumps(data, indent=2, ensure_ascii=encoding != "utf8"))


def failed() -> bool:
    """Whether some output was lost although somebody wanted it."""
    return bool(_failed)


def _to_nowhere() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
