"""Measuring an outage: a pinger on a device watches one address while something is done to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grappe.transport.base import Transport, TransportError
from grappe.verify.gaps import Gap, Outage, analyse
from grappe.verify.line import Line

PATIENCE = 20.0
"""Seconds to wait for the pinger's start and its end."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What to ask: an IPv4 address, by ICMP through the device's routes or by ARP out of one interface."""

    target: str
    how: Literal["icmp", "arp"] = "icmp"
    interface: str = ""
    interval: float = 0.01


class Watch:
    """A running watch: use as a context manager, or call `stop`, which returns the outage.

    Raises TransportError when the pinger cannot start. If the line breaks in between, what came until then is
    judged: `broken` says so.
    """

    def __init__(self, transport: Transport, watched: Watched, *, life: float = 3600.0) -> None:
        self.watched, self.broken = watched, ""
        self._line = Line(transport, "pinger.py")
        self._sent: list[float] = []
        self._answers: list[float] = []
        self._outage: Outage | None = None
        self._line.order(
            do="start",
            how=watched.how,
            target=watched.target,
            interface=watched.interface,
            interval=watched.interval,
            life=life,
        )
        ready = self._line.await_event("ready", time.monotonic() + PATIENCE)
        if ready is None:
            self._line.close(0.0)
            raise TransportError(transport.device, f"no watch of {watched.target}: {self._line.reason}")
        self._to_wall = ready["received"] - ready["clock"]

    def __enter__(self) -> Watch:
        """Start was at construction."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, if that was not done."""
        self.stop()

    def so_far(self) -> Outage:
        """Judge what came until now."""
        for answer in self._line.waiting():
            self._take(answer)
        return self._judge(max(self._sent, default=0.0))

    def answered(self) -> bool:
        """Tell whether there was any answer yet: the positive control before the thing to be measured."""
        return self.so_far().answered > 0

    def stop(self) -> Outage:
        """End the watch and judge it; a second call gives the same."""
        if self._outage is None:
            self.so_far()
            self._outage = self._end()
        return self._outage

    def wall(self, gap: Gap) -> tuple[float, float]:
        """Return a gap's start and end in seconds since 1970 by this machine's clock."""
        return gap.start + self._to_wall, gap.end + self._to_wall

    def _end(self) -> Outage:
        bye = self._line.close(time.monotonic() + PATIENCE, keep=self._take)
        if bye is None:
            self.broken = self._line.reason or "the pinger did not report its end"
            return self._judge(max(self._sent, default=0.0))
        self._take(bye)
        return self._judge(float(bye["clock"]))

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._sent += answer.get("sent", ())
        self._answers += answer.get("answers", ())

    def _judge(self, end: float) -> Outage:
        return analyse(self._sent, self._answers, end, self.watched.interval)
