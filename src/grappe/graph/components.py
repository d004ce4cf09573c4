"""Two classical graph algorithms, iterative so that depth has no limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set


class UnionFind:
    """Disjoint sets over 0..n-1 with path halving and union by smaller root (deterministic)."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        """The representative of an item's set: its smallest member."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def union(self, one: int, other: int) -> None:
        """Join two sets."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low


def strong_components(graph: Mapping[int, Set[int]]) -> list[list[int]]:
    """Strongly connected components (Tarjan 1972), each sorted, in the order they are completed."""
    search = _Tarjan(graph)
    for root in sorted(graph):
        if root not in search.order:
            search.visit(root)
    return search.found


def circles(graph: Mapping[int, Set[int]]) -> list[list[int]]:
    """Strongly connected components with more than one node.

    What can be peeled off in topological order is in no circle; usually that is everything.
    """
    waiting = dict.fromkeys(graph, 0)
    for followers in graph.values():
        for follower in followers:
            waiting[follower] += 1
    ready = [n for n, count in waiting.items() if not count]
    for node in ready:
        del waiting[node]
        for follower in graph[node]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    left = {n: graph[n] & waiting.keys() for n in waiting}
    return [c for c in strong_components(left) if len(c) > 1]


class _Tarjan:
    """State of one search: discovery order, low links, the stack of open nodes."""

    def __init__(self, graph: Mapping[int, Set[int]]) -> None:
        self.graph = graph
        self.order: dict[int, int] = {}
        self.low: dict[int, int] = {}
        self.stack: dict[int, None] = {}
        self.found: list[list[int]] = []

    def visit(self, root: int) -> None:
        """Search everything that can be reached from a root."""
        work = [self._open(root)]
        while work:
            node, successors = work[-1]
            step = next(successors, None)
            if step is None:
                work.pop()
                self._close(node, work[-1][0] if work else None)
            elif step not in self.order:
                work.append(self._open(step))
            elif step in self.stack:
                self.low[node] = min(self.low[node], self.order[step])

    def _open(self, node: int) -> tuple[int, Iterator[int]]:
        self.order[node] = self.low[node] = len(self.order)
        self.stack[node] = None
        return node, iter(sorted(self.graph[node]))

    def _close(self, node: int, parent: int | None) -> None:
        if parent is not None:
            self.low[parent] = min(self.low[parent], self.low[node])
        if self.low[node] == self.order[node]:
            component: list[int] = []
            while node not in component[-1:]:
                component.append(self.stack.popitem()[0])
            self.found.append(sorted(component))
