"""When groups of changes run: an order that is the same for the same input, cut into stages.

Kahn's algorithm with a heap (Kahn 1962): n log n. Makes and updates come first, then removals that nothing
else waits for, then what cannot be undone and all that waits for it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import IntEnum

from grappe.graph.change import Change
from grappe.graph.resource import Key, KindRules

Edge = tuple[int, int]
"""Numbers of two nodes: the first comes before the second."""


@dataclass(frozen=True, slots=True)
class Group:
    """Changes of one scope that are realised together, and the stage they run in.

    Even stages run without a guard, odd ones under a guard. `final`: one of its changes cannot be undone; a
    stage with such a group holds no others.
    """

    changes: tuple[Change, ...]
    stage: int
    final: bool = False

    @property
    def scope(self) -> str:
        """The scope of all its changes."""
        return self.changes[0].key.scope


class _Phase(IntEnum):
    MAKE = 0
    REMOVE = 1
    FINAL = 2


def sequence(members: Sequence[int], edges: Iterable[Edge], wishes: Iterable[Edge]) -> list[int]:
    """Order the members of one group by its inner edges, then by wishes, then by number.

    A group may run in a circle: then nothing but the device's own transaction can make it, in any order.
    """
    musts, likes = _Waiting(members, edges), _Waiting(members, wishes)
    left = sorted(members)
    ordered: list[int] = []
    while left:
        index = min(left, key=lambda i: (musts.count[i] > 0, likes.count[i] > 0))
        left.remove(index)
        ordered.append(index)
        musts.done(index)
        likes.done(index)
    return ordered


class _Waiting:
    """For each node, how many others it still waits for."""

    def __init__(self, nodes: Iterable[int], edges: Iterable[Edge]) -> None:
        self.count = dict.fromkeys(nodes, 0)
        self._followers: dict[int, list[int]] = defaultdict(list)
        for first, then in edges:
            self._followers[first].append(then)
            self.count[then] += 1

    def done(self, node: int) -> None:
        """Let go of those that wait for a node."""
        for follower in self._followers[node]:
            self.count[follower] -= 1


def schedule(
    groups: Sequence[Sequence[Change]],
    successors: Sequence[Set[int]],
    kinds: Mapping[str, KindRules],
    final: Callable[[Change], bool],
) -> tuple[Group, ...]:
    """Order groups whose edges have no circle, and give each its stage."""
    finals = {n for n, g in enumerate(groups) if any(map(final, g))}
    phases = _phases(groups, successors, finals)
    places = _Stages(len(groups))
    waiting = [0] * len(groups)
    for followers in successors:
        for follower in followers:
            waiting[follower] += 1
    ready = [(phases[n], _priority(g, kinds), n) for n, g in enumerate(groups) if not waiting[n]]
    heapq.heapify(ready)
    ordered: list[int] = []
    while ready:
        phase, _, number = heapq.heappop(ready)
        places.put(number, phase, any(c.path for c in groups[number]), number in finals)
        ordered.append(number)
        for follower in successors[number]:
            near = groups[follower][0].key.scope == groups[number][0].key.scope
            places.follow(number, follower, 0 if near else 1)
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, (phases[follower], _priority(groups[follower], kinds), follower))
    ordered.sort(key=places.stage.__getitem__)
    return tuple(Group(tuple(groups[n]), places.stage[n], n in finals) for n in ordered)


class _Stages:
    """Gives out stage numbers. Later phases start after all that earlier phases have placed."""

    def __init__(self, count: int) -> None:
        self.stage = [0] * count
        self._last = 0
        self._floor = dict.fromkeys(_Phase, 0)
        self._phase = _Phase.MAKE
        self._taken: dict[int, bool] = {}
        """In the final phase: whether a stage holds what cannot be undone."""

    def put(self, number: int, phase: _Phase, guarded: bool, final: bool) -> None:
        """Place a group whose predecessors are all placed."""
        if phase is not self._phase:
            # A guarded stage is split by scope, so what shall come after all of it needs a stage of its own.
            self._floor[phase] = self._last + (phase is _Phase.FINAL or self._last % 2)
            self._phase = phase
        stage = _with_parity(max(self.stage[number], self._floor[phase]), guarded)
        if phase is _Phase.FINAL:
            while self._taken.setdefault(stage, final) is not final:
                stage += 2
        self.stage[number] = stage
        self._last = max(self._last, stage)

    def follow(self, first: int, then: int, gap: int) -> None:
        """Note that one group comes after another, at the earliest `gap` stages later."""
        self.stage[then] = max(self.stage[then], self.stage[first] + gap)


def _with_parity(floor: int, guarded: bool) -> int:
    return floor + (floor % 2 != int(guarded))


def _removes(group: Sequence[Change]) -> bool:
    return all(c.after is None for c in group)


def _phases(
    groups: Sequence[Sequence[Change]], successors: Sequence[Set[int]], finals: Set[int]
) -> list[_Phase]:
    late = _reachable(finals, successors)
    removals = {n for n, g in enumerate(groups) if n not in late and _removes(g)}
    if removals:
        predecessors: list[set[int]] = [set() for _ in groups]
        for number, followers in enumerate(successors):
            for follower in followers:
                predecessors[follower].add(number)
        makes = {n for n in range(len(groups)) if n not in late and n not in removals}
        removals -= _reachable(makes, predecessors)
    return [
        _Phase.FINAL if n in late else _Phase.REMOVE if n in removals else _Phase.MAKE
        for n in range(len(groups))
    ]


def _reachable(start: Set[int], successors: Sequence[Set[int]]) -> set[int]:
    found = set(start)
    queue = list(start)
    while queue:
        new = successors[queue.pop()] - found
        found |= new
        queue.extend(new)
    return found


def _priority(group: Sequence[Change], kinds: Mapping[str, KindRules]) -> tuple[bool, int, str, Key]:
    """Makes before removals; low ranks are made first and removed last; then by scope and name."""
    first = min(c.key for c in group)
    if _removes(group):
        return (True, -max(kinds[c.key.kind].rank for c in group), first.scope, first)
    return (False, min(kinds[c.key.kind].rank for c in group), first.scope, first)
