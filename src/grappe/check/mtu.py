"""MTU along every path: VM NIC, bridge, NIC, switch port, switch bridge, and the same on the other side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from grappe.check import places
from grappe.check.codes import mtu as codes
from grappe.check.reach import Segment
from grappe.check.view import View
from grappe.model.finding import Finding
from grappe.model.site import Attachment, Host, Network, Path, Platform
from grappe.model.topology import Carriage, SwitchPortProfile, attachment_carriage
from grappe.model.units import DEFAULT_MTU, Mtu


def findings(view: View) -> Iterator[Finding]:
    """All findings about MTU."""
    for host in view.site.hosts.values():
        for attachment in host.attachments:
            yield from _uplink(view, host, attachment)
    ordered = sorted(view.site.networks.values(), key=lambda n: n.name)
    segments = {(n.fabric, n.tag): n for n in ordered}
    for profile in view.profiles.values():
        yield from _port(segments, profile)
    yield from _switches(view, segments)
    yield from _vms(view)
    yield from _native_mtus(view)
    for network in view.site.networks.values():
        yield from _network(network)


def _uplink(view: View, host: Host, attachment: Attachment) -> Iterator[Finding]:
    what = attachment.uplink or attachment.bridge or attachment.fabric
    for name in attachment.networks:
        network = view.site.networks[name]
        if network.mtu > attachment.mtu:
            yield codes.VLAN_MTU_ABOVE_UPLINK.at(
                places.attachment(host, attachment),
                f"{name} has MTU {network.mtu}, and {what} of host {host.name} only {attachment.mtu}",
                hint=f"raise the MTU of {what} to {network.mtu}, or leave it out",
                related=[places.network(name, "mtu")],
                data={"network": name, "mtu": attachment.mtu, "needed": network.mtu},
            )
    native = _native(view, attachment)
    if host.platform is Platform.XCP_NG and native is not None and attachment.mtu > native.mtu:
        yield codes.NATIVE_MTU_ABOVE_NETWORK.at(
            places.attachment(host, attachment),
            f"{native.name} is untagged on {what} of host {host.name} and gets its MTU {attachment.mtu} "
            f"instead of {native.mtu}",
            hint=f"give {native.name} a VLAN id, or take the jumbo frames to another NIC",
            related=[places.network(native.name)],
        )


def _native(view: View, attachment: Attachment) -> Network | None:
    if attachment.native is not None:
        return view.site.networks[attachment.native]
    found = (view.site.networks[name] for name in sorted(attachment.networks))
    return next((network for network in found if network.vlan is None), None)


def _largest(segments: dict[Segment, Network], fabric: str, carriage: Carriage) -> Network | None:
    found = [segments[fabric, vlan] for vlan in carriage.vlans if (fabric, vlan) in segments]
    return max(found, key=lambda network: (network.mtu, network.name), default=None)


def _port(segments: dict[Segment, Network], profile: SwitchPortProfile) -> Iterator[Finding]:
    network = _largest(segments, profile.fabric, profile.carriage)
    if network is not None and network.mtu > profile.mtu:
        yield _hop(places.port(profile.port, "mtu"), f"switch port {profile.port}", profile.mtu, network)


def _switches(view: View, segments: dict[Segment, Network]) -> Iterator[Finding]:
    crossing: defaultdict[str, list[Network]] = defaultdict(list)
    for profile in view.profiles.values():
        network = _largest(segments, profile.fabric, profile.carriage)
        if network is not None:
            crossing[profile.port.switch].append(network)
    for switch in view.site.switches.values():
        network = max(crossing[switch.name], key=lambda n: (n.mtu, n.name), default=None)
        if network is not None and switch.mtu is not None and network.mtu > switch.mtu:
            what = f"bridge {switch.bridge} of switch {switch.name}"
            yield _hop(places.switch(switch.name, "mtu"), what, switch.mtu, network)


def _hop(place: Path, hop: str, mtu: Mtu, network: Network) -> Finding:
    return codes.PATH_MTU_TOO_SMALL.at(
        place,
        f"{network.name} has MTU {network.mtu}, and {hop} passes only {mtu}",
        hint=f"raise it to {network.mtu}, or leave it out: it then follows from the networks",
        related=[places.network(network.name, "mtu")],
        data={"network": network.name, "mtu": mtu, "needed": network.mtu},
    )


def _vms(view: View) -> Iterator[Finding]:
    networks = view.site.networks
    for plugs in view.plugs.values():
        for plug in plugs:
            around = [networks[name] for name in view.networks_of(plug) if name in networks]
            largest = max(around, key=lambda network: (network.mtu, network.name), default=None)
            if largest is not None and plug.nic.mtu > largest.mtu:
                yield codes.VM_MTU_ABOVE_NETWORK.at(
                    places.vm_nic(plug.vm, plug.index),
                    f"NIC {plug.index} of VM {plug.vm.name} has MTU {plug.nic.mtu}, "
                    f"and {largest.name} carries {largest.mtu}",
                    hint=f"lower it to {largest.mtu}, or leave it out",
                    related=[places.network(largest.name, "mtu")],
                )


def _native_mtus(view: View) -> Iterator[Finding]:
    """Hosts whose uplinks on one untagged segment differ in MTU, one finding per segment."""
    found: defaultdict[str, defaultdict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for host in view.site.hosts.values():
        for attachment in host.attachments:
            if (
                attachment.uplink is not None
                and attachment_carriage(view.site, attachment).native is not None
            ):
                native = _native(view, attachment)
                if native is not None:
                    found[native.name][attachment.mtu].append(f"{host.name} {attachment.uplink}")
    for name, by_mtu in found.items():
        if len(by_mtu) > 1:
            shown = (f"{mtu} on {places.listing(by_mtu[mtu])}" for mtu in sorted(by_mtu))
            yield codes.NATIVE_MTUS_DIFFER.at(
                places.network(name),
                f"{name} is untagged on uplinks of different MTU: {'; '.join(shown)}",
                hint="use one MTU for the uplinks of the fabric",
            )


def _network(network: Network) -> Iterator[Finding]:
    place = places.network(network.name, "mtu")
    if network.mtu > DEFAULT_MTU and network.gateways:
        yield codes.JUMBO_WITH_GATEWAY.at(
            place,
            f"{network.name} has MTU {network.mtu} and the gateway {_shown(network.gateways)}",
            hint=f"is the router's interface at {network.mtu} too? Otherwise lower the MTU",
        )
    if network.mtu < 1280 and any(subnet.version == 6 for subnet in network.subnets):
        yield codes.IPV6_MTU_TOO_SMALL.at(
            place,
            f"{network.name} has MTU {network.mtu}, and IPv6 needs 1280",
            hint="raise it to 1280 or more",
        )


def _shown(gateways: Iterable[object]) -> str:
    return places.listing(str(gateway) for gateway in gateways)
