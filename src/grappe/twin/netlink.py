"""Just enough rtnetlink to watch links come and go in several network namespaces and to switch them.

A socket keeps the namespace it was made in, so one process watches them all. Layouts: rtnetlink(7),
linux/if_link.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from grappe.twin import kernel

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_ERROR, _DONE = 2, 3
_REQUEST, _DUMP = 1, 0x300
_IFNAME = 3
_IFF_UP, _IFF_LOWER_UP = 1, 0x10000
_GROUP_LINK = 1
_HEADER, _IFINFO, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the kernel tells it; `up` is what was asked for, `carrier` what the wire gives."""

    index: int
    name: str
    up: bool
    carrier: bool
    gone: bool = False


class Links:
    """The links of one network namespace: ask, hear of changes, switch."""

    def __init__(self, netns: Path | None = None) -> None:
        """Open in `netns`, or in the caller's own namespace."""
        with kernel.inside_netns(netns) if netns else nullcontext():
            self._heard, self._asked = _open(), _open()
        self._heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._heard.bind((0, _GROUP_LINK))

    def fileno(self) -> int:
        """For selectors: readable when there are changes."""
        return self._heard.fileno()

    def close(self) -> None:
        """Let the namespace go."""
        self._heard.close()
        self._asked.close()

    def changes(self) -> list[Link]:
        """Return what was told since the last call; does not block. After an overrun, all links."""
        found: list[Link] = []
        while True:
            try:
                data = self._heard.recv(1 << 17, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            except OSError:  # ENOBUFS: the kernel dropped messages
                return self.all()
            found.extend(link for _, link in _messages(data) if link)

    def all(self) -> list[Link]:
        """Ask for every link."""
        self._forget_errors()
        self._send(_GETLINK, _REQUEST | _DUMP, _IFINFO.pack(0, 0, 0, 0, 0))
        found: list[Link] = []
        while True:
            for kind, link in _messages(self._asked.recv(1 << 17)):
                if kind in (_DONE, _ERROR):
                    return found
                if link:
                    found.append(link)

    def switch(self, index: int, up: bool) -> None:
        """Set a link up or down; a link that is gone is left alone."""
        self._send(_NEWLINK, _REQUEST, _IFINFO.pack(0, 0, index, _IFF_UP if up else 0, _IFF_UP))

    def _forget_errors(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._asked.recv(1 << 17, socket.MSG_DONTWAIT)

    def _send(self, kind: int, flags: int, payload: bytes) -> None:
        self._asked.send(_HEADER.pack(_HEADER.size + len(payload), kind, flags, 0, 0) + payload)


def _open() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)


def _messages(data: bytes) -> Iterator[tuple[int, Link | None]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        body = data[at + _HEADER.size : at + length]
        yield kind, _link(kind, body) if kind in (_NEWLINK, _DELLINK) else None
        at += (length + 3) & ~3


def _link(kind: int, body: bytes) -> Link | None:
    family, _, index, flags, _ = _IFINFO.unpack_from(body)
    if family != socket.AF_UNSPEC:  # what a bridge says of its port is not about the link
        return None
    name = _attribute(body[_IFINFO.size :], _IFNAME)
    return Link(
        index,
        os.fsdecode(name.rstrip(b"\0")),
        up=bool(flags & _IFF_UP),
        carrier=bool(flags & _IFF_LOWER_UP),
        gone=kind == _DELLINK,
    )


def _attribute(data: bytes, wanted: int) -> bytes:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if kind == wanted:
            return data[at + _ATTRIBUTE.size : at + length]
        at += (max(length, _ATTRIBUTE.size) + 3) & ~3
    return b""
