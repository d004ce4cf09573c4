"""What all transports share whose way to a device is a program on this machine: ssh, nsenter, nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import IO

from grappe.model.script import Answer, Script
from grappe.model.shell import RoundTripError, parse_round_trip, round_trip
from grappe.transport.base import TransportError


class ProcessTransport(ABC):
    """A transport over `argv`: the words that make a program run on the device."""

    device: str

    @abstractmethod
    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        """Words to execute on this machine so that `argv` runs on the device."""

    def explain(self, said: str, status: int) -> tuple[str, str]:
        """Reason and hint for a program that ended with `status` and `said` that on its error output."""
        last = said.strip().splitlines()[-1:] or ["nothing was said"]
        return f"no whole answer, exit status {status}: {last[0]}", ""

    def run(self, script: Script, *, timeout: float = 60.0) -> tuple[Answer, ...]:
        """Run a script in one round trip; answers in order, ending after the first failed checked command.

        The script travels on the standard input of `sh`, so that no process list shows it. Raises
        TransportError when the device does not answer within `timeout` seconds or the line breaks.
        """
        text = round_trip(script).encode("utf-8", "surrogateescape")
        # A file, for a connection that stays open in the background may keep an error pipe open with it.
        with tempfile.TemporaryFile() as errors:
            out, status = self._talk(text, errors, timeout)
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace")
        try:
            return parse_round_trip(out)
        except RoundTripError as error:
            reason, hint = self.explain(said, status) if status else (str(error), "")
            raise TransportError(self.device, reason, hint) from error

    def _talk(self, text: bytes, errors: IO[bytes], timeout: float) -> tuple[bytes, int]:
        argv = self.argv(("sh", "-s"))
        # A session of its own: Ctrl-C at the terminal is for us to handle, not for the line to die of.
        with self._start(argv, stderr=errors) as process:
            try:
                out, _ = process.communicate(text, timeout)
            except subprocess.TimeoutExpired:
                _end(process)
                hint = "it may still be doing what it was told: look before trying again"
                raise TransportError(self.device, f"no answer within {timeout:g} s", hint) from None
            except BaseException:
                _end(process)
                raise
        return out, process.returncode

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start `argv` on the device with three pipes."""
        return self._start(self.argv(argv), stderr=subprocess.PIPE)

    def _start(self, argv: list[str], *, stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True)
        except OSError as error:
            reason = f"cannot start {argv[0]}: {error.strerror}"
            raise TransportError(self.device, reason, "is it installed on this machine?") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a call and what it started: a moment to remove its private files, then at once."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
