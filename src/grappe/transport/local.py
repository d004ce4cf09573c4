"""This machine as a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grappe.transport.process import ProcessTransport


@dataclass(frozen=True)
class Local(ProcessTransport):
    """This machine, with the rights that Grappe itself has."""

    device: str

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:  # noqa: ARG002 - ours already
        """Return `argv` as it is: a local program has the caller's terminal or pipes anyway."""
        return list(argv)

    def fresh(self) -> Local:
        """Return the same way: there is no connection that could be stale."""
        return self
