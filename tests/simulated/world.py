"""Worlds for the planner's properties: random pairs of what is and what shall be, and a device that refuses.

The device is written from the rules, not from the planner: it reads rendered commands only, keeps its own
state of plain values, and refuses what real ones refuse. A case is decoded from bytes, so that hypothesis
draws quickly and shrinks by shortening and zeroing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from grappe.graph.change import Change, diff
from grappe.graph.plan import Disruption, Level, Plan, Step, build
from grappe.graph.resource import Desired, Key, KindRules, Refusal, Resource, Role, Value
from grappe.model.script import Command, Script

SCOPES = ("h1", "h2", "sw")
TOKENS = ("t0", "t1", "t2")
NAMES = ("a", "b")

KINDS: Mapping[str, KindRules] = {
    "nic": KindRules(rank=0, batch="ovs"),
    "dyn": KindRules(rank=0, batch="ovs"),
    "port": KindRules(rank=1, batch="ovs"),
    "net": KindRules(rank=2, batch="virt", fixed=frozenset({"uuid"})),
    "vm": KindRules(rank=3, batch="virt", data=True),
}
ROLES = {"nic": Role.MANAGED, "dyn": Role.DERIVED, "port": Role.OWNED, "net": Role.OWNED, "vm": Role.OWNED}
UNDOABLE_NOT = "size"
"""Changing this attribute of a VM cannot be undone."""
WIDTH = 330
"""Bytes that hold a case; a longer tail is not read."""
KEYS = tuple(Key(s, k, n) for s in SCOPES for k in KINDS for n in NAMES)


class DeviceError(Exception):
    """What the simulated device answers to a step it cannot carry out."""


@dataclass
class Thing:
    """An object on a device, in plain values."""

    running: dict[str, Any] = field(default_factory=dict)
    persistent: dict[str, Any] = field(default_factory=dict)
    marked: bool = False

    def copy(self) -> Thing:
        return Thing(dict(self.running), dict(self.persistent), self.marked)

    @property
    def needs(self) -> Sequence[str]:
        return [*self.running.get("needs", ()), *self.persistent.get("needs", ())]

    @property
    def claims(self) -> set[str]:
        return {*self.running.get("claims", ()), *self.persistent.get("claims", ())}


State = dict[str, Thing]


def plain(value: Value) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value


def typed(value: Any) -> Value:
    return frozenset(value) if isinstance(value, list) else value


class World:
    """All devices of a site. `run` carries out a step's script or refuses it as a whole."""

    def __init__(self, state: State, paths: frozenset[Key] = frozenset()) -> None:
        self.state = {k: t.copy() for k, t in state.items()}
        self.paths = paths

    def copy(self) -> World:
        return World(self.state, self.paths)

    def run(self, scope: str, script: Script) -> None:
        """Carry out a script as one transaction."""
        trial = {k: t.copy() for k, t in self.state.items()}
        for command in script:
            _execute(trial, scope, command)
        complaint = invalid(trial)
        if complaint:
            raise DeviceError(complaint)
        self.state = trial

    def observe(self) -> dict[Key, Resource]:
        """Everything on all devices, as an observation."""
        return {Key.parse(k): self._resource(Key.parse(k), t) for k, t in self.state.items()}

    def _resource(self, key: Key, thing: Thing) -> Resource:
        return Resource(
            key=key,
            running={n: typed(v) for n, v in thing.running.items()},
            persistent={n: typed(v) for n, v in thing.persistent.items()},
            role=ROLES[key.kind],
            needs=frozenset(map(Key.parse, thing.needs)),
            claims=frozenset(thing.claims),
            marked=thing.marked,
            path=key in self.paths,
        )


