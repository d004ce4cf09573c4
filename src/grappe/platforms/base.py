"""What a platform is to the rest of Grappe, and how one is put together from parts. All of it is pure.

A part knows a few kinds of resources: how to ask for them, how to understand the answers, what the site
wants of them, and how to change them. A platform is a list of parts that share one round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from grappe.graph.change import Change
from grappe.graph.plan import Disruption
from grappe.graph.resource import Desired, Key, KindRules, Observation, Resource, Value
from grappe.model.script import Answer, Script
from grappe.model.site import Site


class Part(Protocol):
    """One concern of a platform: the kinds it names in `kinds`, and nothing else."""

    kinds: Mapping[str, KindRules]

    def questions(self) -> Script:
        """Commands whose answers say everything about the kinds; none of them fails on a bare host."""
        ...

    def understand(
        self, site: Site, scope: str, answers: Sequence[Answer]
    ) -> tuple[Iterable[Resource], Mapping[str, Value]]:
        """Read the answers to `questions`: resources, and facts about the device."""
        ...

    def lower(self, site: Site, scope: str, seen: Observation) -> Desired:
        """What the site wants of a scope. `seen` serves for names known only on the device."""
        ...

    def realise(self, changes: Sequence[Change]) -> Script:
        """Render changes of this part's kinds, in order. Idempotent, and right for reversed changes too."""
        ...

    def disruption(self, change: Change) -> Disruption:
        """What a change may disturb."""
        ...

    def irreversible(self, change: Change) -> str:
        """Why a change cannot be undone; empty when it can."""
        ...


class Platform:
    """A platform made of parts."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts
        self.kinds: dict[str, KindRules] = {k: r for part in parts for k, r in part.kinds.items()}
        self._owner = {kind: part for part in parts for kind in part.kinds}

    def questions(self) -> Script:
        """Everything to ask, for one round trip."""
        return tuple(c for part in self.parts for c in part.questions())

    def understand(self, site: Site, scope: str, answers: Sequence[Answer]) -> Observation:
        """Read the answers to `questions`."""
        resources: dict[Key, Resource] = {}
        facts: dict[str, Value] = {}
        start = 0
        for part in self.parts:
            end = start + len(part.questions())
            seen, told = part.understand(site, scope, answers[start:end])
            resources.update((r.key, r) for r in seen)
            facts.update(told)
            start = end
        return Observation(scope, resources, facts)

    def lower(self, site: Site, scope: str, seen: Observation) -> Desired:
        """What the site wants of a scope."""
        wanted = [part.lower(site, scope, seen) for part in self.parts]
        return Desired(
            resources=tuple(r for w in wanted for r in w.resources),
            absent=frozenset(k for w in wanted for k in w.absent),
            refusals=tuple(r for w in wanted for r in w.refusals),
        )

    def realise(self, changes: Sequence[Change]) -> Script:
        """Render changes: each part renders its own; the parts' order is the order of the commands."""
        return tuple(
            command
            for part in self.parts
            if (own := [c for c in changes if self._owner[c.key.kind] is part])
            for command in part.realise(own)
        )

    def disruption(self, change: Change) -> Disruption:
        """What a change may disturb."""
        return self._owner[change.key.kind].disruption(change)

    def irreversible(self, change: Change) -> str:
        """Why a change cannot be undone; empty when it can."""
        return self._owner[change.key.kind].irreversible(change)
