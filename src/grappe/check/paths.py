"""VLANs along the switches: parts that do not hear each other, and links that carry them for nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from grappe.check import places
from grappe.check.codes import vlans as codes
from grappe.check.reach import Segment, Spread, Union, idle_links, islands, spreads
from grappe.check.view import Link, View
from grappe.model.finding import Finding
from grappe.model.site import Network, Role


def findings(view: View) -> Iterator[Finding]:
    """All findings about where a VLAN is carried."""
    names = _networks(view)
    for segment, spread in spreads(view).items():
        network = names.get(segment)
        if network is not None:
            union = islands(spread)
            yield from _split(view, network, spread, union)
            yield from _separate(network, spread, union)
            yield from _leaks(view, network, spread)


def _networks(view: View) -> Mapping[Segment, Network]:
    found: dict[Segment, Network] = {}
    for network in sorted(view.site.networks.values(), key=lambda n: n.name):
        found.setdefault((network.fabric, network.tag), network)
    return found


def _split(view: View, network: Network, spread: Spread, union: Union) -> Iterator[Finding]:
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for host, switches in spread.hosts.items():
        roots = {union.find(switch) for switch in switches}
        if len(roots) == 1:
            parts[roots.pop()].append(f"host {host}")
    for switch in spread.edges:
        parts[union.find(switch)].append(f"what is plugged into {switch}")
    if len(parts) < 2:
        return
    bridges = [link for link in view.links if union.find(link.a.switch) != union.find(link.b.switch)]
    shown = [f"{places.listing(parts[root])} (at {root})" for root in sorted(parts)]
    yield codes.NETWORK_SPLIT.at(
        places.network(network.name),
        f"{network.name} is in {len(parts)} parts that are not connected: {'; '.join(shown)}",
        hint=_join_hint(network, bridges),
        related=[places.port(end) for link in bridges for end in link.ends],
        data={"network": network.name, "parts": len(parts)},
    )


def _join_hint(network: Network, bridges: list[Link]) -> str:
    if not bridges:
        return "no link between these switches is declared: write it at one of their ports (`to:`)"
    return f"add {network.name} to the link {places.listing(f'{link.a} - {link.b}' for link in bridges)}"


def _separate(network: Network, spread: Spread, union: Union) -> Iterator[Finding]:
    hosts = [
        host
        for host, switches in spread.hosts.items()
        if len({union.find(switch) for switch in switches}) > 1
    ]
    if hosts:
        switches = set().union(*(spread.hosts[host] for host in hosts))
        yield codes.UPLINKS_IN_SEPARATE_PARTS.at(
            places.network(network.name),
            f"{network.name}: the uplinks of {places.listing(f'host {h}' for h in hosts)} end in switches "
            f"that are not connected ({places.listing(switches)})",
            hint="connect the switches, with this network on the link",
        )


def _leaks(view: View, network: Network, spread: Spread) -> Iterator[Finding]:
    storage = Role.STORAGE in network.roles
    users = {switch for switches in spread.hosts.values() for switch in switches} | spread.edges
    if not storage:
        users |= _unseen_users(view, network)
    for link, idle in idle_links(spread.links, users):
        near, far = link.ends if link.b.switch == idle else (link.b, link.a)
        code = codes.STORAGE_LEAVES_RACK if storage else codes.VLAN_LEAKS
        yield code.at(
            places.port(near),
            f"{near} carries {network.name} to {far}, and nobody behind {idle} is on it",
            hint=f"take {network.name} off the link",
            related=[places.port(far), places.network(network.name)],
            data={"network": network.name},
        )


def _unseen_users(view: View, network: Network) -> set[str]:
    """Switches whose users the declaration cannot know: unmanaged ones, and those managed on this network."""
    management = Role.MANAGEMENT in network.roles
    return {s.name for s in view.site.switches.values() if not s.managed or (management and s.access)}
