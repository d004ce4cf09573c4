"""Run commands in a guest over its serial console, without network and without a person typing.

The shell echoes what it is sent and the kernel may write in between. Therefore the command travels in base64,
every wait is for a marker that the echo cannot contain, and the result comes back in base64 with its checksum
and is asked for again when it was disturbed; the command itself runs once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import select
import time
from collections.abc import Iterator
from itertools import count
from typing import Protocol

from grappe.model.script import Answer

# One typed line stays below the terminal driver's 4096 bytes and what a shell edits without trouble.
_CHUNK = 480
_READ_ATTEMPTS = 3


class Pipe(Protocol):
    """One end of a byte stream: a pipe, a socket, an open pty."""

    def fileno(self) -> int:
        """The file descriptor."""
        ...


class ConsoleError(Exception):
    """The console closed or did not say what was expected; `last` is the end of what it did say."""

    def __init__(self, reason: str, seen: bytes) -> None:
        self.last = seen[-400:].decode(errors="replace")
        super().__init__(f"{reason}; the console last said: {self.last!r}")


class ConsoleClosedError(ConsoleError):
    """The other end is gone: waiting longer is of no use."""


class Console:
    """The console behind a byte stream; `reader` and `writer` may be the same object.

    `seen` keeps everything that was read, as evidence for a failing test.
    """

    def __init__(self, reader: Pipe, writer: Pipe) -> None:
        self._reader, self._writer = reader, writer
        self.seen = bytearray()
        self._mark = 0
        self._tokens = _tokens()

    def wait_for(self, pattern: bytes, timeout: float = 30.0) -> re.Match[bytes]:
        """Read until the expression `pattern` appears after the last match; ConsoleError after `timeout`."""
        deadline = time.monotonic() + timeout
        while (found := re.compile(pattern, re.DOTALL).search(self.seen, self._mark)) is None:
            if not self._read(deadline - time.monotonic()):
                raise ConsoleError(f"no {pattern!r} within {timeout:.0f} s", bytes(self.seen))
        self._mark = found.end()
        return found

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until a shell answers: ask again, for what is sent before it listens is lost.

        Ctrl-C would also end a login that is still starting, or the program that carries the console here: it
        is typed in the second half of the time only, when something else holds the shell.
        """
        start, patience = time.monotonic(), 1.0
        while (waited := time.monotonic() - start) <= timeout:
            token = next(self._tokens)
            interrupt = "\x03" if waited > timeout / 2 else ""
            self._type(f"{interrupt}\recho {_split(token)}")
            try:
                self.wait_for(token.encode() + rb"\r?\n", min(patience, timeout))
            except ConsoleClosedError:
                raise
            except ConsoleError:
                patience = min(2 * patience, 30.0)
            else:
                return
        raise ConsoleError(f"no shell answered within {timeout:.0f} s", bytes(self.seen))

    def run(self, command: str, timeout: float = 30.0) -> Answer:
        """Run a shell command line in the guest; both of its outputs come together in `out`.

        Raises ConsoleError when no shell answers or the command does not end within `timeout` seconds; it is
        then interrupted.
        """
        self.wait_ready(max(timeout, 90.0))
        work = f"/tmp/{next(self._tokens)}"  # noqa: S108 - a path in the guest, new for each command
        encoded = base64.b64encode(command.encode()).decode()
        for start in range(0, len(encoded), _CHUNK):
            self._step(f"echo {encoded[start : start + _CHUNK]} >>{work}.in", 10.0)
        self._execute(work, timeout)
        answer = self._collect(work)
        self._step(f"rm -f {work}.*", 10.0)
        return answer

    def _execute(self, work: str, timeout: float) -> None:
        line = (
            f"base64 -d <{work}.in >{work}.sh; sh {work}.sh </dev/null >{work}.out 2>&1; echo $? >{work}.rc"
        )
        try:
            self._step(line, timeout)
        except ConsoleError:
            self._type("\x03")
            raise

    def _collect(self, work: str) -> Answer:
        for _ in range(_READ_ATTEMPTS):
            begin, end = next(self._tokens), next(self._tokens)
            sources = f"cat {work}.rc {work}.out"
            self._type(f"echo {_split(begin)}; {sources} | md5sum; {sources} | base64; echo {_split(end)}")
            found = self.wait_for(begin.encode() + rb"\r?\n(.*?)" + end.encode())
            answer = decoded(found[1])
            if answer is not None:
                return answer
        raise ConsoleError(f"the result was disturbed {_READ_ATTEMPTS} times", bytes(self.seen))

    def _step(self, line: str, timeout: float) -> None:
        token = next(self._tokens)
        self._type(f"{line}; echo {_split(token)}")
        self.wait_for(token.encode() + rb"\r?\n", timeout)

    def _type(self, line: str) -> None:
        data = line.encode() + b"\r"
        try:
            while data:
                data = data[os.write(self._writer.fileno(), data) :]
        except OSError as error:
            raise ConsoleClosedError(f"the console closed: {error.strerror}", bytes(self.seen)) from None

    def _read(self, timeout: float) -> bool:
        """Read what is there; false when nothing came in `timeout`, ConsoleError when it ended."""
        if timeout <= 0 or not select.select([self._reader], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self._reader.fileno(), 65536)
        except OSError as error:  # a pty whose other end closed gives EIO
            raise ConsoleClosedError(f"the console closed: {error.strerror}", bytes(self.seen)) from None
        if not data:
            raise ConsoleClosedError("the console closed", bytes(self.seen))
        self.seen += data
        return True


def _tokens() -> Iterator[str]:
    stem = f"grappe{os.urandom(4).hex()}"
    return (f"{stem}n{number}z" for number in count())


def _split(token: str) -> str:
    """The token as a shell word that does not contain it, so that the echo of a typed line is no answer."""
    return f'{token[:3]}""{token[3:]}'


def decoded(text: bytes) -> Answer | None:
    """The answer in what the guest sent: a checksum line, then base64 of the status line and the output.

    None when the checksum does not fit, for something else wrote on the console meanwhile.
    """
    words = text.split()
    try:
        payload = base64.b64decode(b"".join(words[2:]), validate=True)
    except binascii.Error:
        return None
    if not words or hashlib.md5(payload, usedforsecurity=False).hexdigest().encode() != words[0]:
        return None
    status, _, out = payload.partition(b"\n")
    return Answer(status=int(status), out=out.decode(errors="backslashreplace"))
