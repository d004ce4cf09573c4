"""A script: what is said to a device in one round trip, as data.

Platforms render scripts (pure), transports carry them, the journal keeps them. A command is an argv list
and what it reads on its standard input; a device's shell never parses a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One program call on a device.

    `argv` is passed as it stands, without a shell. `stdin` is text for its standard input. With `check`, a
    non-zero exit status ends the script there; without it, the status is only reported.
    """

    argv: tuple[str, ...]
    stdin: str = ""
    check: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command answered: exit status and its two outputs (text, undecodable bytes escaped)."""

    status: int
    out: str
    err: str = ""

    @property
    def ok(self) -> bool:
        """Whether the exit status was zero."""
        return self.status == 0


Script = tuple[Command, ...]


def command(*argv: str, stdin: str = "", check: bool = True) -> Command:
    """Build a command from its words."""
    return Command(argv=argv, stdin=stdin, check=check)


def script(*parts: Command | Iterable[Command]) -> Script:
    """Flatten commands and sequences of commands into one script."""
    flat: list[Command] = []
    for part in parts:
        flat.extend((part,) if isinstance(part, Command) else part)
    return tuple(flat)
