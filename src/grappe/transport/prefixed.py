"""A device behind a command prefix: a namespace behind nsenter, a container behind its runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grappe.transport.process import ProcessTransport


@dataclass(frozen=True)
class Prefixed(ProcessTransport):
    """A device on which a program runs when `prefix` stands before its words: ("nsenter", "-t", …, "--")."""

    device: str
    prefix: tuple[str, ...]

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:  # noqa: ARG002 - the caller's
        """Return prefix and words; the program has the caller's terminal or pipes."""
        return [*self.prefix, *argv]

    def fresh(self) -> Prefixed:
        """Return the same way: every run starts the prefix anew."""
        return self
