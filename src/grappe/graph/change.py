"""The difference between what shall be and what is: one change per resource."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from enum import StrEnum

from grappe.graph.resource import (
    Desired,
    Key,
    KindRules,
    Refusal,
    Resource,
    Role,
    Value,
    differences,
)


class Action(StrEnum):
    """What a change does to its resource."""

    CREATE = "create"
    UPDATE = "update"
    ADOPT = "adopt"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Change:
    """One resource from `before` to `after`; None stands for absent. Reversing it is its undo."""

    key: Key
    before: Resource | None
    after: Resource | None

    @property
    def action(self) -> Action:
        """What it does, in the operator's words."""
        if self.before is None:
            return Action.CREATE
        if self.after is None:
            return Action.REMOVE
        adopts = self.after.marked and not self.before.marked and self.after.role is Role.OWNED
        return Action.ADOPT if adopts else Action.UPDATE

    @property
    def takes_over(self) -> bool:
        """Whether it touches, as its own, an object that Grappe did not make."""
        return self.before is not None and not self.before.marked and self.before.role is Role.OWNED

    @property
    def path(self) -> bool:
        """Whether the way to the device leads over the resource, before or after."""
        return any(r is not None and r.path for r in (self.before, self.after))

    def reverse(self) -> Change:
        """Return the change that undoes this one."""
        return Change(self.key, self.after, self.before)

    def attributes(self) -> tuple[tuple[str, str, Value, Value], ...]:
        """Every attribute that alters: (facet, name, before, after)."""
        return tuple(
            (facet, name, old.get(name), new.get(name))
            for facet, old, new in (
                ("running", _facet(self.before, "running"), _facet(self.after, "running")),
                ("persistent", _facet(self.before, "persistent"), _facet(self.after, "persistent")),
            )
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        )


def _facet(resource: Resource | None, facet: str) -> Mapping[str, Value]:
    return {} if resource is None else getattr(resource, facet)


