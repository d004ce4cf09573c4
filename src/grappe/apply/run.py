"""A run in progress: what all who take part in carrying out a plan share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from grappe.apply import compare
from grappe.apply.events import Event, Reconnecting
from grappe.apply.interrupt import Interrupt
from grappe.apply.journal import Journal
from grappe.apply.lease import Holder
from grappe.apply.observe import Endpoint, UnreadableError, look
from grappe.graph.change import Change
from grappe.graph.plan import Plan, Stage
from grappe.graph.resource import Key, Observation, Resource
from grappe.model.script import Answer, Script
from grappe.model.site import Site
from grappe.transport.base import Transport, TransportError

Probe = Callable[[], str]
"""Something that must work after a guarded stage: returns why it does not, or an empty string."""


class Outcome(StrEnum):
    """How a run ended.

    DONE: everything. UNDONE: a stage failed and was put back; earlier ones stay unless asked otherwise.
    STOPPED: before a stage was touched. INTERRUPTED: by the operator, after a whole step. BROKEN: an undo
    could not be proved; the lines to type are in the result.
    """

    DONE = "done"
    UNDONE = "undone"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Options:
    """How patient and how thorough a run is; times in seconds.

    `settle`: how long a predicted state may take to show. `step`: the longest a step may run. `attempt`:
    one try to reach a device anew. `patience`: how long a lost device is called before its undo is given
    up. `guard`: the dead-man's timer, None for the site's own. `probes` must succeed before a guarded stage
    is committed. `undo_all` takes earlier stages back too. `archive`: where devices' archives are kept
    here; None: none are made.
    """

    settle: float = 5.0
    step: float = 300.0
    attempt: float = 15.0
    patience: float = 60.0
    guard: int | None = None
    probes: tuple[Probe, ...] = ()
    undo_all: bool = False
    archive: Path | None = None


@dataclass
class Run:
    """One run of one plan. Threads share it."""

    id: str
    plan: Plan
    site: Site
    endpoints: Mapping[str, Endpoint]
    journal: Journal
    holder: Holder
    options: Options = field(default_factory=Options)
    tell: Callable[[Event], None] = lambda _event: None
    interrupt: Interrupt = field(default_factory=Interrupt)
    last: dict[str, Mapping[Key, Resource]] = field(default_factory=dict)
    """Resources of each scope as they were after our own latest step there."""
    moved: set[str] = field(default_factory=set)
    """Scopes that are reached over their arrival by now."""
    pace: dict[str, float] = field(default_factory=dict)
    """Seconds that the latest new connection to each scope took, with its answer."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, event: Event) -> str:
        """Write an event to the journal, then tell it.

        Returns why it could not be written, empty when it was: what is not in the journal is not begun, but
        what was begun must be brought to an end with or without one.
        """
        problem = ""
        with self._lock:
            try:
                self.journal.append(event)
            except OSError as error:
                problem = f"the journal {self.journal.path} cannot be written: {error.strerror}"
            self.tell(event)
        return problem

    def say(self, event: Event) -> None:
        """Tell an event that the journal need not know before it has its effect."""
        with self._lock:
            self.tell(event)

    def way(self, scope: str) -> Transport:
        """Return the way to a device as it is now."""
        endpoint = self.endpoints[scope]
        return endpoint.arrival if scope in self.moved and endpoint.arrival else endpoint.transport

    def ways(self, scope: str) -> tuple[Transport, ...]:
        """Return all ways to a device over new connections: where it is, then where else it may be."""
        endpoint, now = self.endpoints[scope], self.way(scope)
        both = (now, endpoint.transport if now is endpoint.arrival else endpoint.arrival)
        return tuple(way.fresh() for way in both if way is not None)

    def hang_up(self, scope: str) -> None:
        """Give up shared connections to a device: they may lead over a way that is no more."""
        endpoint = self.endpoints[scope]
        for way in (endpoint.transport, endpoint.arrival):
            close = getattr(way, "close", None)  # only some transports keep connections
            if close is not None:
                close()

    def look(self, scope: str, way: Transport | None = None) -> Observation:
        """Observe one scope. Raises TransportError or UnreadableError."""
        return look(self.site, scope, self.endpoints[scope], way or self.way(scope))

    def reach(self, scope: str, script: Script, until: float, *, timeout: float) -> tuple[Answer, ...]:
        """Run a script over new connections, again and again until it is answered or `until` has passed.

        `until` is a time.monotonic(); `timeout` bounds each try. Raises the last TransportError.
        """
        ways, tries = self.ways(scope), 0
        while True:
            began = time.monotonic()
            try:
                answers = ways[tries % len(ways)].run(script, timeout=timeout)
                self.pace[scope] = time.monotonic() - began
                return answers
            except TransportError as error:
                tries += 1
                if tries == 1:
                    self.say(Reconnecting(scope, error.reason, round(until - time.monotonic(), 1)))
                if time.monotonic() >= until:
                    raise
                time.sleep(0.3)

    def settled(
        self, scope: str, changes: Sequence[Change], until: float, way: Transport | None = None
    ) -> tuple[compare.Mismatch, ...]:
        """Look until the changes have come true or `until` has passed; returns what is still missing.

        Raises TransportError or UnreadableError when the last look failed.
        """
        while True:
            missing: tuple[compare.Mismatch, ...] = ()
            try:
                seen = self.look(scope, way).resources
                missing = tuple(m for c in net(changes) for m in compare.unmet(c, seen.get(c.key)))
                if not missing:
                    self.last[scope] = seen
                    return ()
            except (TransportError, UnreadableError):
                if time.monotonic() >= until:
                    raise
            if time.monotonic() >= until:
                return missing
            time.sleep(0.1)

    def notes(self, scope: str, changes: Sequence[Change]) -> tuple[str, ...]:
        """What looks different on the changed resources although no change meant it."""
        seen = self.last.get(scope, {})
        return tuple(str(m) for c in net(changes) for m in compare.unforeseen(c, seen.get(c.key)))


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a stage did not come about. `broken`: what could not be put back; `by_hand`: lines for that."""

    reason: str
    interrupted: bool = False
    broken: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """How a run ends with it."""
        if self.broken:
            return Outcome.BROKEN
        return Outcome.INTERRUPTED if self.interrupted else Outcome.UNDONE

    def worse(self, other: Trouble | None) -> Trouble:
        """Both troubles in one; the reason is this one's."""
        if other is None:
            return self
        by_hand = self.by_hand + other.by_hand
        return replace(self, broken=self.broken + other.broken, by_hand=by_hand)


def net(changes: Iterable[Change]) -> tuple[Change, ...]:
    """One change per key: from the first before to the last after."""
    found: dict[Key, Change] = {}
    for change in changes:
        first = found.get(change.key, change)
        found[change.key] = Change(change.key, first.before, change.after)
    return tuple(found.values())


def back(stage: Stage, scope: str) -> tuple[Change, ...]:
    """Changes that take a scope back to before a stage."""
    changes = [c for step in stage.of(scope) for c in step.changes]
    return tuple(c.reverse() for c in reversed(changes))


def failure(script: Script, answers: Sequence[Answer]) -> str:
    """Say which command of a script failed and what it said; empty when none did."""
    if len(answers) == len(script) and (not answers or answers[-1].ok or not script[-1].check):
        return ""
    if not answers:
        return "it gave no answer"
    command, answer = script[len(answers) - 1], answers[-1]
    words = " ".join(" ".join(command.argv).split())
    said = answer.err.strip() or answer.out.strip() or "it said nothing"
    return f"`{words if len(words) < 200 else words[:200] + '…'}` failed with status {answer.status}: {said}"