def _execute(state: State, scope: str, command: Command) -> None:
    verb, name = command.argv
    where, kind, _ = name.split("/", 2)
    if where != scope:
        raise DeviceError(f"{scope} was told to {verb} {name}")
    if kind == "dyn":
        raise DeviceError(f"{name} comes and goes by itself")
    if verb == "remove":
        if kind == "nic":
            raise DeviceError(f"{name} is hardware")
        state.pop(name, None)
        return
    if name not in state and kind == "nic":
        raise DeviceError(f"{name}: no such device")
    made = name not in state
    thing = state.setdefault(name, Thing())
    order = json.loads(command.stdin)
    for facet in ("running", "persistent"):
        held: dict[str, Any] = getattr(thing, facet)
        for attribute, value in order[facet].items():
            if attribute == "uuid" and not made and held.get(attribute) != value:
                raise DeviceError(f"{name}: uuid cannot be changed")
            held.pop(attribute, None)
            if value is not None:
                held[attribute] = value
    thing.marked = order["marked"]


def invalid(state: State) -> str:
    """Why no device could be in this state; empty when it could."""
    held: dict[tuple[str, str], str] = {}
    for name, thing in state.items():
        for need in thing.needs:
            if need not in state:
                return f"{name} needs {need}, which does not exist"
        for claim in thing.claims:
            other = held.setdefault((name.split("/", 1)[0], claim), name)
            if other != name:
                return f"{claim} is held by {other} and {name}"
    return ""


class SimPlatform:
    """Renders changes for the simulated devices: only attributes that alter are written."""

    def realise(self, changes: Sequence[Change]) -> Script:
        return tuple(_render(c) for c in changes)

    def disruption(self, change: Change) -> Disruption:
        return Disruption(Level.BLIP if change.path else Level.NONE, (change.key.scope,) * change.path)

    def irreversible(self, change: Change) -> str:
        grows = change.before is not None and any(n == UNDOABLE_NOT for _, n, _, _ in change.attributes())
        return f"{change.key} cannot shrink" if grows else ""


def _render(change: Change) -> Command:
    if change.after is None:
        return Command(("remove", str(change.key)))
    order: dict[str, Any] = {"running": {}, "persistent": {}, "marked": change.after.marked}
    for facet, name, _, new in change.attributes():
        order[facet][name] = plain(new)
    return Command(("put", str(change.key)), stdin=json.dumps(order))


@dataclass(frozen=True)
class Case:
    """A random pair: what is, what shall be, what the operator agreed to."""

    observed: State
    desired: tuple[Desired, ...]
    adopted: frozenset[Key]
    paths: frozenset[Key]
    coupled: tuple[tuple[str, str], ...]
    scopes: tuple[str, ...] = ()
    """Scopes to compare even when nothing is declared there."""

    def world(self) -> World:
        return World(self.observed, self.paths)

    def plan(self, world: World, desired: Iterable[Desired] | None = None) -> Plan:
        """What Grappe plans for the world as it is."""
        return plan_of(world.observe(), self.desired if desired is None else desired, self)


def plan_of(seen: Mapping[Key, Resource], desired: Iterable[Desired], case: Case) -> Plan:
    difference = diff(desired, seen, KINDS, case.adopted.__contains__, scopes=case.scopes)
    return build(
        difference,
        seen,
        KINDS,
        lambda _scope: SimPlatform(),
        site="random",
        digest="0",
        coupled=case.coupled,
    )


