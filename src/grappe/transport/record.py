"""Record what a device was asked and what it answered, and play it back, strictly, without the device."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grappe.model.script import Answer, Command, Script
from grappe.transport.base import Transport, TransportError


@dataclass
class Recorder:
    """Passes everything on to `inner` and adds each script with its answers, a line of JSON, to a file."""

    inner: Transport
    path: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def device(self) -> str:
        """The device's name as messages give it."""
        return self.inner.device

    def run(self, script: Script, *, timeout: float = 60.0) -> tuple[Answer, ...]:
        """Run a script and record it; a lost line is recorded too, and raised again."""
        try:
            answers = self.inner.run(script, timeout=timeout)
        except TransportError as error:
            self._write(script, {"error": [error.reason, error.hint]})
            raise
        self._write(script, {"answers": [[a.status, a.out, a.err] for a in answers]})
        return answers

    def _write(self, script: Script, end: dict[str, Any]) -> None:
        line = json.dumps({"device": self.device, "script": _to_json(script), **end})
        with self._lock, self.path.open("a") as file:
            file.write(line + "\n")

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        """Words to execute on this machine; what they do is not recorded."""
        return self.inner.argv(argv, tty=tty)

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start `argv` on the device with three pipes; what passes through them is not recorded."""
        return self.inner.popen(argv)

    def fresh(self) -> Recorder:
        """Return a recorder of the fresh way, into the same file."""
        return Recorder(self.inner.fresh(), self.path, self._lock)


class ReplayError(AssertionError):
    """A replayed device was asked something else than was recorded, or more."""


@dataclass
class Replay:
    """Plays the recording of one device back: the same scripts in the same order, and nothing else."""

    device: str
    path: Path
    _left: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        lines = map(json.loads, self.path.read_text().splitlines())
        self._left = [line for line in lines if line["device"] == self.device]

    @property
    def left(self) -> int:
        """How many recorded scripts were not asked for yet."""
        return len(self._left)

    def run(self, script: Script, *, timeout: float = 60.0) -> tuple[Answer, ...]:  # noqa: ARG002 - no wait
        """Answer as recorded. Raises ReplayError, or the TransportError that was recorded."""
        if not self._left:
            raise ReplayError(f"{self.device}: nothing more was recorded, asked {_words(script)}")
        recorded = self._left[0]
        if recorded["script"] != _to_json(script):
            expected = _words(_from_json(recorded["script"]))
            raise ReplayError(f"{self.device}: expected {expected}, asked {_words(script)}")
        del self._left[0]
        if "error" in recorded:
            raise TransportError(self.device, *recorded["error"])
        return tuple(Answer(*answer) for answer in recorded["answers"])

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        """Raise: there is no device to run programs on."""
        raise ReplayError(
            f"{self.device}: only scripts are replayed, asked for {list(argv)} (terminal: {tty})"
        )

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Raise: there is no device to run programs on."""
        raise ReplayError(f"{self.device}: only scripts are replayed, asked for {list(argv)}")

    def fresh(self) -> Replay:
        """Return itself: a recording has no connection."""
        return self


def _to_json(script: Script) -> list[list[Any]]:
    return [[list(c.argv), c.stdin, c.check] for c in script]


def _from_json(data: list[list[Any]]) -> Script:
    return tuple(Command(tuple(argv), stdin, check) for argv, stdin, check in data)


def _words(script: Script) -> str:
    return "; ".join(" ".join(c.argv) for c in script) or "nothing"
