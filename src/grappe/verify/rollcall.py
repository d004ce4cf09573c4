"""The roll call: who hears whom on every network, and who must not. The question, the reports, the verdict.
Pure.

A *point* is an interface on a device where frames are seen: a host's own port, a guest's port, an uplink, a
switch's port. A point *carries* networks, each untagged or behind its VLAN tag, and may *speak* on some of
them; a *voice* is a point speaking on one network. `judge` compares what every point heard of every voice
with what it carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property


class Kind(StrEnum):
    """What a point is, which says in which direction a frame counts as delivered to it."""

    HOST_PORT = "host-port"
    GUEST_PORT = "guest-port"
    UPLINK = "uplink"
    SWITCH_PORT = "switch-port"


class State(StrEnum):
    """A cell of the matrix: one listener, one voice."""

    HEARD = "heard"
    ISOLATED = "isolated"
    LEAK = "LEAK"
    DEAF = "DEAF"
    UNPROVED = "unproved"
    SELF = "self"


Tags = tuple[int, ...]
"""VLAN tags on a frame from the outermost; empty is untagged."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network as the roll call needs it: its name and its MTU in bytes."""

    name: str
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Temporary:
    """A port which the probe makes for the time of the run: a trunk on an Open vSwitch bridge.

    `mtu` is the least it must carry; it is raised to the bridge's, whose MTU follows its smallest port.
    """

    bridge: str
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Point:
    """A place where frames are seen.

    `carries` gives each network that ought to be seen there and its tag (None: untagged). `speaks` names
    those of them on which the point may send; networks with registered MACs are left out of it. Points of
    one `bundle` (a bond's members, redundant paths) are expected to hear jointly. A temporary point's
    `interface` is "".
    """

    device: str
    interface: str
    kind: Kind
    carries: tuple[tuple[str, int | None], ...]
    speaks: frozenset[str] = frozenset()
    label: str = ""
    bundle: str = ""
    peer: tuple[str, str] | None = None
    temporary: Temporary | None = None

    def __str__(self) -> str:
        """The point as messages name it."""
        if self.temporary:
            return f"{self.device} {self.temporary.bridge} (probe)"
        return f"{self.device} {self.interface}" + (f" ({self.label})" if self.label else "")


@dataclass(frozen=True, slots=True)
class Voice:
    """Point number `point` speaking on `network`, behind `tag`."""

    point: int
    network: str
    tag: int | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A full-size unicast frame to send: from a voice to a point, by their numbers."""

    voice: int
    target: int


@dataclass(frozen=True)
class Plan:
    """The whole question: points and networks, and the pairs to try with full-size frames."""

    site: str
    networks: tuple[Network, ...]
    points: tuple[Point, ...]
    pairs: tuple[Pair, ...] = ()

    @cached_property
    def voices(self) -> tuple[Voice, ...]:
        """Every voice, point by point; its number is its place here."""
        return tuple(
            Voice(number, network, tag)
            for number, point in enumerate(self.points)
            for network, tag in point.carries
            if network in point.speaks
        )

    @cached_property
    def mtu(self) -> Mapping[str, int]:
        """Each network's MTU."""
        return {network.name: network.mtu for network in self.networks}

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """The devices in order of appearance."""
        return tuple(dict.fromkeys(point.device for point in self.points))

    def speaker(self, voice: int) -> Point:
        """Return the point whose voice this is."""
        return self.points[self.voices[voice].point]

    def tag(self, network: str) -> int | None:
        """Return a network's VLAN tag, from any point that carries it tagged; None for a native one."""
        return next(
            (tag for point in self.points for name, tag in point.carries if name == network and tag), None
        )

    def expected(self, voice: int, point: int) -> Tags | None:
        """Return the tags with which the point ought to hear the voice; None where it must not."""
        for network, tag in self.points[point].carries:
            if network == self.voices[voice].network:
                return (tag,) if tag else ()
        return None


def jumbo_pairs(plan: Plan, networks: Iterable[str]) -> tuple[Pair, ...]:
    """Return every ordered pair of speaking points on different devices, for the networks named."""
    wanted = set(networks)
    members: dict[str, list[int]] = {}
    for number, voice in enumerate(plan.voices):
        if voice.network in wanted:
            members.setdefault(voice.network, []).append(number)
    return tuple(
        Pair(one, plan.voices[other].point)
        for group in members.values()
        for one in group
        for other in group
        if plan.speaker(one).device != plan.speaker(other).device
    )


# What the devices report


