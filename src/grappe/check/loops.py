"""Rings of cables: who breaks them, and what happens when nobody does."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from grappe.check import places
from grappe.check.codes import bonds as codes
from grappe.check.reach import Union
from grappe.check.view import View
from grappe.model.finding import Finding
from grappe.model.site import Path, SpanningTree
from grappe.model.topology import attachment_carriage
from grappe.model.units import VlanId


@dataclass(frozen=True, slots=True)
class Edge:
    """One way for frames between two bridges: a cable, or a bond of several."""

    a: str
    b: str
    label: str
    place: Path
    fabric: str
    vlans: frozenset[VlanId]


def findings(view: View) -> Iterator[Finding]:
    """All findings about rings and spanning tree."""
    trees = _trees(view)
    for edges in _by_fabric(view).values():
        yield from _rings(trees, edges)
    yield from _off(view)


def _trees(view: View) -> Mapping[str, SpanningTree]:
    """Spanning tree by node: `switch sw1`, `host h1 br0`."""
    trees = {f"switch {s.name}": s.spanning_tree for s in view.site.switches.values()}
    for host in view.site.hosts.values():
        for attachment in host.attachments:
            if attachment.spanning_tree is not SpanningTree.NONE:
                trees[f"host {host.name} {attachment.bridge}"] = attachment.spanning_tree
    return trees


def _by_fabric(view: View) -> Mapping[str, list[Edge]]:
    found: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in (*_links(view), *_doubled_hosts(view)):
        found[edge.fabric].append(edge)
    return found


def _links(view: View) -> Iterator[Edge]:
    """Cables between switches; cables of one bond count once."""
    bonded: set[tuple[str, str]] = set()
    for link in view.links:
        a, b = (view.profiles.get(end) for end in link.ends)
        if a is None or b is None or a.fabric != b.fabric:
            continue
        bond = view.bond_at(link.a) or view.bond_at(link.b)
        key = (link.a.switch if view.bond_at(link.a) else link.b.switch, bond.name) if bond else None
        if key is not None and key in bonded:
            continue
        bonded |= {key} if key is not None else set()
        yield Edge(
            f"switch {link.a.switch}",
            f"switch {link.b.switch}",
            f"{link.a} - {link.b}",
            places.port(link.a),
            a.fabric,
            a.carriage.vlans & b.carriage.vlans,
        )


def _doubled_hosts(view: View) -> Iterator[Edge]:
    """Uplinks of bridges that have more than one: with a single one a host cannot be part of a ring."""
    for host in view.site.hosts.values():
        by_bridge: defaultdict[str, list[Edge]] = defaultdict(list)
        for attachment in host.attachments:
            nics = [n for n in host.uplink_nics(attachment) if n in host.nics]
            cable = next((c for n in nics if (c := host.nics[n].cable) is not None), None)
            if attachment.bridge is None or cable is None:
                continue
            by_bridge[attachment.bridge].append(
                Edge(
                    f"host {host.name} {attachment.bridge}",
                    f"switch {cable.switch}",
                    f"{attachment.uplink} of host {host.name}",
                    places.attachment(host, attachment),
                    attachment.fabric,
                    attachment_carriage(view.site, attachment).vlans,
                )
            )
        for edges in by_bridge.values():
            if len(edges) > 1:
                yield from edges


def _rings(trees: Mapping[str, SpanningTree], edges: Sequence[Edge]) -> Iterator[Finding]:
    """One finding per edge that closes a ring of some VLAN; VLANs with the same edges are looked at once."""
    carried: defaultdict[tuple[int, ...], list[VlanId]] = defaultdict(list)
    by_vlan: defaultdict[VlanId, list[int]] = defaultdict(list)
    ordered = sorted(edges, key=lambda edge: (edge.a, edge.b, edge.label))
    for number, edge in enumerate(ordered):
        for vlan in edge.vlans:
            by_vlan[vlan].append(number)
    for vlan, numbers in by_vlan.items():
        carried[tuple(numbers)].append(vlan)
    said: set[int] = set()
    for some in sorted(carried):
        union = Union()
        tree: list[Edge] = []
        for number in some:
            edge = ordered[number]
            if union.join(edge.a, edge.b):
                tree.append(edge)
            elif number not in said:
                said.add(number)
                yield _ring(trees, edge, _way(tree, edge.a, edge.b))


def _way(tree: Sequence[Edge], start: str, goal: str) -> list[str]:
    """Nodes on the way between two nodes of a tree, both included."""
    around: defaultdict[str, list[str]] = defaultdict(list)
    for edge in tree:
        around[edge.a].append(edge.b)
        around[edge.b].append(edge.a)
    came: dict[str, str] = {start: start}
    queue = deque([start])
    while queue and goal not in came:
        node = queue.popleft()
        for other in around[node]:
            if other not in came:
                came[other] = node
                queue.append(other)
    way = [goal]
    while way[-1] != start:
        way.append(came[way[-1]])
    return way[::-1]


def _ring(trees: Mapping[str, SpanningTree], edge: Edge, way: list[str]) -> Finding:
    speaking = [node for node in way if trees.get(node, SpanningTree.NONE) is not SpanningTree.NONE]
    shown = " - ".join([*way, way[0]]) if len(way) > 1 else f"{way[0]} with itself"
    if speaking:
        slow = any(trees[node] is SpanningTree.STP for node in speaking)
        return codes.LOOP_RELIES_ON_SPANNING_TREE.at(
            edge.place,
            f"{edge.label} closes a ring ({shown}) that {'STP' if slow else 'RSTP'} breaks",
            hint="pull each cable once under a running ping",
        )
    return codes.SWITCHING_LOOP.at(
        edge.place,
        f"{edge.label} closes a ring that no spanning tree breaks: {shown}",
        hint="turn spanning tree on, make parallel cables a bond, or take one away",
    )


def _off(view: View) -> Iterator[Finding]:
    linked: defaultdict[str, set[str]] = defaultdict(set)
    for link in view.links:
        linked[link.a.switch].add(link.b.switch)
        linked[link.b.switch].add(link.a.switch)
    for switch in view.site.switches.values():
        others = linked[switch.name] - {switch.name}
        if others and switch.managed and switch.spanning_tree is SpanningTree.NONE:
            yield codes.NO_SPANNING_TREE.at(
                places.switch(switch.name, "spanning_tree"),
                f"switch {switch.name} is cabled to {places.listing(others)} and has spanning tree off",
                hint="write `spanning_tree: rstp`",
            )
