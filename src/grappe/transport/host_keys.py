"""First contact: the host key that a device shows on the way that will be taken, and the user's known_hosts.

ssh itself makes the contact, so that the user's configuration, ports, HostKeyAlias and jump hosts count
(ssh-keyscan knows none of them). It ends before any login. Options are those of ssh_config(5).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from grappe.transport.base import TransportError
from grappe.transport.ssh import OpenSsh


class State(StrEnum):
    """What the user's known_hosts say of a device's key. A changed key is a TransportError."""

    KNOWN = "known"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Contact:
    """A device's key: `lines` for known_hosts, `name` it is filed under, `file` that it belongs into."""

    state: State
    name: str = ""
    file: Path = Path()
    lines: str = ""
    fingerprints: tuple[str, ...] = ()


# No login is tried: the server refuses the method "none" after it has shown its key.
_NO_LOGIN = ("-o", "PreferredAuthentications=none", "-o", "UpdateHostKeys=no")


def contact(way: OpenSsh) -> Contact:
    """Ask a device for its key. Raises TransportError when it cannot be reached or its key has changed."""
    said = _call(way.fresh(), *_NO_LOGIN)
    if "Permission denied" in said:
        return Contact(State.KNOWN)
    if "you have requested strict checking" not in said or "IDENTIFICATION HAS CHANGED" in said:
        raise TransportError(way.device, *way.explain(said, 255))
    return _new(way)


def add(found: Contact) -> None:
    """Append a new key to the file of known hosts, which is made private when it is not there."""
    found.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(found.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(file).st_size
        torn = size and os.pread(file, 1, size - 1) != b"\n"
        os.write(file, (("\n" if torn else "") + found.lines).encode())
        os.fsync(file)
    finally:
        os.close(file)


def _new(way: OpenSsh) -> Contact:
    options = _options(way)
    with tempfile.TemporaryDirectory(prefix="grappe-") as place:
        fresh = Path(place, "known_hosts")
        # The first value of an option counts: these come before what every call says.
        said = _call(
            way.fresh(),
            *_NO_LOGIN,
            *("-o", "StrictHostKeyChecking=accept-new", "-o", "HashKnownHosts=no"),
            *("-o", f"UserKnownHostsFile={fresh}", "-o", "GlobalKnownHostsFile=/dev/null"),
        )
        lines = fresh.read_text() if fresh.exists() else ""
        if not lines:
            raise TransportError(way.device, *way.explain(said, 255))
        fingerprints = _keygen("-l", "-f", str(fresh)).splitlines()
        name = lines.split()[0]
        if options.get("hashknownhosts") == "yes":
            _keygen("-H", "-f", str(fresh))
            lines = fresh.read_text()
    files = options.get("userknownhostsfile", "").split()
    file = Path(files[0] if files else "~/.ssh/known_hosts").expanduser()
    return Contact(State.NEW, name, file, lines, tuple(fingerprints))


def _options(way: OpenSsh) -> dict[str, str]:
    """The user's own configuration for a device, as ssh understands it."""
    done = _ssh(way, "-G")
    pairs = (line.partition(" ") for line in done.stdout.splitlines())
    return {name: value for name, _, value in pairs}


def _call(way: OpenSsh, *options: str) -> str:
    return _ssh(way, *options).stderr


def _ssh(way: OpenSsh, *options: str) -> subprocess.CompletedProcess[str]:
    program, *words = way.argv(("true",))
    try:
        return subprocess.run(
            [program, *options, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TransportError(way.device, "it did not answer the connection in time") from None
    except OSError as error:
        raise TransportError(way.device, f"cannot start {program}: {error.strerror}") from error


def _keygen(*words: str) -> str:
    done = subprocess.run(["ssh-keygen", *words], capture_output=True, text=True, check=False)
    return done.stdout
