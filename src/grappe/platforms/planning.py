"""From a site and what was seen of it to one plan over all scopes. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from grappe.graph.change import Change, Difference, diff
from grappe.graph.plan import Plan, build
from grappe.graph.resource import Key, KindRules, Observation, Refusal, Resource
from grappe.model.site import Site
from grappe.platforms.base import Platform

IN_MAINTENANCE = "in maintenance"
LEFT_OUT = "left out by --only"
"""Reasons for leaving a scope out that the operator gave."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen of a site: an observation per scope that answered, a reason per scope that did not.

    Unknown is never empty. `excused` scopes were not asked because the declaration says so.
    """

    observations: Mapping[str, Observation]
    unknown: Mapping[str, str] = field(default_factory=dict)
    excused: Mapping[str, str] = field(default_factory=dict)

    @property
    def resources(self) -> dict[Key, Resource]:
        """Everything seen, over all scopes."""
        return {k: r for o in self.observations.values() for k, r in o.resources.items()}


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator said on the command line."""

    adopt: tuple[str, ...] = ()
    """Keys, or patterns of keys (`h1/stanza/*`), that may be taken over."""
    only: frozenset[str] = frozenset()
    """Scopes to plan for; empty: all."""

    def adopted(self, key: Key) -> bool:
        """Whether a foreign object may be taken over."""
        return any(p == "all" or fnmatch.fnmatchcase(str(key), p) for p in self.adopt)


NO_CHOICES = Choices()

VM = "vm"
"""Kind of a virtual machine on every platform: it can live on one host only."""

VOLUME = "volume"
"""Kind of a VM's disk."""


def compare(
    site: Site, survey: Survey, platforms: Mapping[str, Platform], choices: Choices = NO_CHOICES
) -> Difference:
    """The difference between a site and what was seen, over the chosen scopes that answered."""
    desired = [
        platforms[scope].lower(site, scope, observation)
        for scope, observation in sorted(survey.observations.items())
        if not choices.only or scope in choices.only
    ]
    chosen = {s: o for s, o in survey.observations.items() if not choices.only or s in choices.only}
    seen = {k: r for o in chosen.values() for k, r in o.resources.items()}
    found = diff(desired, seen, kinds_of(platforms.values()), choices.adopted, scopes=chosen)
    return without_second_copies(found, survey.resources)


def without_second_copies(difference: Difference, seen: Mapping[Key, Resource]) -> Difference:
    """Refuse to make or start a VM that is on another host already: two copies would write one identity."""
    hosts: dict[str, list[str]] = {}
    for key in seen:
        if key.kind == VM:
            hosts.setdefault(key.name, []).append(key.scope)
    refusals, dropped = list(difference.refusals), set[Key]()
    for change in difference.changes:
        elsewhere = sorted(set(hosts.get(change.key.name, ())) - {change.key.scope})
        if change.key.kind == VM and elsewhere and _comes_alive(change):
            hint = "moving a VM is not done by a plan yet: leave host: as it is, or move it by hand first"
            message = f"exists on {', '.join(elsewhere)} already"
            refusals.append(Refusal("vm-elsewhere", str(change.key), message, hint))
            dropped |= {change.key} | _own_disks(change)
    kept = tuple(c for c in difference.changes if c.key not in dropped)
    return replace(difference, changes=kept, refusals=tuple(refusals))


def _own_disks(change: Change) -> set[Key]:
    """Disks that would be made for a VM: without it they would lie there empty."""
    needs = change.after.needs if change.after else frozenset[Key]()
    return {need for need in needs if need.kind == VOLUME}


def _comes_alive(change: Change) -> bool:
    """Whether a VM is made, or started."""
    before, after = change.before, change.after
    if after is None:
        return False
    return before is None or before.running.get("state") != after.running.get("state")


def plan_site(
    site: Site,
    digest: str,
    survey: Survey,
    platforms: Mapping[str, Platform],
    choices: Choices = NO_CHOICES,
) -> Plan:
    """The plan that takes a site from what was seen to what is declared."""
    difference = compare(site, survey, platforms, choices)
    return plan_difference(site, digest, difference, survey, platforms=platforms, choices=choices)


def plan_difference(
    site: Site,
    digest: str,
    difference: Difference,
    survey: Survey,
    *,
    platforms: Mapping[str, Platform],
    choices: Choices = NO_CHOICES,
) -> Plan:
    """The plan of a difference, whoever made it."""
    frozen = {**survey.unknown, **survey.excused}
    frozen |= {s: LEFT_OUT for s in survey.observations if choices.only and s not in choices.only}
    return build(
        difference,
        survey.resources,
        kinds_of(platforms.values()),
        lambda scope: platforms[scope],
        site=site.name,
        digest=digest,
        frozen=frozen,
        coupled=coupled(site),
    )


def unknown_choices(choices: Choices, survey: Survey) -> tuple[Refusal, ...]:
    """Words of the operator that match nothing that was seen."""
    keys = [str(k) for k in survey.resources]
    return tuple(
        Refusal("unknown-adopt", p, "matches nothing that was seen", "see the keys in `grappe plan`")
        for p in choices.adopt
        if p != "all" and not fnmatch.filter(keys, p)
    )


def unwilling(frozen: Mapping[str, str]) -> dict[str, str]:
    """Scopes that a plan leaves out although nobody asked for that, each with the reason."""
    return {s: reason for s, reason in frozen.items() if reason not in (IN_MAINTENANCE, LEFT_OUT)}


def kinds_of(platforms: Iterable[Platform]) -> dict[str, KindRules]:
    """Rules of all kinds that the platforms know."""
    return {k: r for p in platforms for k, r in p.kinds.items()}


def coupled(site: Site) -> tuple[tuple[str, str], ...]:
    """Pairs of devices that a cable joins: their guarded changes stand and fall together."""
    pairs = {
        (host.name, nic.cable.switch)
        for host in site.hosts.values()
        for nic in host.nics.values()
        if nic.cable is not None
    }
    pairs |= {
        (switch.name, port.to.switch)
        for switch in site.switches.values()
        for port in switch.ports.values()
        if port.to is not None
    }
    return tuple(sorted(pairs))
