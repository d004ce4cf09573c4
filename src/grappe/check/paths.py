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
    """All findings about where a VLAN is carried. Networks that share a fault share a finding."""
    names = _networks(view)
    splits: defaultdict[tuple[str, ...], list[Network]] = defaultdict(list)
    leaks: defaultdict[tuple[Link, str, bool], list[Network]] = defaultdict(list)
    for segment, spread in spreads(view).items():
        network = names.get(segment)
        if network is None:
            continue
        union = islands(spread)
        splits[_parts(spread, union)].append(network)
        for link, idle in _leaks(view, network, spread):
            leaks[link, idle, Role.STORAGE in network.roles].append(network)
        yield from _separate(network, spread, union)
    for parts, networks in splits.items():
        if len(parts) > 1:
            yield _split(view, parts, networks)
    for (link, idle, storage), networks in leaks.items():
        yield _leak(link, idle, storage, networks)


def _networks(view: View) -> Mapping[Segment, Network]:
    found: dict[Segment, Network] = {}
    for network in sorted(view.site.networks.values(), key=lambda n: n.name):
        found.setdefault((network.fabric, network.tag), network)
    return found


def _parts(spread: Spread, union: Union) -> tuple[str, ...]:
    """Parts of a segment that do not hear each other, each as people read it."""
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for host, switches in spread.hosts.items():
        roots = {union.find(switch) for switch in switches}
        if len(roots) == 1:
            parts[roots.pop()].append(f"host {host}")
    for switch in spread.edges:
        parts[union.find(switch)].append(f"what is plugged into {switch}")
    return tuple(f"{places.listing(parts[root])} (at {root})" for root in sorted(parts))


def _split(view: View, parts: tuple[str, ...], networks: list[Network]) -> Finding:
    names = sorted((n.name for n in networks), key=places.natural)
    lacking = [link for link in view.links if not _carries(view, link, networks)]
    verb = "is" if len(names) == 1 else "are each"
    return codes.NETWORK_SPLIT.at(
        places.network(names[0]),
        f"{places.listing(names)} {verb} in {len(parts)} parts that are not connected: {'; '.join(parts)}",
        hint=_join_hint(names, lacking),
        related=[*(places.network(n) for n in names[1:]), *(places.port(e) for k in lacking for e in k.ends)],
        data={"networks": ",".join(names), "parts": len(parts)},
    )


def _carries(view: View, link: Link, networks: list[Network]) -> bool:
    a, b = (view.profiles.get(end) for end in link.ends)
    if a is None or b is None:
        return False
    return all(n.fabric == a.fabric and n.tag in a.carriage.vlans & b.carriage.vlans for n in networks)


def _join_hint(names: list[str], links: list[Link]) -> str:
    if not links:
        return "no link between these switches is declared: write it at one of their ports (`to:`)"
    shown = places.listing(f"{link.a} - {link.b}" for link in links)
    return f"the networks are missing on {shown}" if len(names) > 1 else f"{names[0]} is missing on {shown}"


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


def _leaks(view: View, network: Network, spread: Spread) -> list[tuple[Link, str]]:
    """Links that carry a network for nobody, each with the switch behind it."""
    users = {switch for switches in spread.hosts.values() for switch in switches} | spread.edges
    if Role.STORAGE not in network.roles:
        users |= _unseen_users(view, network)
    return idle_links(spread.links, users)


def _leak(link: Link, idle: str, storage: bool, networks: list[Network]) -> Finding:
    near, far = link.ends if link.b.switch == idle else (link.b, link.a)
    names = sorted((n.name for n in networks), key=places.natural)
    code = codes.STORAGE_LEAVES_RACK if storage else codes.VLAN_LEAKS
    return code.at(
        places.port(near),
        f"{near} carries {places.listing(names)} to {far}, and nobody behind {idle} is on "
        f"{'it' if len(names) == 1 else 'them'}",
        hint=f"take {places.listing(names)} off the link",
        related=[places.port(far), *(places.network(name) for name in names)],
        data={"networks": ",".join(names)},
    )


def _unseen_users(view: View, network: Network) -> set[str]:
    """Switches whose users the declaration cannot know: unmanaged ones, and those managed on this network."""
    management = Role.MANAGEMENT in network.roles
    return {s.name for s in view.site.switches.values() if not s.managed or (management and s.access)}
