"""Conducting a roll call: a probe on every device, rounds of shouting, reports gathered, all torn down again.

The probes are started at once and answer at their own pace; every wait has a limit, after which the device
counts as not answering and its cells as unproved. The rounds end early, once everybody was heard twice and a
quiet moment for leaks has passed.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grappe.transport.base import Transport
from grappe.verify.line import Line
from grappe.verify.rollcall import Face, Heard, Plan, Point, Report, RollCall, State, Tags, judge


@dataclass(frozen=True, slots=True)
class Tempo:
    """How fast and how long. Seconds, except `rounds` and `jumbo_rounds`.

    `spacing` is between two frames of one device, `settle` between a round and its report, `quiet` the last
    wait for leaks. `life` is after how long a probe leaves by itself.
    """

    rounds: int = 4
    jumbo_rounds: int = 3
    spacing: float = 0.004
    settle: float = 0.08
    quiet: float = 0.25
    patience: float = 20.0
    life: float = 120.0


class _Line:
    """One device in the roll call: the line to its probe, and what is known so far."""

    def __init__(self, transport: Transport) -> None:
        self.line = Line(transport, "probe.py")
        self.device = transport.device
        self.faces: dict[int, Face] = {}
        self.sent: dict[tuple[int, int], int] = {}
        self.errors: dict[tuple[int, int], str] = {}
        self.heard: dict[tuple[int, int, int, Tags, bool], Heard] = {}
        self.drops: dict[int, int] = {}
        self.ports: tuple[str, ...] = ()
        self.left: tuple[str, ...] = ()
        self.skew, self.round_trip = 0.0, float("inf")

    def close(self, deadline: float) -> None:
        """End the probe; what it answered before stands, even if it does not confirm its end."""
        if self.line.open:
            bye = self.line.close(deadline)
            self.left = tuple(bye["left"]) if bye else self.ports

    def take_clock(self, answer: dict[str, Any], asked: float) -> None:
        """Keep the clock's difference (device minus ours) from the shortest round trip so far."""
        received = answer["received"]
        if received - asked < self.round_trip:
            self.round_trip = received - asked
            self.skew = answer["time"] - (asked + received) / 2

    def take_ready(self, answer: dict[str, Any]) -> None:
        """Keep the faces."""
        self.faces = {int(point): Face(**found) for point, found in answer["faces"].items()}

    def take_shouted(self, answer: dict[str, Any]) -> None:
        """Keep what was sent and what the kernel refused."""
        for name, count in answer["sent"].items():
            self.sent[_name(name)] = self.sent.get(_name(name), 0) + count
        for name, problem in answer["errors"].items():
            self.errors[_name(name)] = problem

    def take_report(self, answer: dict[str, Any]) -> list[Heard]:
        """Add a report to what is known; return the news."""
        self.drops.update({int(point): lost for point, lost in answer["drops"].items()})
        news = [_heard(row, self.skew) for row in answer["heard"]]
        for new in news:
            key = (new.point, new.voice, new.target, new.tags, new.inward)
            self.heard[key] = _merge(self.heard.get(key), new)
        return news

    def report(self) -> Report:
        """What this device had to say, so far."""
        heard = tuple(self.heard.values())
        return Report(
            self.device, self.line.reason, self.faces, self.sent, self.errors, heard, self.drops, self.left
        )


def _name(text: str) -> tuple[int, int]:
    """Read a voice's number, or "voice>target"."""
    voice, _, target = text.partition(">")
    return int(voice), int(target) if target else -1


def _heard(row: list[Any], skew: float) -> Heard:
    """Read one row of a probe's report."""
    point, voice, _, kind, target, tags, direction, count, first, last, size, _ = row
    return Heard(
        point=point,
        voice=voice,
        target=target if kind == 2 else -1,
        tags=tuple(int(tag) for tag in tags.split(".") if tag),
        inward=direction == "in",
        count=count,
        first=first - skew,
        last=last - skew,
        size=size,
    )


