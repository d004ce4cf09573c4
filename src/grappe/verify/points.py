"""From a site and what was seen of it to the roll call's question: which point carries what. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from grappe.graph.resource import Key, Observation
from grappe.model.site import Attachment, Host, Site
from grappe.model.topology import Carriage, SwitchPortProfile, attachment_carriage, carriage, switch_ports
from grappe.model.units import DEFAULT_MTU
from grappe.platforms.planning import VM
from grappe.platforms.shared import ovs
from grappe.platforms.shared.devices import device_of
from grappe.verify.rollcall import Kind, Network, Plan, Point, Temporary, jumbo_pairs

Carried = tuple[tuple[str, int | None], ...]


def question(site: Site, seen: Mapping[str, Observation], networks: frozenset[str] = frozenset()) -> Plan:
    """The roll call of a site. `networks` limits it to some of them; empty: all.

    Full-size frames are tried on every network whose MTU is not the usual 1500.
    """
    points = tuple(p for p in _points(site, seen) if p.carries or not networks)
    chosen = [n for n in site.networks.values() if not networks or n.name in networks]
    names = {n.name for n in chosen}
    kept = tuple(_limited(p, names) for p in points)
    plan = Plan(site.name, tuple(Network(n.name, n.mtu) for n in chosen), kept)
    pairs = jumbo_pairs(plan, [n.name for n in chosen if n.mtu > DEFAULT_MTU])
    return Plan(plan.site, plan.networks, plan.points, pairs)


def _limited(point: Point, names: set[str]) -> Point:
    carries = tuple(c for c in point.carries if c[0] in names)
    return replace(point, carries=carries, speaks=frozenset(point.speaks & names))


def _points(site: Site, seen: Mapping[str, Observation]) -> Iterator[Point]:
    for host in site.hosts.values():
        if host.name in seen and not host.maintenance:
            yield from _host_points(site, host, seen[host.name])
    for ref, profile in sorted(switch_ports(site).items(), key=lambda item: str(item[0])):
        if ref.switch in seen:
            yield _switch_point(site, profile)


def _host_points(site: Site, host: Host, seen: Observation) -> Iterator[Point]:
    for attachment in host.attachments:
        if attachment.bridge is None:
            yield from _bare(site, host, attachment, seen)
        else:
            yield from _uplinks(site, host, attachment, seen)
            yield from _voices(site, host, attachment)
    yield from _guests(site, host, seen)
    yield from _unplugged(site, host, seen)


def _bare(site: Site, host: Host, attachment: Attachment, seen: Observation) -> Iterator[Point]:
    """A NIC that is in no bridge: it is the host's own port on its native network."""
    for nic in host.uplink_nics(attachment):
        if attachment.native is not None and (device := device_of(host.nics[nic], seen)):
            yield Point(
                host.name,
                device,
                Kind.HOST_PORT,
                ((attachment.native, None),),
                speaks=_may_speak(attachment, frozenset({attachment.native})),
                peer=_peer(site, host, nic),
            )


def _uplinks(site: Site, host: Host, attachment: Attachment, seen: Observation) -> Iterator[Point]:
    members = host.uplink_nics(attachment)
    for nic in members:
        device = device_of(host.nics[nic], seen)
        if device is not None:
            yield Point(
                host.name,
                device,
                Kind.UPLINK,
                _carried(site, attachment.fabric, attachment_carriage(site, attachment)),
                bundle=f"{host.name}/{attachment.uplink}" if len(members) > 1 else "",
                peer=_peer(site, host, nic),
            )


def _voices(site: Site, host: Host, attachment: Attachment) -> Iterator[Point]:
    """The host's own ports speak on their networks; a temporary port speaks on the bridge's others."""
    own = {a.network: a.port for a in host.addresses if a.network in attachment.networks}
    for network, port in own.items():
        speaks = _may_speak(attachment, frozenset({network}))
        yield Point(host.name, port, Kind.HOST_PORT, ((network, None),), speaks)
    others = frozenset(attachment.networks) - own.keys()
    if others and attachment.registered_macs is None:
        mtu = max(site.networks[n].mtu for n in attachment.networks)
        carries = tuple((n, site.networks[n].vlan) for n in attachment.networks)
        bridge = attachment.bridge or ""
        yield Point(host.name, "", Kind.HOST_PORT, carries, others, temporary=Temporary(bridge, mtu))


def _guests(site: Site, host: Host, seen: Observation) -> Iterator[Point]:
    """Ports of running guests, as libvirt made them; a port nobody declared carries nothing."""
    nics = {str(nic.mac): (vm.name, nic) for vm in site.vms.values() for nic in vm.nics}
    for resource in seen.resources.values():
        if resource.key.kind != ovs.GUEST:
            continue
        device, mac = str(resource.facts["device"]), str(resource.facts["mac"])
        vm, nic = nics.get(mac, ("a guest not declared", None))
        group = site.port_groups.get((nic.fabric, nic.port_group)) if nic else None
        if group is None:
            untagged = nic.network if nic else None
            yield Point(host.name, device, Kind.GUEST_PORT, ((untagged, None),) if untagged else (), label=vm)
        else:
            names = (*group.tagged, *([group.native] if group.native else []))
            carries = _carried(site, group.fabric, carriage(site, names, group.native))
            yield Point(host.name, device, Kind.GUEST_PORT, carries, label=vm)


def _unplugged(site: Site, host: Host, seen: Observation) -> Iterator[Point]:
    """NICs of running guests that have no port on a bridge: nobody can listen there, and that is said."""
    plugged = {str(r.facts["mac"]) for r in seen.resources.values() if r.key.kind == ovs.GUEST}
    for vm in site.vms_on(host.name):
        found = seen.resources.get(Key(host.name, VM, vm.name))
        running = found is not None and found.running.get("state") == "running"
        for nic in vm.nics if running else ():
            if str(nic.mac) not in plugged and nic.network is not None:
                yield Point(host.name, "no-port", Kind.GUEST_PORT, ((nic.network, None),), label=vm.name)


def _switch_point(site: Site, profile: SwitchPortProfile) -> Point:
    carries = _carried(site, profile.fabric, profile.carriage)
    bundle = f"{profile.port.switch}/{profile.bond.name}" if profile.bond else ""
    return Point(
        profile.port.switch,
        profile.port.port,
        Kind.SWITCH_PORT,
        carries,
        label=profile.faces,
        bundle=bundle,
    )


def _carried(site: Site, fabric: str, link: Carriage) -> Carried:
    return tuple(
        (n.name, None if n.tag == link.native else int(n.tag))
        for n in site.fabric_networks(fabric)
        if n.tag in link.vlans
    )


def _may_speak(attachment: Attachment, networks: frozenset[str]) -> frozenset[str]:
    """A provider that registers MACs hears nothing from us unless asked."""
    return networks if attachment.registered_macs is None else frozenset()


def _peer(site: Site, host: Host, nic: str) -> tuple[str, str] | None:
    cable = host.nics[nic].cable
    switch = site.switches.get(cable.switch) if cable else None
    return (cable.switch, cable.port) if cable and switch and switch.managed else None