@dataclass(frozen=True, slots=True)
class Face:
    """An interface as its device found it. `error` is set where it cannot be listened to."""

    mac: str = ""
    mtu: int = 0
    up: bool = False
    carrier: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a point saw of a voice, in one direction and with one set of tags.

    `target` is the point a full-size frame was for, -1 for a presence frame. `size` is the largest payload in
    bytes. `first` and `last` are seconds since 1970 by the conductor's clock.
    """

    point: int
    voice: int
    target: int
    tags: Tags
    inward: bool
    count: int
    first: float
    last: float
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """What one device says after the run; `reason` is why it did not answer, "" when it did.

    `sent` and `errors` have a key for each voice, or (voice, target) for a full-size frame. `drops` counts,
    for a point, frames which its buffer lost.
    """

    device: str
    reason: str = ""
    faces: Mapping[int, Face] = field(default_factory=dict)
    sent: Mapping[tuple[int, int], int] = field(default_factory=dict)
    errors: Mapping[tuple[int, int], str] = field(default_factory=dict)
    heard: tuple[Heard, ...] = ()
    drops: Mapping[int, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()


# The verdict


@dataclass(frozen=True, slots=True)
class Cell:
    """One voice at one point: the state, why (for `unproved`), and the frames that were delivered there."""

    state: State
    reason: str = ""
    frames: tuple[Heard, ...] = ()


@dataclass(frozen=True, slots=True)
class Jumbo:
    """The full-size frame of one pair: `heard`, `DEAF` or `unproved`, with the MTU tried and what was
    seen."""

    pair: Pair
    mtu: int
    state: State
    reason: str = ""


@dataclass(frozen=True)
class RollCall:
    """The verdict: a matrix `cells[voice][point]`, the full-size pairs, and the reports they come from."""

    plan: Plan
    cells: tuple[tuple[Cell, ...], ...]
    jumbo: tuple[Jumbo, ...]
    reports: Mapping[str, Report]

    @cached_property
    def counts(self) -> Mapping[State, int]:
        """How many cells and pairs have each state."""
        total = dict.fromkeys(State, 0)
        for row in self.cells:
            for cell in row:
                total[cell.state] += 1
        for jumbo in self.jumbo:
            total[jumbo.state] += 1
        return total

    @property
    def ok(self) -> bool:
        """Whether nobody is deaf and nothing leaks. What could not be proved is `counts[State.UNPROVED]`."""
        return not self.counts[State.LEAK] and not self.counts[State.DEAF]


def delivered(kind: Kind, frame: Heard) -> bool:
    """Tell whether a frame seen at a point of this kind was delivered to it.

    To a host's own port frames come in; to a guest's port they go out, on the kernel datapath as on the
    userspace one (which writes to the tap's device, so that the guest's own frames are the ones that come
    in). What crosses an uplink or a switch's port counts in both directions.
    """
    if kind is Kind.HOST_PORT:
        return frame.inward
    if kind is Kind.GUEST_PORT:
        return not frame.inward
    return True


class _Ledger:
    """The reports, arranged for judging."""

    def __init__(self, plan: Plan, reports: Mapping[str, Report]) -> None:
        self.plan, self.reports = plan, reports
        self.presence: dict[tuple[int, int], list[Heard]] = {}
        self.full: dict[tuple[int, int, int], list[Heard]] = {}
        for report in reports.values():
            for frame in report.heard:
                self._file(frame)
        self.listening = {point for _, point in self.presence}
        self.silent = [self._why_silent(number) for number in range(len(plan.voices))]
        self.unheard = [self._why_unheard(number) for number in range(len(plan.points))]
        self.controlled = {voice for voice, point in self.presence if plan.expected(voice, point) is not None}

    def _file(self, frame: Heard) -> None:
        if not delivered(self.plan.points[frame.point].kind, frame):
            return
        if frame.target < 0:
            self.presence.setdefault((frame.voice, frame.point), []).append(frame)
        else:
            self.full.setdefault((frame.voice, frame.target, frame.point), []).append(frame)

    def _report(self, device: str) -> Report:
        return self.reports.get(device) or Report(device, reason="no probe ran there")

    def _why_silent(self, voice: int) -> str:
        """Why nothing can be said about a voice: its device did not answer, or never came to send."""
        speaker = self.plan.speaker(voice)
        report = self._report(speaker.device)
        if report.reason:
            return f"{speaker.device} did not answer: {report.reason}"
        if not report.sent.get((voice, -1)) and not report.errors.get((voice, -1)):
            return f"{speaker} sent nothing"
        return ""

    def _why_unheard(self, point: int) -> str:
        """Why nothing can be said about a listener: nobody listened there, or its buffer overran."""
        where = self.plan.points[point]
        report = self._report(where.device)
        if report.reason:
            return f"{where.device} did not answer: {report.reason}"
        face = report.faces.get(point)
        if face is None or face.error:
            return f"nobody listened at {where}: {face.error if face else 'not asked'}"
        return ""

    def lost(self, point: int) -> int:
        """Frames the listener's buffer lost: what it did not report, it may have missed."""
        return self._report(self.plan.points[point].device).drops.get(point, 0)