def _merge(old: Heard | None, new: Heard) -> Heard:
    """Add what was newly heard to what was heard before."""
    if old is None:
        return new
    return Heard(
        point=new.point,
        voice=new.voice,
        target=new.target,
        tags=new.tags,
        inward=new.inward,
        count=old.count + new.count,
        first=min(old.first, new.first),
        last=max(old.last, new.last),
        size=max(old.size, new.size),
    )


def temporary_mac(site: str, point: Point) -> str:
    """Return a temporary port's own MAC, locally administered: the same in every run, to keep tables
    small."""
    bridge = point.temporary.bridge if point.temporary else ""
    digest = hashlib.sha256(f"{site}\0{point.device}\0{bridge}".encode()).hexdigest()
    return ":".join(["02", *(digest[at : at + 2] for at in range(0, 10, 2))])


@dataclass
class Conductor:
    """One roll call: the lines to all devices, and the order in which things are said.

    Use as a context manager: leaving it stops every probe, whatever happened.
    """

    plan: Plan
    transports: Mapping[str, Transport]
    tempo: Tempo = field(default_factory=Tempo)
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    sequence: int = 0

    def __enter__(self) -> Conductor:
        """Start every probe and wait until all listen."""
        self.lines = {
            device: _Line(self.transports[device])
            for device in self.plan.devices
            if device in self.transports
        }
        try:
            self._set_up()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop every probe; their ports go with them."""
        self._close()

    def _close(self) -> None:
        """Stop all at once: each is told first, then each is waited for."""
        deadline = time.monotonic() + self.tempo.patience
        threads = [threading.Thread(target=line.close, args=(deadline,)) for line in self.lines.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _set_up(self) -> None:
        for line in self.lines.values():
            line.ports = tuple(self._interface(n) for n in self._points_of(line.device) if self._port(n))
            line.line.order(**self._setup_order(line.device))
        for line, answer in self._gather("ready"):
            line.take_ready(answer)

    def _gather(self, event: str) -> Iterable[tuple[_Line, dict[str, Any]]]:
        """Wait for an answer from every line, up to one common deadline; leave out those that fail."""
        deadline = time.monotonic() + self.tempo.patience
        for line in self.lines.values():
            answer = line.line.await_event(event, deadline)
            if answer is not None:
                yield line, answer

    def _interface(self, number: int) -> str:
        """Return a point's interface; a temporary one gets a name of this run, 15 characters at most."""
        point = self.plan.points[number]
        return f"gp{self.nonce[:7]}{number:x}" if point.temporary else point.interface

    def _points_of(self, device: str) -> list[int]:
        return [number for number, point in enumerate(self.plan.points) if point.device == device]

    def _setup_order(self, device: str) -> dict[str, object]:
        mine = self._points_of(device)
        networks = {network.name: number for number, network in enumerate(self.plan.networks)}
        voices = [
            [number, voice.point, networks[voice.network], voice.tag]
            for number, voice in enumerate(self.plan.voices)
            if self.plan.points[voice.point].device == device
        ]
        return {
            "do": "setup",
            "site": hashlib.sha256(self.plan.site.encode()).hexdigest()[:8],
            "nonce": self.nonce,
            "life": self.tempo.life,
            "ports": [port for number in mine if (port := self._port(number))],
            "listen": [[number, self._interface(number)] for number in mine],
            "voices": voices,
        }

    def _port(self, number: int) -> dict[str, object] | None:
        """Describe the temporary port of a point; None where it needs none."""
        point = self.plan.points[number]
        if point.temporary is None:
            return None
        return {
            "name": self._interface(number),
            "bridge": point.temporary.bridge,
            "trunks": ",".join(str(tag or 0) for _, tag in point.carries),
            "mac": temporary_mac(self.plan.site, point),
            "mtu": max([point.temporary.mtu, *(self.plan.mtu[network] for network, _ in point.carries)]),
        }

    # Rounds

    def shout(self) -> list[Heard]:
        """One round of presence: every voice once, then everybody's news."""
        self.sequence += 1
        for line in self.lines.values():
            voices = [n for n in range(len(self.plan.voices)) if self.plan.speaker(n).device == line.device]
            line.line.order(do="shout", seq=self.sequence, spacing=self.tempo.spacing, voices=voices)
        return self._after_round()

    def _after_round(self) -> list[Heard]:
        for line, answer in self._gather("shouted"):
            line.take_shouted(answer)
        time.sleep(self.tempo.settle)
        return self.collect()

    def collect(self) -> list[Heard]:
        """Ask everybody for news."""
        asked = time.time()
        for line in self.lines.values():
            line.line.order(do="report")
        news: list[Heard] = []
        for line, answer in self._gather("report"):
            line.take_clock(answer, asked)
            news += line.take_report(answer)
        return news

    def send_jumbo(self, pairs: Iterable[int]) -> None:
        """One round of full-size frames, for these numbers of the plan's pairs."""
        self.sequence += 1
        wanted = [self.plan.pairs[number] for number in pairs]
        for line in self.lines.values():
            rows = [
                [pair.voice, pair.target, mac, self.plan.mtu[self.plan.voices[pair.voice].network]]
                for pair in wanted
                if self.plan.speaker(pair.voice).device == line.device and (mac := self._mac(pair.target))
            ]
            line.line.order(do="jumbo", seq=self.sequence, spacing=self.tempo.spacing, pairs=rows)
        self._after_round()

    def _mac(self, point: int) -> str:
        """Return a point's MAC as its device told it, "" when it did not."""
        line = self.lines.get(self.plan.points[point].device)
        face = line.faces.get(point) if line else None
        return face.mac if face else ""

    def verdict(self) -> RollCall:
        """Judge what is known so far."""
        return judge(self.plan, {device: line.report() for device, line in self.lines.items()})

    # The whole run

    def presence(self) -> None:
        """Shout until everybody was heard twice, or nothing new comes in spite of three rounds."""
        missing = -1
        for number in range(self.tempo.rounds):
            self.shout()
            before, missing = missing, self._missing()
            if missing == before and (missing == 0 or number >= 2):
                break
        time.sleep(self.tempo.quiet)
        self.collect()

    def _missing(self) -> int:
        """Count the cells where somebody should have heard and has not yet."""
        return self.verdict().counts[State.DEAF]

    def jumbo(self) -> None:
        """Send the full-size frames; again those that did not arrive."""
        for _ in range(self.tempo.jumbo_rounds):
            verdict = self.verdict().jumbo
            lost = [number for number, pair in enumerate(verdict) if pair.state is not State.HEARD]
            if not lost:
                break
            self.send_jumbo(lost)


def roll_call(plan: Plan, transports: Mapping[str, Transport], tempo: Tempo | None = None) -> RollCall:
    """Hold one roll call over the devices of the plan and judge it.

    A device without a transport, or one that does not answer, makes its cells unproved; nothing is raised
    for it.
    """
    with Conductor(plan, transports, tempo or Tempo()) as conductor:
        conductor.presence()
        conductor.jumbo()
    return conductor.verdict()


def roll_calls(
    plan: Plan,
    transports: Mapping[str, Transport],
    *,
    until: threading.Event,
    news: Callable[[list[Heard]], None] = lambda _: None,
    tempo: Tempo | None = None,
) -> RollCall:
    """Hold rounds while an operation runs, until the event is set; then judge them all together.

    `news` is called after each round with what was newly heard, stamped with the conductor's clock. A
    network that was deaf for a moment only shows in the counts: this is a watch for leaks.
    """
    with Conductor(plan, transports, tempo or Tempo(settle=0.02, life=3600.0)) as conductor:
        while True:
            last = until.is_set()
            news(conductor.shout())
            if last:
                break
        time.sleep(conductor.tempo.quiet)
        news(conductor.collect())
    return conductor.verdict()
