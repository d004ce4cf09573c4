"""Disjoint sets and circles agree with brute force."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grappe.graph.components import UnionFind, circles, strong_components

GRAPHS = st.integers(1, 8).flatmap(
    lambda n: st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))).map(
        lambda edges: {i: {b for a, b in edges if a == i} for i in range(n)}
    )
)


def _reach(graph: dict[int, set[int]]) -> dict[int, set[int]]:
    far = {n: {n} | set(graph[n]) for n in graph}
    for middle in graph:
        for found in far.values():
            if middle in found:
                found |= far[middle]
    return far


@given(GRAPHS)
def test_strong_components_are_the_sets_that_reach_each_other(graph: dict[int, set[int]]) -> None:
    far = _reach(graph)
    mutual = {frozenset(m for m in far[n] if n in far[m]) for n in graph}
    found = strong_components(graph)
    assert {frozenset(c) for c in found} == mutual
    assert sorted(n for c in found for n in c) == sorted(graph)
    assert all(c == sorted(c) for c in found)


@given(GRAPHS)
def test_circles_are_the_components_of_more_than_one(graph: dict[int, set[int]]) -> None:
    loops = {n: graph[n] - {n} for n in graph}
    expected = {tuple(c) for c in strong_components(loops) if len(c) > 1}
    assert {tuple(c) for c in circles(loops)} == expected


def test_a_long_chain_needs_no_deep_stack() -> None:
    length = 50_000
    chain = {i: {(i + 1) % length} for i in range(length)}
    assert [len(c) for c in circles(chain)] == [length]
    chain[length - 1] = set()
    assert circles(chain) == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_union_find_names_a_set_by_its_smallest_member(pairs: list[tuple[int, int]]) -> None:
    sets = UnionFind(10)
    for one, other in pairs:
        sets.union(one, other)
    graph = {n: {b for a, b in pairs if a == n} | {a for a, b in pairs if b == n} for n in range(10)}
    assert {n: sets.find(n) for n in range(10)} == {n: min(found) for n, found in _reach(graph).items()}