class _Choices:
    """Decisions read from bytes; when they run out every answer is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def pick(self, count: int) -> int:
        return next(self._data, 0) % count

    def chance(self, percent: int) -> bool:
        return 255 - next(self._data, 0) < percent * 256 // 100

    def some(self, items: Sequence[str], percent: int) -> list[str]:
        return [i for i in items if self.chance(percent)]


@dataclass(frozen=True)
class _Mood:
    """How sound a case is: most are nearly sound, so that plans are long; others have every kind of fault."""

    wild: bool
    circular: bool
    """Needs may run in circles, also over devices."""


def decode(data: bytes) -> Case:
    """Make a case from bytes: a valid observed world and a declaration near it, sound or not."""
    choices = _Choices(data)
    mood = (_Mood(False, False), _Mood(False, False), _Mood(False, True), _Mood(True, True))[choices.pick(4)]
    observed = _observed(choices, mood)
    wanted = _wanted(choices, observed, mood)
    paths = frozenset(k for k in KEYS if choices.chance(15))
    lost = [k for k in map(Key.parse, observed) if str(k) not in wanted and k.kind != "dyn"]
    gone = frozenset(k for k in lost if choices.chance(20) and (mood.wild or k.kind in ("port", "net")))
    refused = frozenset(k for k in wanted if mood.wild and choices.chance(3))
    adopted = frozenset(k for k in KEYS if not mood.wild or choices.chance(50))
    coupled = (("h1", "sw"),) if choices.chance(50) else ()
    if mood.wild and choices.chance(15):
        wanted = {n: t for n, t in wanted.items() if not n.startswith("h2/")}
        gone = frozenset(k for k in gone if k.scope != "h2")
    return Case(
        observed=observed,
        desired=_lowered(wanted, gone, refused, paths),
        adopted=adopted,
        paths=paths,
        coupled=coupled,
        scopes=SCOPES if choices.chance(80) else (),
    )


def _observed(choices: _Choices, mood: _Mood) -> State:
    state: State = {}
    free = {s: list(TOKENS) for s in SCOPES}
    for key in KEYS:
        if not choices.chance(20 if mood.circular and not mood.wild else 45):
            continue
        claims = choices.some(free[key.scope], 30 if mood.wild or key.kind != "dyn" else 5)
        free[key.scope] = [t for t in free[key.scope] if t not in claims]
        running: dict[str, Any] = {"value": choices.pick(3), "extra": 7, "claims": claims, "needs": []}
        persistent = {"value": choices.pick(3), "note": "theirs"}
        ours = ROLES[key.kind] is Role.OWNED and choices.chance(75 if mood.wild else 90)
        state[str(key)] = Thing(running, persistent, ours)
        if key.kind == "net":
            running["uuid"] = 0
        if key.kind == "vm":
            running[UNDOABLE_NOT] = 1
    names = list(state)
    for name, thing in state.items():
        if mood.wild or thing.marked:
            thing.running["needs"] = sorted({n for n in _few(choices, names) if n != name})
    return state


def _few(choices: _Choices, names: Sequence[str]) -> list[str]:
    return [names[choices.pick(len(names))] for _ in range(max(0, choices.pick(5) - 2))] if names else []


def _wanted(choices: _Choices, observed: State, mood: _Mood) -> State:
    """A declaration: attributes that are named are declared, all others are not ours."""
    wanted: State = {}
    for key in KEYS:
        if _declared(choices, key, str(key) in observed, mood):
            wanted[str(key)] = _thing(choices, key, mood)
    _deal(choices, wanted, observed, mood)
    reachable = [n for n in KEYS if str(n) in wanted or (str(n) in observed and n.kind == "nic")]
    for key in map(Key.parse, list(wanted)):
        anything = mood.wild and choices.chance(10)
        pool = [str(k) for k in KEYS] if anything else _below(key, reachable, mood.circular)
        wanted[str(key)].running["needs"] = sorted({n for n in _few(choices, pool) if n != str(key)})
    return wanted


def _declared(choices: _Choices, key: Key, there: bool, mood: _Mood) -> bool:
    if key.kind in ("nic", "dyn") and not mood.wild:
        return there and choices.chance(80)
    if key.kind == "vm" and there:
        return choices.chance(60 if mood.wild else 95)
    return choices.chance(60 if there or (mood.circular and not mood.wild) else 30)


def _thing(choices: _Choices, key: Key, mood: _Mood) -> Thing:
    thing = Thing({"value": choices.pick(3)}, {}, ROLES[key.kind] is Role.OWNED)
    if choices.chance(40):
        thing.persistent["value"] = choices.pick(3)
    if key.kind == "net":
        thing.running["uuid"] = int(mood.wild and choices.chance(10))
    if key.kind == "vm":
        thing.running[UNDOABLE_NOT] = 1 + choices.chance(20)
    return thing


def _free_tokens(observed: State, wanted: State, scope: str, mood: _Mood) -> list[str]:
    """Tokens whose holder, if there is one, can be made to give them up."""
    return [
        token
        for token in TOKENS
        if all(
            token not in thing.claims
            or name.split("/")[0] != scope
            or name in wanted
            or (thing.marked and name.split("/")[1] in ("port", "net"))
            or (mood.wild and name.split("/")[1] != "dyn")
            for name, thing in observed.items()
        )
    ]


def _deal(choices: _Choices, wanted: State, observed: State, mood: _Mood) -> None:
    """Deal the tokens anew, so that hand-overs, swaps and cycles of claims are common."""
    free = {s: _free_tokens(observed, wanted, s, mood) for s in SCOPES}
    for name in list(wanted):
        scope, kind, _ = name.split("/")
        if kind == "dyn":
            held = sorted(observed[name].claims) if name in observed else []
            wanted[name].running["claims"] = held
            free[scope] = [t for t in free[scope] if t not in held]
    for name, thing in wanted.items():
        scope, kind, _ = name.split("/")
        if kind == "dyn":
            continue
        hand = free[scope]
        got = choices.some(hand, 40)
        if not (mood.wild and choices.chance(5)):
            free[scope] = [t for t in hand if t not in got]
        thing.running["claims"] = got


def _below(key: Key, pool: Sequence[Key], circular: bool) -> list[str]:
    """What a resource may need: anything, or only what keeps needs free of circles."""
    rank = KINDS[key.kind].rank
    return [str(k) for k in pool if circular or (KINDS[k.kind].rank, k.kind, k) < (rank, key.kind, key)]


def _lowered(
    wanted: State,
    gone: frozenset[Key],
    refused: frozenset[str],
    paths: frozenset[Key],
) -> tuple[Desired, ...]:
    return tuple(
        Desired(
            resources=tuple(
                _desired(Key.parse(n), t, paths)
                for n, t in wanted.items()
                if n.startswith(scope + "/") and n not in refused
            ),
            absent=frozenset(k for k in gone if k.scope == scope),
            refusals=tuple(
                Refusal("unsupported", n, "this platform cannot do it")
                for n in sorted(refused)
                if n.startswith(scope + "/")
            ),
        )
        for scope in SCOPES
    )


def _desired(key: Key, thing: Thing, paths: frozenset[Key]) -> Resource:
    return Resource(
        key=key,
        running={n: typed(v) for n, v in thing.running.items()},
        persistent={n: typed(v) for n, v in thing.persistent.items()},
        role=ROLES[key.kind],
        needs=frozenset(map(Key.parse, thing.needs)),
        claims=frozenset(thing.claims),
        marked=thing.marked,
        path=key in paths,
    )


def steps_in_order(plan: Plan) -> Iterator[Step]:
    """Every step, in an order in which the runner may carry them out."""
    for stage in plan.stages:
        yield from stage.steps


def execute(world: World, plan: Plan, until: Callable[[int], bool] = lambda _number: False) -> list[Step]:
    """Carry out a plan's steps up to the one that `until` names; returns what was done."""
    done: list[Step] = []
    for number, step in enumerate(steps_in_order(plan)):
        if until(number):
            break
        world.run(step.scope, step.forward)
        done.append(step)
    return done


def shuffled(case: Case, data: bytes) -> tuple[tuple[Desired, ...], Callable[[World], dict[Key, Resource]]]:
    """The same declaration and the same observation, in another order."""
    choices = _Choices(data)

    def reorder(items: Iterable[Any]) -> list[Any]:
        return sorted(items, key=lambda _item: choices.pick(256))

    desired = tuple(replace(d, resources=tuple(reorder(d.resources))) for d in reorder(case.desired))
    return desired, lambda world: dict(reorder(world.observe().items()))
