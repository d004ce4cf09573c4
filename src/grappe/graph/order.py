"""The order of changes: what must come before what, what is one step, and what cannot be placed at all.

Three rules make the edges. What a resource needs is made before it. What is removed is needed by nothing
any more. A claim goes from hand to hand in one group, so that nothing is ever held twice or, in between, by
nobody. Besides, users of a resource follow its update where nothing speaks against it. Cycles within one
scope become one group (Tarjan 1972 finds them); cycles over scopes are refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass

from grappe.graph.change import Change
from grappe.graph.components import UnionFind, circles
from grappe.graph.resource import Key, KindRules, Refusal, Resource
from grappe.graph.schedule import Edge, Group, schedule, sequence

Claim = tuple[str, str]
"""Scope and token."""


@dataclass(frozen=True, slots=True)
class Ordering:
    """Groups in an order that keeps every need and claim, and what cannot be ordered."""

    groups: tuple[Group, ...]
    refusals: tuple[Refusal, ...] = ()


def order(
    changes: Iterable[Change],
    seen: Mapping[Key, Resource],
    kinds: Mapping[str, KindRules],
    *,
    refused: Set[Key] = frozenset(),
    final: Callable[[Change], bool] = lambda _change: False,
) -> Ordering:
    """Put changes in order. A change that cannot be placed is refused, with all that depend on it.

    `refused` names resources that shall differ but may not be changed: what needs them is refused as well.
    `final` says which changes cannot be undone: they come last, each alone.
    """
    planner = _Planner(changes, seen, kinds, refused)
    planner.constrain()
    planner.refuse_dependents()
    planner.merge_circles()
    planner.refuse_dependents()
    members, successors = planner.groups_and_successors()
    groups = schedule(members, successors, kinds, final)
    return Ordering(groups, tuple(sorted(planner.refusals, key=lambda r: (r.where, r.code, r.message))))


class _Planner:
    """One run of the ordering; indices into `self.changes` stand for changes."""

    def __init__(
        self,
        changes: Iterable[Change],
        seen: Mapping[Key, Resource],
        kinds: Mapping[str, KindRules],
        refused: Set[Key],
    ) -> None:
        self.changes = sorted(changes, key=lambda c: c.key)
        self.seen, self.kinds, self.refused = seen, kinds, refused
        self.index = {c.key: i for i, c in enumerate(self.changes)}
        self.groups = UnionFind(len(self.changes))
        self.edges: list[Edge] = []
        """What must be so."""
        self.wishes: list[Edge] = []
        """What should be so."""
        self.given_up: list[Edge] = []
        """Wishes that would make a circle over several scopes."""
        self.hand_overs: list[Edge] = []
        """(giver, taker), always of one group."""
        self.refusals: list[Refusal] = []
        self.broken: set[int] = set()

    def constrain(self) -> None:
        """Find hand-overs and edges, and refuse what is impossible whatever the order."""
        self._hand_over_claims()
        users = self._edges_of_needs()
        self._edges_of_removals(users)
        for removal, dependents in sorted(users.items()):
            first, *more = sorted(set(dependents))
            users_left = f"{first} and {len(more)} more still need it" if more else f"{first} still needs it"
            hint = f"remove {first} or move it elsewhere first"
            self._refuse(removal, "in-use", f"cannot go: {users_left}", hint)

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
                self._take(index, token, holders.get(claim), takers.setdefault(claim, index))

    def _take(self, index: int, token: str, holder: Key | None, taker: int) -> None:
        """Settle who gets a token: its holder if that keeps it, else the first that asks."""
        if holder == self.changes[index].key:
            return
        giver = self.index.get(holder) if holder is not None else None
        if holder is not None and (giver is None or self._keeps(giver, token)):
            hint = f"adopt {holder} or take {token} away from it by hand"
            self._refuse(index, "claim", f"needs {token}, which {holder} holds", hint)
        elif taker != index:
            hint = "only one of them can have it: change the declaration"
            self._refuse(index, "claim", f"wants {token}, as {self.changes[taker].key} does", hint)
        elif giver is not None:
            self.groups.union(index, giver)
            self.hand_overs.append((giver, index))

    def _keeps(self, index: int, token: str) -> bool:
        after = self.changes[index].after
        return after is not None and token in after.claims

    def _edges_of_needs(self) -> dict[int, list[Key]]:
        """Edges from makers to users; returns the removals of things that a change needs, with the users."""
        contradicted: dict[int, list[Key]] = defaultdict(list)
        for index, change in enumerate(self.changes):
            for need in sorted(change.after.needs) if change.after and change.after.needs else ():
                maker = self.index.get(need)
                if maker is None:
                    self._need_unchanged(index, need)
                elif self.changes[maker].after is None:
                    contradicted[maker].append(change.key)
                    hint = "keep one or the other"
                    self._refuse(index, "need", f"needs {need}, which is to be removed", hint)
                elif self.changes[maker].before is None:
                    self.edges.append((maker, index))
                else:
                    self.wishes.append((maker, index))
        return contradicted

    def _need_unchanged(self, index: int, need: Key) -> None:
        if need in self.refused:
            hint = f"see what is said about {need}"
            self._refuse(index, "depends", f"needs {need}, which is refused", hint)
        elif need not in self.seen:
            self._refuse(index, "need", f"needs {need}, which is not there", "declare it, or adopt it")

    def _edges_of_removals(self, users: dict[int, list[Key]]) -> None:
        """Edges from those that leave to the removal; adds to `users` those that stay."""
        removed = {c.key for c in self.changes if c.after is None}
        leaving: list[Edge] = []
        for key, resource in self.seen.items() if removed else ():
            for need in resource.needs & removed:
                leaver, removal = self.index.get(key), self.index[need]
                after = self.changes[leaver].after if leaver is not None else None
                if leaver is None or (after is not None and need in after.needs):
                    users.setdefault(removal, []).append(key)
                else:
                    leaving.append((leaver, removal))
        self.edges.extend(sorted(leaving))

    def refuse_dependents(self) -> None:
        """Refuse, in turn, what depends on something refused or is one group with it."""
        if not self.broken:
            return
        members, after = defaultdict(list), defaultdict(list)
        for index in range(len(self.changes)):
            members[self.groups.find(index)].append(index)
        for first, then in [*self.edges, *self.wishes, *self.given_up]:
            after[first].append(then)
        queue = sorted(self.broken)
        for index in queue:
            for other in [*members[self.groups.find(index)], *after[index]]:
                if other not in self.broken:
                    hint = "see the refusal it depends on"
                    self._refuse(other, "depends", f"depends on {self.changes[index].key}", hint)
                    queue.append(other)

    def merge_circles(self) -> None:
        """Make one group of changes of one scope that wait for each other; refuse circles over scopes."""
        found = self._circles()
        if any(self._wide(c) for c in found):
            self._give_up_wishes(found)
            found = self._circles()
        for component in found:
            if self._wide(component):
                keys = ", ".join(str(self.changes[i].key) for i in component[:4])
                hint = "make the change in two plans"
                for index in component:
                    self._refuse(index, "cycle", f"waits in a circle over several devices ({keys} …)", hint)
            else:
                for index in component[1:]:
                    self.groups.union(component[0], index)

    def _wide(self, component: list[int]) -> bool:
        return len({self.changes[i].key.scope for i in component}) > 1

    def _give_up_wishes(self, found: list[list[int]]) -> None:
        circle = {i: number for number, c in enumerate(found) if self._wide(c) for i in c}

        def inside(edge: Edge) -> bool:
            first, then = (circle.get(self.groups.find(i)) for i in edge)
            return first is not None and first == then

        self.given_up = [e for e in self.wishes if inside(e)]
        self.wishes = [e for e in self.wishes if not inside(e)]

    def _circles(self) -> list[list[int]]:
        """Sets of hand-over groups, each named by its smallest member, that wait for each other."""
        find, broken = self.groups.find, self.broken
        graph: dict[int, set[int]] = {find(i): set() for i in range(len(self.changes)) if i not in broken}
        for first, then in [*self.edges, *self.wishes]:
            a, b = find(first), find(then)
            if a != b and a in graph and b in graph:
                graph[a].add(b)
        return circles(graph)

    def groups_and_successors(self) -> tuple[list[list[Change]], list[set[int]]]:
        """Groups of changes that are left, each in its inner order, and for each those that follow it."""
        members: dict[int, list[int]] = {}
        for index in range(len(self.changes)):
            if index not in self.broken:
                members.setdefault(self.groups.find(index), []).append(index)
        number = {root: n for n, root in enumerate(members)}
        successors: list[set[int]] = [set() for _ in members]
        inner_edges = self._split([*self.edges, *self.hand_overs], number, successors)
        inner_wishes = self._split(self.wishes, number, successors)
        ordered = [
            sequence(own, inner_edges[root], inner_wishes[root]) if len(own) > 1 else own
            for root, own in members.items()
        ]
        return [[self.changes[i] for i in own] for own in ordered], successors

    def _split(
        self, edges: Iterable[Edge], number: Mapping[int, int], successors: list[set[int]]
    ) -> dict[int, list[Edge]]:
        """Enter edges between groups into `successors`; return the others by group."""
        inner: dict[int, list[Edge]] = defaultdict(list)
        for first, then in edges:
            if first not in self.broken and then not in self.broken:
                a, b = self.groups.find(first), self.groups.find(then)
                if a == b:
                    inner[a].append((first, then))
                else:
                    successors[number[a]].add(number[b])
        return inner
