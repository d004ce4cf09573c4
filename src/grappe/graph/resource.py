"""Resources: what exists, or shall exist, on a device. Platforms lower the site into these.

A resource has two facets, what runs now and what the next boot will bring; both are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

Value = None | bool | int | str | tuple["Value", ...] | frozenset[str] | frozenset[int]
"""Canonical attribute value: order-free lists are frozensets, ranges expanded, units plain integers."""

Attributes = Mapping[str, Value]

NONE: Attributes = {}


class Role(StrEnum):
    """Whose a resource is.

    OWNED: made and removed by us. MANAGED: exists anyway, only the declared attributes are ours. DERIVED:
    observed and predicted, never planned; it counts for needs and claims.
    """

    OWNED = "owned"
    MANAGED = "managed"
    DERIVED = "derived"


class Key(NamedTuple):
    """Identity of a resource: where (a host, pool or switch), what, and its name there.

    A tuple, because plans of large sites compare and look up keys millions of times.
    """

    scope: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.scope}/{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read the form that `str` prints; the name may hold slashes. ValueError if it is not a key."""
        parts = text.split("/", 2)
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"expected SCOPE/KIND/NAME, found {text!r}")
        return cls(*parts)


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource, desired or observed.

    `needs` must be there before it is made and as long as it stays. `claims` are exclusive tokens inside the
    scope (an address, a NIC's traffic). `marked` says that the device carries our mark on it. `path` says
    that the way to the device leads over it, so that changing it is guarded. `facts` are observed things
    that are never compared but that undo may need (an object's full XML).
    """

    key: Key
    running: Attributes = field(default_factory=dict)
    persistent: Attributes = field(default_factory=dict)
    role: Role = Role.OWNED
    needs: frozenset[Key] = frozenset()
    claims: frozenset[str] = frozenset()
    marked: bool = True
    path: bool = False
    facts: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something a plan cannot or will not do, and what the operator can do about it."""

    code: str
    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Desired:
    """What one scope shall hold: resources, keys declared absent, and what cannot be lowered."""

    resources: tuple[Resource, ...] = ()
    absent: frozenset[Key] = frozenset()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What one scope was seen to hold, and facts about the device itself."""

    scope: str
    resources: Mapping[Key, Resource]
    facts: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KindRules:
    """What the algebra must know of a kind.

    `rank` orders kinds where nothing else does (lower is made earlier and removed later). Changes of one
    `batch` in one scope can be realised together. `data`: holds what cannot be made again, so a plan never
    removes it. `fixed` attributes cannot be changed in place.
    """

    rank: int
    batch: str
    data: bool = False
    fixed: frozenset[str] = frozenset()


def differences(wanted: Attributes, seen: Attributes) -> dict[str, tuple[Value, Value]]:
    """Declared attributes that are not as wanted: name -> (seen, wanted). Undeclared ones are not ours."""
    return {k: (seen.get(k), v) for k, v in wanted.items() if seen.get(k) != v}


def by_key(resources: Iterable[Resource]) -> dict[Key, Resource]:
    """Index resources by key."""
    return {r.key: r for r in resources}
