"""How a command speaks with a running lab: one JSON line each way over a socket in the state directory."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grappe.twin.errors import TwinError
from grappe.twin.settings import Folder


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name for `path` that fits a socket address (107 bytes), however deep its directory is."""
    handle = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{path.name}"
    finally:
        os.close(handle)


def listen(path: Path) -> socket.socket:
    """Open the lab's socket."""
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    with short_path(path) as name:
        listener.bind(name)
    listener.listen(64)
    return listener


def ask(folder: Folder, verb: str, *, timeout: float = 30.0, **about: str) -> dict[str, Any]:
    """Ask a running lab. Raises TwinError when it does not run, does not answer, or refuses."""
    with _connect(folder, timeout) as line:
        try:
            line.sendall(json.dumps({"verb": verb, **about}).encode() + b"\n")
            with line.makefile() as answers:
                text = answers.readline()
        except OSError as error:
            raise TwinError(f"the twin in {folder.path} broke off: {error}", f"See {folder.log}.") from error
    answer: dict[str, Any] = json.loads(text or '{"error": "no answer"}')
    if "error" in answer:
        raise TwinError(answer["error"], answer.get("hint", ""))
    return answer


def lab_pid(folder: Folder) -> int:
    """Process id, as seen here, of a running lab's first process (the kernel translates it)."""
    with _connect(folder, 5.0) as line:
        found = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[0])


def _connect(folder: Folder, timeout: float) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(timeout)
    try:
        with short_path(folder.control) as name:
            line.connect(name)
    except OSError as error:
        line.close()
        raise TwinError(f"no twin runs in {folder.path} ({error})", "`grappe twin up` starts it.") from error
    return line
