"""A plan: everything that will happen, decided, rendered and ready to be printed, saved and reviewed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import groupby
from typing import Protocol

from grappe.graph.change import Action, Change, Difference
from grappe.graph.components import UnionFind
from grappe.graph.order import order
from grappe.graph.resource import Key, KindRules, Refusal, Resource
from grappe.graph.schedule import Group
from grappe.model.script import Script


class Level(IntEnum):
    """How much a step disturbs, in rising order."""

    NONE = 0
    BLIP = 1
    GUEST_RESTART = 2
    HOST_REBOOT = 3

    @property
    def words(self) -> str:
        """The level as plans print it."""
        return ("none", "traffic blip", "guest restart", "host reboot")[self]


@dataclass(frozen=True, slots=True)
class Disruption:
    """What a step may disturb: how much, and what it may cut, in the operator's words."""

    level: Level = Level.NONE
    cuts: tuple[str, ...] = ()

    def __or__(self, other: Disruption) -> Disruption:
        cuts = tuple(sorted({*self.cuts, *other.cuts}))
        return Disruption(max(self.level, other.level), cuts)


@dataclass(frozen=True, slots=True)
class Step:
    """Changes of one scope realised by one script; `undo` puts back exactly what was there before."""

    scope: str
    changes: tuple[Change, ...]
    forward: Script
    undo: Script
    disruption: Disruption = Disruption()
    irreversible: str = ""
    """Why it cannot be undone; empty when it can."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps that run together: scopes side by side, a scope's own steps in order.

    A guarded stage touches the way to its devices: each holds a dead-man's timer while it runs.
    """

    steps: tuple[Step, ...]
    guarded: bool = False

    @property
    def scopes(self) -> tuple[str, ...]:
        """Scopes that the stage touches, sorted."""
        return tuple(sorted({s.scope for s in self.steps}))

    def of(self, scope: str) -> tuple[Step, ...]:
        """A scope's steps, in order."""
        return tuple(s for s in self.steps if s.scope == scope)


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` will do, nothing more and nothing less."""

    site: str
    digest: str
    """Of the declaration the plan was made from."""
    stages: tuple[Stage, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    frozen: Mapping[str, str] = field(default_factory=dict)
    """Scopes left out, each with the reason."""
    foreign: tuple[Key, ...] = ()
    undeclared: tuple[Key, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every change, in order."""
        return tuple(c for stage in self.stages for step in stage.steps for c in step.changes)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do and nothing refused."""
        return not self.stages and not self.refusals

    @property
    def disruption(self) -> Disruption:
        """The worst of all steps."""
        total = Disruption()
        for stage in self.stages:
            for step in stage.steps:
                total |= step.disruption
        return total

    def touched(self, scope: str) -> dict[Key, Resource | None]:
        """What the plan expects to find before it starts: the first `before` of every key it changes."""
        found: dict[Key, Resource | None] = {}
        for change in self.changes:
            if change.key.scope == scope:
                found.setdefault(change.key, change.before)
        return found


class Realiser(Protocol):
    """What a platform offers to turn changes into scripts. Pure."""

    def realise(self, changes: Sequence[Change]) -> Script:
        """Render changes of one scope, which belong together, as an idempotent script."""
        ...

    def disruption(self, change: Change) -> Disruption:
        """What a change may disturb."""
        ...

    def irreversible(self, change: Change) -> str:
        """Why a change cannot be undone; empty when it can."""
        ...


def build(
    difference: Difference,
    seen: Mapping[Key, Resource],
    kinds: Mapping[str, KindRules],
    realiser: Callable[[str], Realiser],
    *,
    site: str,
    digest: str,
    frozen: Mapping[str, str] | None = None,
    coupled: Iterable[tuple[str, str]] = (),
) -> Plan:
    """Order a difference and render it.

    `realiser` gives the platform of a scope. `coupled` names pairs of scopes, such as the two ends of a
    management cable, whose guarded changes must stand and fall together; all other guarded scopes get a
    stage each, so that a mistake stops at the first device.
    """
    ordering = order(
        difference.changes,
        seen,
        kinds,
        refused=_refused(difference.refusals),
        final=lambda change: bool(realiser(change.key.scope).irreversible(change)),
    )
    pairs = tuple(coupled)
    stages = tuple(
        Stage(steps, guarded=bool(number % 2))
        for number, groups in groupby(ordering.groups, key=lambda g: g.stage)
        for steps in _stage_steps(tuple(groups), kinds, realiser, pairs if number % 2 else None)
    )
    return Plan(
        site=site,
        digest=digest,
        stages=stages,
        refusals=tuple(sorted((*difference.refusals, *ordering.refusals), key=_place)),
        frozen=dict(frozen or {}),
        foreign=difference.foreign,
        undeclared=difference.undeclared,
    )


def _place(refusal: Refusal) -> tuple[str, str, str]:
    return (refusal.where, refusal.code, refusal.message)


def _refused(refusals: Iterable[Refusal]) -> set[Key]:
    """Resources that are refused; a refusal may also be about something that is not a resource."""
    return {Key(*parts) for r in refusals if len(parts := r.where.split("/", 2)) == 3}


def _stage_steps(
    groups: tuple[Group, ...],
    kinds: Mapping[str, KindRules],
    realiser: Callable[[str], Realiser],
    coupled: tuple[tuple[str, str], ...] | None,
) -> Iterable[tuple[Step, ...]]:
    """Steps of a stage; a guarded stage is split into its coupled sets of scopes."""
    scopes = sorted({g.scope for g in groups})
    parts = [scopes] if coupled is None else _coupled_sets(scopes, coupled)
    by_scope: dict[str, list[Group]] = {s: [] for s in scopes}
    for group in groups:
        by_scope[group.scope].append(group)
    for part in parts:
        steps: list[Step] = []
        for scope in part:
            joint = coupled is not None and not by_scope[scope][0].final
            runs = groupby(by_scope[scope], key=lambda g: "" if joint else _batch(g, kinds))
            steps.extend(_step(scope, tuple(run), realiser(scope)) for _, run in runs)
        yield tuple(steps)


def _batch(group: Group, kinds: Mapping[str, KindRules]) -> str:
    if group.final:
        return str(group.changes[0].key)
    batches = sorted({kinds[c.key.kind].batch for c in group.changes})
    removes = all(c.action is Action.REMOVE for c in group.changes)
    return "+".join(batches) + ("-" if removes else "")


def _step(scope: str, groups: tuple[Group, ...], platform: Realiser) -> Step:
    changes = tuple(c for g in groups for c in g.changes)
    disruption = Disruption()
    for change in changes:
        disruption |= platform.disruption(change)
    reasons = sorted({why for c in changes if (why := platform.irreversible(c))})
    return Step(
        scope=scope,
        changes=changes,
        forward=platform.realise(changes),
        undo=platform.realise(tuple(c.reverse() for c in reversed(changes))),
        disruption=disruption,
        irreversible="; ".join(reasons),
    )


def _coupled_sets(scopes: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[list[str]]:
    number = {s: i for i, s in enumerate(scopes)}
    sets = UnionFind(len(scopes))
    for one, other in pairs:
        if one in number and other in number:
            sets.union(number[one], number[other])
    parts: dict[int, list[str]] = {}
    for scope in scopes:
        parts.setdefault(sets.find(number[scope]), []).append(scope)
    return list(parts.values())
