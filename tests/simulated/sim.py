"""Simulated devices: a directory each, whose resources are files, changed by real commands through real sh.

A resource is a file `state/KIND.NAME` that holds a text, its value. Kind `wire` is the way to the device: a
wire whose value is CUT makes it unreachable. Kind `data` is never removed by a plan.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from grappe.apply.device import HOME
from grappe.apply.observe import Endpoint, observe
from grappe.graph.change import Change, diff
from grappe.graph.plan import Disruption, Level, Plan, build
from grappe.graph.resource import Desired, Key, KindRules, Observation, Resource, Value
from grappe.model.script import Answer, Command, Script, command
from grappe.model.shell import round_trip
from grappe.model.site import Guard, Site
from grappe.platforms.base import Platform
from grappe.transport.base import TransportError
from grappe.transport.local import Local

CUT = "cut"
# Long, for a busy machine: tests in which a guard runs out set a short one.
SITE = Site(name="sim", guard=Guard(timeout=60))

# A refusal and a lie are kept as the value that is refused, or believed and not set; slow ones take a while.
_SET = """\
new=$(cat)
if [ "$new" = "$(cat "/sim/slow/$1" 2>/dev/null)" ]; then sleep 1.5; fi
if [ "$new" = "$(cat "/sim/refuse/$1" 2>/dev/null)" ]; then echo "refused: $1" >&2; exit 1; fi
if [ "$new" = "$(cat "/sim/lie/$1" 2>/dev/null)" ]; then exit 0; fi
if [ "$new" = absent ]; then rm -f "/sim/state/$1"; else printf %s "$new" >"/sim/state/$1"; fi
"""

_LIST = 'cd /sim/state || exit 1; for f in *; do [ -e "$f" ] || continue; echo "$f=$(cat "$f")"; done'


class SimPart:
    """The part of a platform that knows the files."""

    kinds: Mapping[str, KindRules] = {
        "first": KindRules(rank=1, batch="first"),
        "thing": KindRules(rank=2, batch="thing"),
        "wire": KindRules(rank=3, batch="wire"),
        "data": KindRules(rank=4, batch="data", data=True),
    }

    def questions(self) -> Script:
        return (command("sh", "-c", _LIST),)

    def understand(
        self, _site: Site, scope: str, answers: Sequence[Answer]
    ) -> tuple[Iterable[Resource], Mapping[str, Value]]:
        lines = (line.partition("=") for line in answers[0].out.splitlines())
        return [resource(scope, name, value) for name, _, value in lines], {}

    def lower(self, _site: Site, _scope: str, _seen: Observation) -> Desired:
        return Desired()

    def realise(self, changes: Sequence[Change]) -> Script:
        return tuple(_set(change) for change in changes)

    def disruption(self, change: Change) -> Disruption:
        return Disruption(Level.BLIP if change.path else Level.NONE)

    def irreversible(self, _change: Change) -> str:
        return ""


def _set(change: Change) -> Command:
    value = change.after.running["value"] if change.after else "absent"
    return command("sh", "-c", _SET, "sim", f"{change.key.kind}.{change.key.name}", stdin=str(value))


def resource(scope: str, name: str, value: str) -> Resource:
    kind, _, rest = name.partition(".")
    return Resource(Key(scope, kind, rest), running={"value": value}, path=kind == "wire")


@dataclass
class SimDevice:
    """One device: its directory, and what shall go wrong with it."""

    name: str
    place: Path
    calls: list[Script] = field(default_factory=list)
    before: Callable[[int, Script], None] = lambda _number, _script: None
    """Called before each call that reaches the device; may raise TransportError."""
    after: Callable[[int, Script], None] = lambda _number, _script: None
    lose: Callable[[Script], bool] = lambda _script: False
    """Whether the line breaks during a script, which then goes on by itself."""
    alone: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """Scripts that went on by themselves."""

    def __post_init__(self) -> None:
        for part in ("state", "refuse", "lie", "slow", "home"):
            (self.place / part).mkdir(parents=True, exist_ok=True)

    @property
    def state(self) -> dict[str, str]:
        return {p.name: p.read_text() for p in sorted((self.place / "state").glob("*"))}

    def set(self, name: str, value: str | None, where: str = "state") -> None:
        path = self.place / where / name
        if value is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(value)

    def cut(self) -> bool:
        return any(v == CUT for n, v in self.state.items() if n.startswith("wire."))

    def own(self, text: str) -> str:
        """The device's own paths, on this machine."""
        return text.replace(HOME, str(self.place / "home")).replace("/sim/", f"{self.place}/")

    def journal(self) -> str:
        path = self.place / "home" / "journal"
        return path.read_text() if path.exists() else ""

    def left(self) -> list[str]:
        """What a run left on the device, besides its journal and archives."""
        home, kept = self.place / "home", ("journal", "boot", "lease.lock", "begin.lock")
        return sorted(
            str(p.relative_to(home))
            for p in home.rglob("*")
            if p.is_file() and p.name not in kept and "archive" not in p.parts
        )


