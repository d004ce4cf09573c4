"""A small client of QEMU's monitor protocol over its unix socket.

Protocol: QEMU's docs/interop/qmp-spec. Events are skipped; every answer has a time limit.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class QmpError(Exception):
    """QEMU refused a command, or its monitor does not answer."""


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for a socket's path that fits in the 108 bytes of a socket address, however deep the folder."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """A socket that listens at `path`, to be given to QEMU: a client then never comes too early."""
    path.unlink(missing_ok=True)
    line = socket.socket(socket.AF_UNIX)
    with reachable(path) as name:
        line.bind(name)
    line.listen(1)
    return line


class Monitor:
    """A conversation with one QEMU; use it as a context manager."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._line = socket.socket(socket.AF_UNIX)
        self._line.settimeout(timeout)
        try:
            with reachable(path) as name:
                self._line.connect(name)
            self._file = self._line.makefile("r", encoding="utf-8")
            self._receive()
            self.execute("qmp_capabilities")
        except OSError as error:
            self._line.close()
            raise QmpError(f"no QEMU answers at {path}: {error}") from error

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the conversation; the machine goes on."""
        self._file.close()
        self._line.close()

    def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Run a command and return its answer.

        Raises QmpError with QEMU's words when it refuses, or when the line breaks or stays silent.
        """
        message: dict[str, Any] = {"execute": command}
        if arguments:
            message["arguments"] = dict(arguments)
        try:
            self._line.sendall(json.dumps(message).encode() + b"\n")
            while not {"return", "error"} & (answer := self._receive()).keys():
                pass
        except OSError as error:
            raise QmpError(f"{command}: QEMU's monitor does not answer: {error}") from error
        if "error" in answer:
            raise QmpError(f"{command}: {answer['error'].get('desc', answer['error'])}")
        return answer["return"]

    def _receive(self) -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise QmpError("QEMU closed its monitor")
        answer: dict[str, Any] = json.loads(line)
        return answer
