"""Knocking at SSH doors without waiting: does an sshd greet at an address of the operator's network?"""

from __future__ import annotations

import selectors
import socket
import time
from dataclasses import dataclass

_PATIENCE = 2.0


@dataclass(slots=True)
class _Knock:
    line: socket.socket
    since: float
    greeted: bool = False


class Doors:
    """Ask as often as you like; an answer of yes is given once, and then the address is forgotten."""

    def __init__(self, watched: selectors.BaseSelector) -> None:
        self._watched = watched
        self._knocks: dict[str, _Knock] = {}

    def answers(self, address: str) -> bool:
        """Whether an sshd has greeted since the last call; knocks again when nobody came for a while."""
        knock = self._knocks.get(address)
        if knock is None:
            self._knocks[address] = self._knock(address)
            return False
        if knock.greeted or time.monotonic() - knock.since > _PATIENCE:
            self._leave(address)
        return knock.greeted

    def _knock(self, address: str) -> _Knock:
        line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        line.setblocking(False)
        line.connect_ex((address, 22))
        knock = _Knock(line, time.monotonic())
        self._watched.register(line, selectors.EVENT_READ, lambda: self._opened(knock))
        return knock

    def _opened(self, knock: _Knock) -> None:
        try:
            knock.greeted = knock.line.recv(64).startswith(b"SSH-")
        except OSError:
            knock.greeted = False
        if not knock.greeted:
            knock.since = 0.0  # somebody said no: knock again the next time
        self._watched.unregister(knock.line)

    def _leave(self, address: str) -> None:
        knock = self._knocks.pop(address)
        if knock.line in self._watched.get_map():
            self._watched.unregister(knock.line)
        knock.line.close()
