"""Observed against planned: is all as it was when the plan was made, and did a step do what it said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grappe.graph.change import Change
from grappe.graph.resource import Key, Resource, Role, Value, differences


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that is not as it should be. An empty `attribute` means the whole resource."""

    key: Key
    attribute: str
    expected: Value
    seen: Value

    def now(self) -> str:
        """As a change behind our back: was …, now …."""
        return f"{self._what()}: was {_words(self.expected)}, now {_words(self.seen)}"

    def __str__(self) -> str:
        return f"{self._what()}: expected {_words(self.expected)}, found {_words(self.seen)}"

    def _what(self) -> str:
        return f"{self.key} {self.attribute}".rstrip()


def _words(value: Value) -> str:
    if isinstance(value, frozenset):
        return "{" + ", ".join(map(str, sorted(value))) + "}"
    return "nothing" if value is None else str(value)


def changed_since(change: Change, seen: Resource | None, last: Resource | None) -> tuple[Mismatch, ...]:
    """What somebody altered since the plan was made, of what a change stands on.

    Attributes that the change alters must be as the plan saw them; all others as they were `last` seen by
    us, for our own earlier steps may have moved them.
    """
    if change.before is None or seen is None:
        return _presence(change.key, change.before, seen)
    expected = last or change.before
    altered = {(facet, name): old for facet, name, old, _ in change.attributes()}
    found = [
        Mismatch(change.key, name, wanted, is_)
        for facet, was, now in _facets(expected, seen)
        for name, (is_, wanted) in sorted(differences(was, now).items())
        if (facet, name) not in altered
    ]
    for (facet, name), old in altered.items():
        is_ = getattr(seen, facet).get(name)
        if is_ != old:
            found.append(Mismatch(change.key, name, old, is_))
    return tuple(found) + _mark(change.before, seen)


def unmet(change: Change, seen: Resource | None) -> tuple[Mismatch, ...]:
    """What a change should have brought about and did not."""
    if change.after is None or seen is None:
        return _presence(change.key, change.after, seen)
    found = tuple(
        Mismatch(change.key, name, new, getattr(seen, facet).get(name))
        for facet, name, _, new in change.attributes()
        if getattr(seen, facet).get(name) != new
    )
    return found + _mark(change.after, seen)


def unforeseen(change: Change, seen: Resource | None) -> tuple[Mismatch, ...]:
    """What else is different on a resource after a change that did not mean to alter it."""
    if change.after is None or change.before is None or seen is None:
        return ()
    altered = {(facet, name) for facet, name, _, _ in change.attributes()}
    return tuple(
        Mismatch(change.key, name, was, is_)
        for facet, planned, now in _facets(change.after, seen)
        for name, (is_, was) in sorted(differences(planned, now).items())
        if (facet, name) not in altered
    )


def _facets(
    one: Resource, other: Resource
) -> tuple[tuple[str, Mapping[str, Value], Mapping[str, Value]], ...]:
    return ("running", one.running, other.running), ("persistent", one.persistent, other.persistent)


def _presence(key: Key, expected: Resource | None, seen: Resource | None) -> tuple[Mismatch, ...]:
    words = tuple("absent" if r is None else "present" for r in (expected, seen))
    return () if words[0] == words[1] else (Mismatch(key, "", *words),)


def _mark(expected: Resource, seen: Resource) -> tuple[Mismatch, ...]:
    if expected.role is not Role.OWNED or expected.marked == seen.marked:
        return ()
    whose = ("somebody else's", "ours")
    return (Mismatch(expected.key, "mark", whose[expected.marked], whose[seen.marked]),)
