"""What every transport offers: one round trip for a whole script, and a program with pipes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Protocol

from grappe.model.script import Answer, Script


class TransportError(Exception):
    """A device could not be reached, or broke off in mid-sentence.

    `device` is the host or switch, `reason` what was seen, `hint` what a person can do.
    """

    def __init__(self, device: str, reason: str, hint: str = "") -> None:
        super().__init__(f"{device}: {reason}" + (f" ({hint})" if hint else ""))
        self.device, self.reason, self.hint = device, reason, hint


class Transport(Protocol):
    """A way to one device."""

    @property
    def device(self) -> str:
        """The device's name as messages give it."""
        ...

    def run(self, script: Script, *, timeout: float = 60.0) -> tuple[Answer, ...]:
        """Run a script in one round trip; answers in order, ending after the first failed checked command.

        Raises TransportError when the device does not answer within `timeout` seconds or the line breaks.
        """
        ...

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        """Words to execute on this machine so that `argv` runs on the device (for consoles and probes)."""
        ...

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start `argv` on the device with three pipes."""
        ...

    def fresh(self) -> Transport:
        """Return the same way without a reused connection or cached name: proof of reach."""
        ...