@dataclass
class SimTransport:
    """The way to a simulated device: unreachable while its wire is cut, before or after a call."""

    device_: SimDevice

    @property
    def device(self) -> str:
        return self.device_.name

    def run(self, script: Script, *, timeout: float = 60.0) -> tuple[Answer, ...]:
        it = self.device_
        self._reachable()
        it.calls.append(script)
        it.before(len(it.calls), script)
        own = tuple(replace(c, argv=tuple(map(it.own, c.argv)), stdin=it.own(c.stdin)) for c in script)
        if it.lose(script):
            self._left_alone(own)
        answers = Local(it.name).run(own, timeout=timeout)
        it.after(len(it.calls), script)
        self._reachable()
        return answers

    def _left_alone(self, script: Script) -> None:
        """The line breaks, and the device goes on by itself."""
        words = ["sh", "-c", round_trip(script)]
        with self.device_.place.joinpath("alone").open("wb") as out:
            alone = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, start_new_session=True)
        self.device_.alone.append(alone)
        raise TransportError(self.device, "the line broke in mid-conversation")

    def _reachable(self) -> None:
        if self.device_.cut():
            raise TransportError(self.device, "no answer: its wire is cut")

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        return Local(self.device).argv(argv, tty=tty)

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        return Local(self.device).popen(argv)

    def fresh(self) -> SimTransport:
        return self


PLATFORM = Platform(SimPart())


class Rig:
    """Some devices, and plans for them."""

    def __init__(self, place: Path, *names: str) -> None:
        self.place = place
        self.devices = {name: SimDevice(name, place / name) for name in names}
        self.endpoints = {n: Endpoint(PLATFORM, SimTransport(d)) for n, d in self.devices.items()}

    def __getitem__(self, name: str) -> SimDevice:
        return self.devices[name]

    def plan(self, wanted: Mapping[str, Mapping[str, str]], coupled: Iterable[tuple[str, str]] = ()) -> Plan:
        """Plan from what is there to `wanted`: scope -> name -> value; what is not named goes."""
        survey = observe(SITE, {scope: self.endpoints[scope] for scope in wanted})
        assert not survey.unknown, survey.unknown
        seen = {k: r for o in survey.observations.values() for k, r in o.resources.items()}
        desired = [
            Desired(tuple(resource(scope, name, value) for name, value in names.items()))
            for scope, names in wanted.items()
        ]
        difference = diff(desired, seen, PLATFORM.kinds)
        digest = json.dumps(wanted, sort_keys=True)
        return build(
            difference,
            seen,
            PLATFORM.kinds,
            lambda _scope: PLATFORM,
            site="sim",
            digest=digest,
            coupled=coupled,
        )

    def state(self) -> dict[str, dict[str, str]]:
        return {name: device.state for name, device in self.devices.items()}
