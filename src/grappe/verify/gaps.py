"""Gaps: from the times at which pings were sent and answered to the outage. Pure.

The measure is the longest time without an answer, not the number of lost pings: a paused guest answers late
what was queued, and a receive buffer under load drops single answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without an answer: from the last answer before it to the first one after, seconds on one
    clock."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Outage:
    """What a watch saw: pings sent and answered, the gaps longest first, and the pinger's own longest pause.

    `open_end`: the longest gap had not ended when the watch did. `interval` is the time between two pings.
    """

    sent: int
    answered: int
    interval: float
    gaps: tuple[Gap, ...]
    own_pause: float
    open_end: bool

    @property
    def longest(self) -> float:
        """Seconds of the longest time without an answer; an interval or less is none at all."""
        return self.gaps[0].length if self.gaps else 0.0

    def __str__(self) -> str:
        """The measurement as a sentence."""
        if not self.answered:
            return f"no answer to {self.sent} pings"
        lost = self.sent - self.answered
        text = f"longest gap {self.longest * 1000:.0f} ms; {lost} of {self.sent} pings without an answer"
        if self.open_end:
            text += "; it was not over at the end"
        if self.own_pause > max(self.longest / 2, 5 * self.interval):
            text += (
                f"; the pinger itself paused for {self.own_pause * 1000:.0f} ms, so the gap may be its own"
            )
        return text


def analyse(
    sent: Sequence[float], answers: Sequence[float], end: float, interval: float, *, most: int = 5
) -> Outage:
    """Find the gaps in a watch.

    `sent` and `answers` are times in seconds on the pinger's clock, `end` is when it stopped listening. The
    watch begins with the first ping; a gap that is open at the end counts up to the last ping, for which an
    answer was still awaited. Gaps shorter than two intervals are the spacing of the pings.
    """
    if not sent:
        return Outage(0, 0, interval, (), 0.0, False)
    ordered = sorted(answers)
    last = min(end, max(sent))
    edges = [min(sent), *ordered, max(last, ordered[-1] if ordered else last)]
    gaps = [Gap(one, other) for one, other in pairwise(edges) if other - one > 1.5 * interval]
    gaps.sort(key=lambda gap: -gap.length)
    sends = sorted(sent)
    return Outage(
        sent=len(sent),
        answered=len(answers),
        interval=interval,
        gaps=tuple(gaps[:most]),
        own_pause=max((other - one for one, other in pairwise(sends)), default=0.0),
        open_end=bool(gaps) and gaps[0].end == edges[-1] and gaps[0].end not in ordered,
    )