@dataclass(frozen=True, slots=True)
class Difference:
    """All that a diff has to say: changes, what is not ours, what left the declaration, what is refused."""

    changes: tuple[Change, ...]
    foreign: tuple[Key, ...] = ()
    undeclared: tuple[Key, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def merged(wanted: Resource, seen: Resource) -> Resource:
    """Return the wanted resource laid over the observed one: attributes nobody declared stay as they are."""
    return replace(
        wanted,
        running={**seen.running, **wanted.running},
        persistent={**seen.persistent, **wanted.persistent},
        facts={**seen.facts, **wanted.facts},
    )


def settled(wanted: Resource, seen: Resource) -> bool:
    """Whether nothing is left to do for a resource."""
    owned_by_us = seen.marked or wanted.role is not Role.OWNED
    return (
        owned_by_us
        and not differences(wanted.running, seen.running)
        and not differences(wanted.persistent, seen.persistent)
    )


def diff(
    desired: Iterable[Desired],
    seen: Mapping[Key, Resource],
    kinds: Mapping[str, KindRules],
    adopted: Callable[[Key], bool] = lambda _key: False,
    *,
    scopes: Iterable[str] = (),
) -> Difference:
    """Compare the desired resources of several scopes with the observed ones.

    Only scopes that occur in `desired` or are named in `scopes` are compared: name those that shall be left
    with nothing. What is seen of other scopes counts for needs and claims only. `adopted` says which foreign
    objects the operator has agreed to take over. Nothing that holds data is ever removed: it is reported as
    undeclared. A key that `desired` refuses is left as it is.
    """
    parts = tuple(desired)
    collector = _Collector(seen, kinds, adopted)
    for part in parts:
        collector.refusals.extend(part.refusals)
        for wanted in part.resources:
            collector.wanted(wanted)
        for key in part.absent:
            collector.absent(key)
    declared = {k.scope for k in collector.known}
    collector.leftovers(declared | set(scopes), {r.where for part in parts for r in part.refusals})
    return Difference(
        changes=tuple(sorted(collector.changes, key=lambda c: c.key)),
        foreign=tuple(sorted(collector.foreign)),
        undeclared=tuple(sorted(collector.undeclared)),
        refusals=tuple(sorted(collector.refusals, key=lambda r: (r.where, r.code, r.message))),
    )


class _Collector:
    """Walks the two sides of a diff and sorts what it meets."""

    def __init__(
        self, seen: Mapping[Key, Resource], kinds: Mapping[str, KindRules], adopted: Callable[[Key], bool]
    ) -> None:
        self.seen, self.kinds, self.adopted = seen, kinds, adopted
        self.known: set[Key] = set()
        self.changes: list[Change] = []
        self.foreign: list[Key] = []
        self.undeclared: list[Key] = []
        self.refusals: list[Refusal] = []

    def wanted(self, wanted: Resource) -> None:
        """Sort one desired resource."""
        self.known.add(wanted.key)
        seen = self.seen.get(wanted.key)
        if wanted.role is Role.DERIVED:
            return
        if seen is None:
            self._missing(wanted)
        elif not settled(wanted, seen):
            self._differs(wanted, seen)

    def _missing(self, wanted: Resource) -> None:
        if wanted.role is Role.OWNED:
            self.changes.append(Change(wanted.key, None, wanted))
        else:
            hint = "is it declared under another name, or not plugged in?"
            self.refuse("missing", wanted.key, "is not there", hint)

    def _differs(self, wanted: Resource, seen: Resource) -> None:
        frozen = sorted(
            set(differences(wanted.running, seen.running)) & self.kinds[wanted.key.kind].fixed
            | set(differences(wanted.persistent, seen.persistent)) & self.kinds[wanted.key.kind].fixed
        )
        change = Change(wanted.key, seen, merged(wanted, seen))
        if frozen:
            was = ", ".join(f"{a}: {_either(seen, a)!r}, wanted {_either(wanted, a)!r}" for a in frozen)
            hint = "remove it by hand if it may go, or declare it as it is"
            self.refuse("fixed", wanted.key, f"cannot be changed in place ({was})", hint)
        elif change.action is Action.ADOPT and not self.adopted(wanted.key):
            self._unadopted(wanted.key, "exists and was not made by Grappe")
        else:
            self.changes.append(change)

    def absent(self, key: Key) -> None:
        """Sort a key that is declared absent."""
        self.known.add(key)
        seen = self.seen.get(key)
        if seen is None:
            return
        if seen.role is not Role.OWNED:
            self.refuse("part", key, "is declared absent but belongs to the device", "declare it otherwise")
        elif self.kinds[key.kind].data:
            hint = "deleting is a verb of its own: take it out of the declaration and delete it by name"
            self.refuse("data", key, "is declared absent but holds data, which no plan deletes", hint)
        elif not seen.marked and not self.adopted(key):
            self._unadopted(key, "is declared absent but was not made by Grappe")
        else:
            self.changes.append(Change(key, seen, None))

    def leftovers(self, scopes: Set[str], refused: Set[str]) -> None:
        """Sort what is there and not declared, except what the declaration has but could not be lowered."""
        for key, seen in self.seen.items():
            if key in self.known or seen.role is not Role.OWNED or key.scope not in scopes:
                continue
            if refused and str(key) in refused:
                continue
            if not seen.marked:
                self.foreign.append(key)
            elif self.kinds[key.kind].data:
                self.undeclared.append(key)
            else:
                self.changes.append(Change(key, seen, None))

    def _unadopted(self, key: Key, message: str) -> None:
        self.refuse("adopt", key, message, f"take it over with --adopt '{key}'; undo gives it back")

    def refuse(self, code: str, key: Key, message: str, hint: str) -> None:
        """Note a refusal."""
        self.refusals.append(Refusal(code, str(key), message, hint))


def _either(resource: Resource, name: str) -> Value:
    return resource.running[name] if name in resource.running else resource.persistent.get(name)
