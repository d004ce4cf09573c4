"""The way to each device: that there is one, that the declaration keeps it, that the guard can save it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from grappe.check import places
from grappe.check.codes import lockout as codes
from grappe.check.view import Uplink, View
from grappe.model.finding import Finding
from grappe.model.site import Access, Host, HostAddress, IPAddress, Path, Platform, Role
from grappe.model.topology import Carriage, SwitchPortProfile, attachment_carriage
from grappe.model.units import VlanId

SHORTEST_GUARD = 15
"""Seconds: a switch relearns, spanning tree settles, a new ssh connection comes up."""
LONGEST_GUARD = 600
"""Seconds: nobody waits longer for a host to come back by itself."""


def findings(view: View) -> Iterator[Finding]:
    """All findings about losing the way to a device."""
    yield from _on_bridge(view)
    for host in view.site.hosts.values():
        yield from _without_uplink(view, host)
        yield from _not_declared(view, host)
    for uplink in view.uplinks:
        yield from _not_on_port(view, uplink)
    yield from _guard(view)
    yield from _no_access(view)
    yield from _shared_access(view)
    yield from _removed(view)


def _management(view: View, host: Host) -> list[HostAddress]:
    networks = view.site.networks
    return [
        a for a in host.addresses if a.network in networks and Role.MANAGEMENT in networks[a.network].roles
    ]


def _on_bridge(view: View) -> Iterator[Finding]:
    for pool, hosts in view.pool_hosts.items():
        moved = [host for host in hosts if any(_bridged(host, a) for a in _management(view, host))]
        if moved:
            yield codes.MANAGEMENT_ON_BRIDGE.at(
                places.pool(pool),
                f"{places.listing(f'host {h.name}' for h in moved)}: management lives on a bridge; "
                f"where it has to move there, it moves under a guard of {view.site.guard.timeout} s",
                related=[places.host(h) for h in moved],
            )


def _bridged(host: Host, held: HostAddress) -> bool:
    return any(a.bridge and a.uplink and held.network in a.networks for a in host.attachments)


def _without_uplink(view: View, host: Host) -> Iterator[Finding]:
    held = sorted(_management(view, host), key=lambda address: address.network)
    if held and all(a.network in view.internal(host) for a in held):
        yield codes.MANAGEMENT_WITHOUT_UPLINK.at(
            places.address(host, held[0].network),
            f"{held[0].network}, the management network of host {host.name}, has no uplink there",
            hint="put a management network on the NIC that is cabled to it",
            related=[places.network(held[0].network, "roles")],
        )


def _not_declared(view: View, host: Host) -> Iterator[Finding]:
    address = _literal(host.access)
    if address is None or any(held.address.ip == address for held in host.addresses):
        return
    for name in sorted(view.carried(host)):
        network = view.site.networks.get(name)
        if network is not None and any(address in s for s in network.subnets if s.version == address.version):
            yield codes.ACCESS_NOT_DECLARED.at(
                places.host(host, "access"),
                f"host {host.name} is reached at {address}, in the subnet of {name}, "
                "and is not declared to have that address",
                hint=f"declare `{name}: {address}`, or correct `access:`",
                related=[places.network(name)],
            )
            return


def _literal(access: Access) -> IPAddress | None:
    try:
        return ip_address(access.address)
    except ValueError:
        return None


def _not_on_port(view: View, uplink: Uplink) -> Iterator[Finding]:
    """Ports declared by hand without the host's management network. `cabling` reports what else differs."""
    declared = [c for c in view.claims.get(uplink.port, ()) if not c.faces.startswith("host ")]
    if not declared:
        return
    own = attachment_carriage(view.site, uplink.attachment)
    names = {*uplink.attachment.networks, uplink.attachment.native}
    for held in _management(view, uplink.host):
        if held.network in names:
            tag = view.site.networks[held.network].tag
            yield from _cut(uplink, held.network, _manner(own, tag), declared, tag)


def _manner(carriage: Carriage, tag: VlanId) -> str:
    if carriage.native == tag:
        return "untagged"
    return "tagged" if tag in carriage.tagged else "not at all"


def _cut(
    uplink: Uplink, network: str, manner: str, declared: list[SwitchPortProfile], tag: VlanId
) -> Iterator[Finding]:
    for claim in declared:
        there = _manner(claim.carriage, tag)
        if there != manner:
            yield codes.MANAGEMENT_NOT_ON_PORT.at(
                places.port(uplink.port),
                f"host {uplink.host.name} has its management network {network} {manner} on {uplink.nic}, "
                f"and {uplink.port} carries it {there}",
                hint="remove the port's own networks; they follow from the cable",
                related=[places.cable(uplink.host, uplink.nic)],
            )


def _guard(view: View) -> Iterator[Finding]:
    timeout = view.site.guard.timeout
    place = ("guard", "timeout")
    if timeout < SHORTEST_GUARD:
        yield codes.GUARD_TOO_SHORT.at(
            place, f"the guard gives {timeout} s to log in again", hint="write `guard: {timeout: 60}`"
        )
    elif timeout > LONGEST_GUARD:
        yield codes.GUARD_TOO_LONG.at(
            place, f"the guard leaves a host cut off for {timeout} s", hint="write `guard: {timeout: 60}`"
        )


def _doors(view: View) -> Iterator[tuple[Path, str, Access | None]]:
    """Every device that Grappe logs in to: place, label, access."""
    for host in view.site.hosts.values():
        yield places.host(host, "access"), f"host {host.name}", host.access
    for switch in view.site.switches.values():
        if switch.managed:
            yield places.switch(switch.name, "access"), f"switch {switch.name}", switch.access


def _no_access(view: View) -> Iterator[Finding]:
    for place, label, access in _doors(view):
        if access is None or not access.address.strip():
            yield codes.NO_ACCESS.at(
                place, f"{label} has no address to log in to", hint="write `access: USER@ADDRESS`"
            )


def _shared_access(view: View) -> Iterator[Finding]:
    first: dict[tuple[str, int], tuple[Path, str]] = {}
    for place, label, access in sorted(_doors(view), key=lambda door: places.show(door[0])):
        if access is None or not access.address.strip():
            continue
        other = first.setdefault((access.address, access.port or 22), (place, label))
        if other[0] != place:
            yield codes.ACCESS_SHARED.at(
                place,
                f"{label} and {other[1]} are both reached at {access.address}",
                hint="correct the address that is wrong",
                related=[other[0]],
            )


def _removed(view: View) -> Iterator[Finding]:
    removed = view.site.removed.get("libvirt_networks", frozenset())
    place = ("removed", "libvirt_networks")
    for fabric in view.site.fabrics.values():
        if fabric.libvirt_network in removed:
            yield codes.REMOVED_BUT_DECLARED.at(
                place,
                f"libvirt network {fabric.libvirt_network} is removed, and fabric {fabric.name} has it",
                hint="take it out of `removed:`",
                related=[places.fabric(fabric.name, "libvirt_network")],
            )
    hosts = [h.name for h in view.site.hosts.values() if h.platform is Platform.KVM]
    if removed and hosts:
        yield codes.REMOVED_NETWORK_ACTIVE.at(
            place,
            f"libvirt network {places.listing(removed)} is stopped before it is undefined "
            f"on {places.listing(f'host {h}' for h in hosts)}, where it may be active",
        )
