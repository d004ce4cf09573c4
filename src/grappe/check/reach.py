"""Which switches and hosts hear each other, VLAN by VLAN: the islands of each network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from grappe.check.view import Link, View
from grappe.model.topology import attachment_carriage
from grappe.model.units import VlanId

Segment = tuple[str, VlanId]
"""Fabric and VLAN id (0: the native segment)."""


@dataclass(slots=True)
class Spread:
    """Where one segment is: links that carry it, hosts by the switches they reach it through, edge ports."""

    links: list[Link] = field(default_factory=list)
    hosts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    edges: set[str] = field(default_factory=set)
    """Switches with a declared port that faces neither a host nor a switch: a router, a NAS."""


class Union:
    """Disjoint sets of names, with path halving."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        """Representative of a name's set."""
        parent = self._parent
        while (up := parent.setdefault(name, name)) != name:
            parent[name] = parent[up]
            name = up
        return name

    def join(self, a: str, b: str) -> bool:
        """Join two sets; False when they were one already."""
        a, b = sorted((self.find(a), self.find(b)))
        self._parent[b] = a
        return a != b


def spreads(view: View) -> Mapping[Segment, Spread]:
    """Spread of every segment, in one pass over uplinks, links and declared ports."""
    found: defaultdict[Segment, Spread] = defaultdict(Spread)
    for uplink in view.uplinks:
        for vlan in attachment_carriage(view.site, uplink.attachment).vlans:
            found[uplink.attachment.fabric, vlan].hosts[uplink.host.name].add(uplink.port.switch)
    for link in view.links:
        a, b = (view.profiles.get(end) for end in link.ends)
        if a is not None and b is not None and a.fabric == b.fabric:
            for vlan in a.carriage.vlans & b.carriage.vlans:
                found[a.fabric, vlan].links.append(link)
    for profile in view.profiles.values():
        if profile.faces == "declared":
            for vlan in profile.carriage.vlans:
                found[profile.fabric, vlan].edges.add(profile.port.switch)
    return found


def islands(spread: Spread) -> Union:
    """Sets of switches that hear each other on one segment."""
    union = Union()
    for link in spread.links:
        union.join(link.a.switch, link.b.switch)
    return union


def idle_links(links: Iterable[Link], users: set[str]) -> list[tuple[Link, str]]:
    """Links behind which no switch with users lies, each with its idle switch: leaves are cut repeatedly."""
    around: defaultdict[str, dict[Link, str]] = defaultdict(dict)
    for link in links:
        if link.a.switch != link.b.switch:
            around[link.a.switch][link] = link.b.switch
            around[link.b.switch][link] = link.a.switch
    leaves = [s for s in sorted(around) if len(around[s]) == 1 and s not in users]
    idle = []
    while leaves:
        leaf = leaves.pop()
        if len(around[leaf]) != 1:
            continue
        (link, other), *_ = around.pop(leaf).items()
        idle.append((link, leaf))
        del around[other][link]
        if len(around[other]) == 1 and other not in users:
            leaves.append(other)
    return idle
