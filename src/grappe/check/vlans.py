"""VLAN ids: each once, present where VMs need them, and nowhere untagged twice."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from grappe.check import places
from grappe.check.code import Code
from grappe.check.codes import vlans as codes
from grappe.check.view import Plug, Scope, View, group_networks
from grappe.model.finding import Finding
from grappe.model.site import Host, Network, Path, PortGroup, PortRef, Role
from grappe.model.topology import attachment_carriage
from grappe.model.units import VlanId

_NUMBERED = re.compile(r"(?:vlan[-_ ]?)?(\d+)", re.IGNORECASE)


def findings(view: View) -> Iterator[Finding]:
    """All findings about VLAN ids, networks of VMs and port groups."""
    yield from _duplicates(view)
    yield from _two_natives(view)
    yield from _missing(view)
    yield from _vlan_one(view)
    yield from _internal(view)
    yield from _unused(view)
    yield from _group_names(view)


def _duplicates(view: View) -> Iterator[Finding]:
    first: dict[tuple[str, VlanId], Network] = {}
    for network in sorted(view.site.networks.values(), key=lambda n: n.name):
        other = first.setdefault((network.fabric, network.tag), network)
        if other is not network:
            what = f"VLAN {network.vlan}" if network.vlan else "untagged (no `vlan:`)"
            yield codes.DUPLICATE_VLAN.at(
                places.network(network.name, "vlan"),
                f"{network.name} and {other.name} are both {what} on {network.fabric}",
                hint="change one VLAN id",
                related=[places.network(other.name, "vlan")],
            )


def _carriers(view: View) -> Iterator[tuple[Path, str, tuple[str, ...], str | None]]:
    """Everything that carries a set of networks: place, label, names, native one."""
    for host in view.site.hosts.values():
        for attachment in host.attachments:
            label = f"{attachment.uplink or attachment.bridge or attachment.fabric} of host {host.name}"
            yield places.attachment(host, attachment), label, attachment.networks, attachment.native
    for switch in view.site.switches.values():
        for port in switch.ports.values():
            ref = PortRef(switch=switch.name, port=port.name)
            yield places.port(ref), f"switch port {ref}", port.networks, port.native
    for group in view.site.port_groups.values():
        place = places.port_group(group.name)
        yield place, f"port group {group.name} of {group.fabric}", group_networks(group), group.native


def _two_natives(view: View) -> Iterator[Finding]:
    networks = view.site.networks
    for place, label, names, native in _carriers(view):
        untagged = {name for name in names if name in networks and networks[name].vlan is None}
        untagged |= {native} if native is not None else set()
        if len(untagged) > 1:
            yield codes.TWO_NATIVE_NETWORKS.at(
                place,
                f"{places.listing(untagged)} would all be untagged on {label}",
                hint="one network per port is untagged; give the others a VLAN id",
            )


def _missing(view: View) -> Iterator[Finding]:
    lacking: defaultdict[tuple[Scope, str], list[Plug]] = defaultdict(list)
    for (scope, _, _), plugs in view.plugs.items():
        for plug in plugs:
            for name in view.networks_of(plug):
                lacking[scope, name].append(plug)
    for (scope, name), found in lacking.items():
        yield from _missing_in(view, scope, name, found)


def _missing_in(view: View, scope: Scope, name: str, plugs: list[Plug]) -> Iterator[Finding]:
    hosts = view.hosts_of(scope)
    without = [host for host in hosts if name not in view.carried(host)]
    bare = [host for host in hosts if name in view.carried(host) and name not in view.bridged(host)]
    if without:
        code = codes.NETWORK_MISSING if len(without) == len(hosts) else codes.NETWORK_MISSING_ON_SOME_HOSTS
        yield _lack(code, name, plugs, without)
    if bare:
        yield _lack(codes.VM_WITHOUT_BRIDGE, name, plugs, bare)


def _lack(code: Code, network: str, plugs: list[Plug], hosts: list[Host]) -> Finding:
    bare = code is codes.VM_WITHOUT_BRIDGE
    lack = f"{network} has no bridge on" if bare else f"{network} is not attached on"
    hint = f"give the attachment of {network} a bridge" if bare else f"attach {network} there"
    ordered = sorted(plugs, key=lambda plug: (places.natural(plug.vm.name), plug.index))
    vms = dict.fromkeys(plug.vm.name for plug in ordered)
    related = [places.vm_nic(p.vm, p.index) for p in ordered[1:]] + [places.host(h) for h in hosts]
    return code.at(
        places.vm_nic(ordered[0].vm, ordered[0].index),
        f"{lack} {_hosts(hosts)}, where {places.listing(f'VM {name}' for name in vms)} may run",
        hint=hint,
        related=related,
        data={"network": network, "hosts": ",".join(h.name for h in hosts), "vms": len(vms)},
    )


def _hosts(hosts: Iterable[Host]) -> str:
    return places.listing(f"host {host.name}" for host in hosts)


def _vlan_one(view: View) -> Iterator[Finding]:
    tagged = {
        attachment.fabric
        for host in view.site.hosts.values()
        for attachment in host.attachments
        if attachment.uplink is not None and 1 in attachment_carriage(view.site, attachment).tagged
    }
    tagged |= {profile.fabric for profile in view.profiles.values() if 1 in profile.carriage.tagged}
    for network in view.site.networks.values():
        if network.vlan == 1 and network.fabric in tagged:
            yield codes.VLAN_1_TAGGED.at(
                places.network(network.name, "vlan"),
                f"{network.name} is VLAN 1 and is carried tagged on {network.fabric}",
                hint="leave `vlan:` out (untagged), or take another id",
            )


def _internal(view: View) -> Iterator[Finding]:
    """Networks that end at their host, with VMs that are, or may be, on several hosts."""
    few: defaultdict[tuple[Scope, str], set[str]] = defaultdict(set)
    for (scope, _, _), plugs in view.plugs.items():
        for plug in plugs:
            for name in view.networks_of(plug):
                if len(few[scope, name]) < 2:  # two VMs are enough to miss each other
                    few[scope, name].add(plug.vm.name)
    users: defaultdict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (scope, name), vms in few.items():
        for host in view.hosts_of(scope):
            users[name][host.name] |= vms
    for name, by_host in users.items():
        ends = [host for host in by_host if name in view.internal(view.site.hosts[host])]
        if ends and len(by_host) > 1 and len(set().union(*by_host.values())) > 1:
            yield codes.INTERNAL_NETWORK_ON_TWO_HOSTS.at(
                places.network(name),
                f"{name} has no uplink on {places.listing(f'host {h}' for h in ends)}, "
                f"and its VMs are or may be on {places.listing(f'host {h}' for h in by_host)}",
                hint="give the fabric an uplink, or place these VMs on one host",
                data={"network": name, "hosts": len(by_host)},
            )


def _unused(view: View) -> Iterator[Finding]:
    used: defaultdict[str, set[str]] = defaultdict(set)
    for (scope, _, _), plugs in view.plugs.items():
        for plug in plugs:
            used[scope.pool].update(view.networks_of(plug))
    for pool, hosts in view.pool_hosts.items():
        if pool not in used:
            continue
        attached = {n for host in hosts for a in host.attachments if a.uplink is not None for n in a.networks}
        held = {address.network for host in hosts for address in host.addresses}
        idle = attached - held - used[pool]
        names = [n for n in idle if Role.PROVIDER not in view.site.networks[n].roles]
        if names:
            yield codes.NETWORK_UNUSED.at(
                places.pool(pool),
                f"nobody in pool {pool} uses {places.listing(names)}, which its hosts have on an uplink",
                related=[places.network(name) for name in sorted(names, key=places.natural)],
            )


def _group_names(view: View) -> Iterator[Finding]:
    groups: defaultdict[str, list[PortGroup]] = defaultdict(list)
    for group in view.site.port_groups.values():
        if group.native is not None and not group.tagged and _NUMBERED.fullmatch(group.name):
            groups[group.fabric].append(group)
    for fabric, found in groups.items():
        bare = sorted((g.name for g in found if g.name.isdecimal()), key=places.natural)
        worded = sorted((g.name for g in found if not g.name.isdecimal()), key=places.natural)
        if bare and worded:
            yield codes.PORT_GROUP_NAMES_DIFFER.at(
                places.fabric(fabric),
                f"port groups of {fabric} are named in two ways: {places.listing(bare)}, "
                f"but {places.listing(worded)}",
                hint="choose one way",
                related=[places.port_group(name) for name in (*bare, *worded)],
            )
        for group in found:
            yield from _lies(view, group)


def _lies(view: View, group: PortGroup) -> Iterator[Finding]:
    match = _NUMBERED.fullmatch(group.name)
    network = view.site.networks.get(group.native or "")
    if match is not None and network is not None and network.tag != int(match[1]):
        real = f"VLAN {network.vlan}" if network.vlan else "untagged"
        yield codes.PORT_GROUP_NAME_LIES.at(
            places.port_group(group.name),
            f"port group {group.name} is on {network.name}, which is {real}",
            hint=f"rename it to vlan{network.vlan}" if network.vlan else "rename it",
        )
