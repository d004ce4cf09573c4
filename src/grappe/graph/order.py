"""The order of changes: what must come before what, which changes are one, which wait for a guard.

Three rules make the edges. What a resource needs is made before it. What is removed is needed by nothing
any more. A claim goes from hand to hand in one group, so that nothing is ever held twice or, in between, by
nobody. Kahn's algorithm with a heap gives an order in n log n that does not depend on the input's order;
what is left over is a cycle, which Tarjan's algorithm finds and which becomes one group when it lies within
one scope (Kahn 1962, Tarjan 1972).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from grappe.graph.change import Action, Change
from grappe.graph.components import UnionFind, strong_components
from grappe.graph.resource import Key, KindRules, Refusal, Resource

Claim = tuple[str, str]
"""Scope and token."""


@dataclass(frozen=True, slots=True)
class Group:
    """Changes of one scope that are realised together, and the stage they may run in at the earliest.

    Even stages run without a guard, odd ones under a guard.
    """

    changes: tuple[Change, ...]
    stage: int

    @property
    def scope(self) -> str:
        """The scope of all its changes."""
        return self.changes[0].key.scope


@dataclass(frozen=True, slots=True)
class Ordering:
    """Groups in an order that keeps every need and claim, and what cannot be ordered."""

    groups: tuple[Group, ...]
    refusals: tuple[Refusal, ...] = ()


def order(
    changes: Iterable[Change], seen: Mapping[Key, Resource], kinds: Mapping[str, KindRules]
) -> Ordering:
    """Put changes in order. A change that cannot be placed is refused, with all that depend on it."""
    return _Planner(changes, seen, kinds).run()


class _Planner:
    """One run of the ordering; indices into `self.changes` stand for changes."""

    def __init__(
        self, changes: Iterable[Change], seen: Mapping[Key, Resource], kinds: Mapping[str, KindRules]
    ) -> None:
        self.changes = sorted(changes, key=lambda c: c.key)
        self.seen, self.kinds = seen, kinds
        self.index = {c.key: i for i, c in enumerate(self.changes)}
        self.groups = UnionFind(len(self.changes))
        self.edges: set[tuple[int, int]] = set()
        self.refusals: list[Refusal] = []
        self.broken: set[int] = set()

    def run(self) -> Ordering:
        """Find hand-overs and edges, drop what is impossible, order the rest."""
        self._hand_over_claims()
        self._edges_of_needs()
        self._edges_of_removals()
        self._drop_broken()
        groups, successors = self._contract()
        return Ordering(_schedule(groups, successors, self.kinds), tuple(self.refusals))

    def _refuse(self, index: int, code: str, message: str, hint: str) -> None:
        self.broken.add(index)
        self.refusals.append(Refusal(code, str(self.changes[index].key), message, hint))

    def _hand_over_claims(self) -> None:
        holders: dict[Claim, Key] = {
            (key.scope, token): key for key, resource in self.seen.items() for token in resource.claims
        }
        takers: dict[Claim, int] = {}
        for index, change in enumerate(self.changes):
            for token in sorted(change.after.claims if change.after else ()):
                claim = (change.key.scope, token)
                other = takers.setdefault(claim, index)
                if other != index:
                    hint = "only one of them can have it: change the declaration"
                    self._refuse(index, "claim", f"wants {token}, as {self.changes[other].key} does", hint)
                else:
                    self._take(index, token, holders.get(claim))

    def _take(self, index: int, token: str, holder: Key | None) -> None:
        if holder is None or holder == self.changes[index].key:
            return
        giver = self.index.get(holder)
        after = self.changes[giver].after if giver is not None else None
        if giver is None or (after is not None and token in after.claims):
            hint = f"adopt {holder} or take {token} away from it by hand"
            self._refuse(index, "claim", f"needs {token}, which {holder} holds", hint)
        else:
            self.groups.union(index, giver)

    def _edges_of_needs(self) -> None:
        for index, change in enumerate(self.changes):
            for need in sorted(change.after.needs if change.after else ()):
                maker = self.index.get(need)
                made = self.changes[maker] if maker is not None else None
                if made is not None and made.after is None:
                    self._refuse(
                        index, "need", f"needs {need}, which is to be removed", "keep one or the other"
                    )
                elif maker is not None and made is not None and made.before is None:
                    self.edges.add((maker, index))
                elif need not in self.seen:
                    self._refuse(
                        index, "need", f"needs {need}, which is not there", "declare it, or adopt it"
                    )

    def _edges_of_removals(self) -> None:
        removed = {c.key for c in self.changes if c.after is None}
        if not removed:
            return
        for key, resource in self.seen.items():
            for need in resource.needs & removed:
                self._leave(key, self.index[need])

    def _leave(self, dependent: Key, removal: int) -> None:
        leaver = self.index.get(dependent)
        after = self.changes[leaver].after if leaver is not None else None
        if leaver is None:
            hint = f"remove or move {dependent} first"
            self._refuse(removal, "in-use", f"cannot go: {dependent} still uses it", hint)
        elif after is None or self.changes[removal].key not in after.needs:
            self.edges.add((leaver, removal))

    def _drop_broken(self) -> None:
        """Refuse, in turn, what depends on something refused or is one group with it."""
        members, after = defaultdict(list), defaultdict(list)
        for index in range(len(self.changes)):
            members[self.groups.find(index)].append(index)
        for first, then in self.edges:
            after[first].append(then)
        queue = list(self.broken)
        while queue:
            index = queue.pop()
            for other in [*members[self.groups.find(index)], *after[index]]:
                if other not in self.broken:
                    hint = "see the refusal it depends on"
                    self._refuse(other, "depends", f"depends on {self.changes[index].key}", hint)
                    queue.append(other)

    def _contract(self) -> tuple[list[list[Change]], list[set[int]]]:
        """Contract hand-overs and one-scope cycles into groups; returns groups and their successors."""
        alive = [i for i in range(len(self.changes)) if i not in self.broken]
        for component in self._cycles(alive):
            scopes = {self.changes[i].key.scope for i in component}
            if len(scopes) > 1:
                keys = ", ".join(str(self.changes[i].key) for i in component[:4])
                hint = "make the change in two plans"
                for index in component:
                    self._refuse(index, "cycle", f"waits in a circle over several devices ({keys} …)", hint)
            for index in component[1:]:
                self.groups.union(component[0], index)
        self._drop_broken()
        alive = [i for i in alive if i not in self.broken]
        number: dict[int, int] = {}
        groups: list[list[Change]] = []
        for index in alive:
            root = self.groups.find(index)
            if root not in number:
                number[root] = len(groups)
                groups.append([])
            groups[number[root]].append(self.changes[index])
        successors: list[set[int]] = [set() for _ in groups]
        for first, then in self.edges:
            if first not in self.broken and then not in self.broken:
                a, b = number[self.groups.find(first)], number[self.groups.find(then)]
                if a != b:
                    successors[a].add(b)
        return groups, successors

    def _cycles(self, alive: Sequence[int]) -> list[list[int]]:
        """Sets of changes, one member per hand-over group at least, that wait for each other in a circle."""
        graph: dict[int, set[int]] = {self.groups.find(i): set() for i in alive}
        for first, then in self.edges:
            a, b = self.groups.find(first), self.groups.find(then)
            if a != b and a in graph and b in graph:
                graph[a].add(b)
        return [c for c in strong_components(graph) if len(c) > 1]


def _priority(group: Sequence[Change], kinds: Mapping[str, KindRules]) -> tuple[int, int, str, Key]:
    """Makes before removals; low ranks are made first and removed last; then by name."""
    first = group[0].key
    ranks = [kinds[c.key.kind].rank for c in group]
    if all(c.action is Action.REMOVE for c in group):
        return (1, -max(ranks), first.scope, first)
    return (0, min(ranks), first.scope, first)


def _schedule(
    groups: list[list[Change]], successors: list[set[int]], kinds: Mapping[str, KindRules]
) -> tuple[Group, ...]:
    """Kahn's algorithm; removals that nothing waits for are put off to the last stage."""
    waiting = [0] * len(groups)
    for followers in successors:
        for follower in followers:
            waiting[follower] += 1
    ready = [(_priority(g, kinds), i) for i, g in enumerate(groups) if not waiting[i]]
    heapq.heapify(ready)
    stage = [0] * len(groups)
    last = 0
    ordered: list[int] = []
    while ready:
        (removes, *_), number = heapq.heappop(ready)
        floor = max(stage[number], last) if removes and not successors[number] else stage[number]
        stage[number] = _with_parity(floor, any(c.path for c in groups[number]))
        last = max(last, stage[number])
        ordered.append(number)
        for follower in sorted(successors[number]):
            gap = 0 if groups[follower][0].key.scope == groups[number][0].key.scope else 1
            stage[follower] = max(stage[follower], stage[number] + gap)
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, (_priority(groups[follower], kinds), follower))
    ordered.sort(key=lambda number: stage[number])
    return tuple(Group(tuple(groups[n]), stage[n]) for n in ordered)


def _with_parity(floor: int, guarded: bool) -> int:
    return floor + (floor % 2 != int(guarded))