def _wrong_tags(plan: Plan, point: int, frames: Iterable[Heard], expected: Tags) -> State:
    """Judge a network that a point carries by the tags its frames bore."""
    seen = {frame.tags for frame in frames}
    if seen == {expected}:
        return State.HEARD
    access = plan.points[point].kind in (Kind.HOST_PORT, Kind.GUEST_PORT)
    return State.DEAF if access and expected not in seen else State.LEAK


def _named(plan: Plan, voice: int) -> str:
    return f"{plan.speaker(voice)} on {plan.voices[voice].network}"


def _absent(ledger: _Ledger, voice: int, point: int, expected: Tags | None) -> Cell:
    """Judge a cell where no frame was delivered."""
    plan = ledger.plan
    if reason := ledger.silent[voice] or ledger.unheard[point]:
        return Cell(State.UNPROVED, reason)
    if lost := ledger.lost(point):
        return Cell(State.UNPROVED, f"the listener's buffer lost {lost} frames")
    if expected is not None:
        return Cell(State.DEAF)
    if voice not in ledger.controlled:
        return Cell(
            State.UNPROVED, f"no positive control: nobody who should hear {_named(plan, voice)} heard it"
        )
    if point not in ledger.listening:
        return Cell(State.UNPROVED, f"no positive control: {plan.points[point]} heard nothing at all")
    return Cell(State.ISOLATED)


def _cell(ledger: _Ledger, voice: int, point: int) -> Cell:
    """Judge one cell."""
    plan = ledger.plan
    if plan.voices[voice].point == point:
        return Cell(State.SELF)
    expected = plan.expected(voice, point)
    frames = tuple(ledger.presence.get((voice, point), ()))
    if not frames:
        return _absent(ledger, voice, point, expected)
    if expected is None:
        return Cell(State.LEAK, frames=frames)
    return Cell(_wrong_tags(plan, point, frames, expected), frames=frames)


def _relax_bundles(plan: Plan, row: list[Cell]) -> list[Cell]:
    """A bundle's members hear jointly: with one that hears, the deaf ones are merely unproved."""
    for number, point in enumerate(plan.points):
        if point.bundle and row[number].state is State.DEAF and _bundle_hears(plan, row, point):
            row[number] = Cell(State.UNPROVED, f"another member of {point.bundle} carried it")
    return row


def _bundle_hears(plan: Plan, row: list[Cell], member: Point) -> bool:
    """Tell whether a member of the same bundle on the same device heard the voice."""
    return any(
        row[number].state is State.HEARD
        for number, point in enumerate(plan.points)
        if (point.device, point.bundle) == (member.device, member.bundle)
    )


def _jumbo(ledger: _Ledger, pair: Pair) -> Jumbo:
    """Judge one full-size frame."""
    plan = ledger.plan
    mtu = plan.mtu[plan.voices[pair.voice].network]
    if reason := ledger.silent[pair.voice] or ledger.unheard[pair.target]:
        return Jumbo(pair, mtu, State.UNPROVED, reason)
    frames = ledger.full.get((pair.voice, pair.target, pair.target), [])
    if any(frame.size >= mtu for frame in frames):
        return Jumbo(pair, mtu, State.HEARD)
    report = ledger.reports[plan.speaker(pair.voice).device]
    refused = report.errors.get((pair.voice, pair.target))
    if refused:
        return Jumbo(pair, mtu, State.DEAF, f"the sender's own interface refused it: {refused}")
    if not report.sent.get((pair.voice, pair.target)):
        return Jumbo(pair, mtu, State.UNPROVED, "it was not sent")
    return Jumbo(pair, mtu, State.DEAF)


def judge(plan: Plan, reports: Mapping[str, Report]) -> RollCall:
    """Compare what was heard with what ought to be heard.

    A cell is `isolated` only with two positive controls: the voice was heard by somebody who should hear
    it, and the listener heard something. `unproved` says why. Time is voices × points.
    """
    ledger = _Ledger(plan, reports)
    cells = tuple(
        tuple(_relax_bundles(plan, [_cell(ledger, voice, point) for point in range(len(plan.points))]))
        for voice in range(len(plan.voices))
    )
    return RollCall(plan, cells, tuple(_jumbo(ledger, pair) for pair in plan.pairs), reports)
