"""Who faces whom: what each switch port must carry, derived from cables and attachments.

A cable is written once, at the host (or at one of two switches); everything on the other end follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2s

from grappe.model.site import Attachment, Bond, BondMode, Host, PortRef, Site, Switch
from grappe.model.units import DEFAULT_MTU, Mtu, VlanId


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """What a link carries: at most one untagged network and a set of tagged ones.

    `native` is the VLAN id that untagged frames belong to (0: the fabric's native segment), None: untagged
    frames are dropped.
    """

    native: VlanId | None
    tagged: frozenset[VlanId]

    @property
    def vlans(self) -> frozenset[VlanId]:
        """Every VLAN that may cross, the native one included."""
        return self.tagged if self.native is None else self.tagged | {self.native}


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchPortProfile:
    """What a switch port shall be, and why."""

    port: PortRef
    fabric: str
    carriage: Carriage
    mtu: Mtu
    faces: str
    """What is at the other end, for people: `host h1 eth1`, `switch sw2/p8`, `declared`."""
    bond: Bond | None = None
    """The switch-side bond this port is a member of."""


def carriage(site: Site, networks: tuple[str, ...], native: str | None) -> Carriage:
    """Carriage of a set of network names of one fabric."""
    tagged = frozenset(
        network.vlan
        for name in networks
        if name != native and (network := site.networks[name]).vlan is not None
    )
    if native is not None:
        return Carriage(native=site.networks[native].tag, tagged=tagged)
    has_native = any(site.networks[name].vlan is None for name in networks)
    return Carriage(native=VlanId(0) if has_native else None, tagged=tagged)


def attachment_carriage(site: Site, attachment: Attachment) -> Carriage:
    """What crosses an attachment's uplink."""
    return carriage(site, attachment.networks, attachment.native)


def bond_name(host: str, bond: str) -> str:
    """Name of the switch-side bond that faces a host's LACP bond: at most 15 characters, never shared.

    A name cut short would be the same for hosts whose names begin alike; a digest keeps them apart.
    """
    name = f"{bond}-{host}"
    return name if len(name) <= 15 else name[:10] + "-" + blake2s(name.encode(), digest_size=2).hexdigest()


def _host_ports(site: Site, host: Host) -> Iterator[SwitchPortProfile]:
    for attachment in host.attachments:
        nics = host.uplink_nics(attachment)
        bond = host.bonds.get(attachment.uplink or "")
        for nic in nics:
            cable = host.nics[nic].cable if nic in host.nics else None
            if cable is None:
                continue
            yield SwitchPortProfile(
                port=cable,
                fabric=attachment.fabric,
                carriage=attachment_carriage(site, attachment),
                mtu=_declared_mtu(site, cable) or attachment.mtu,
                faces=f"host {host.name} {nic}",
                bond=_facing_bond(host, bond, cable.switch),
            )


def _declared_mtu(site: Site, ref: PortRef) -> Mtu | None:
    switch = site.switches.get(ref.switch)
    port = switch.ports.get(ref.port) if switch else None
    return port.mtu if port else None


def _facing_bond(host: Host, bond: Bond | None, switch: str) -> Bond | None:
    if bond is None or bond.mode is not BondMode.LACP:
        return None
    cables = (host.nics[m].cable for m in bond.members if m in host.nics)
    members = tuple(c.port for c in cables if c is not None and c.switch == switch)
    return Bond(name=bond_name(host.name, bond.name), mode=BondMode.LACP, members=members)


def _declared_ports(site: Site, switch: Switch) -> Iterator[SwitchPortProfile]:
    for port in switch.ports.values():
        if not port.networks and port.native is None:
            continue
        names = port.networks + ((port.native,) if port.native else ())
        carried = carriage(site, port.networks, port.native)
        mtu = port.mtu or Mtu(max((site.networks[n].mtu for n in names), default=DEFAULT_MTU))
        fabric = port.fabric or site.networks[names[0]].fabric
        here = PortRef(switch=switch.name, port=port.name)
        faces = f"switch {port.to}" if port.to else "declared"
        own = SwitchPortProfile(port=here, fabric=fabric, carriage=carried, mtu=mtu, faces=faces)
        yield replace(own, bond=_switch_bond(site, here))
        if port.to is not None and not _declares(site, port.to):
            peer_mtu = _declared_mtu(site, port.to) or mtu
            peer_bond = _switch_bond(site, port.to)
            yield replace(own, port=port.to, mtu=peer_mtu, faces=f"switch {here}", bond=peer_bond)


def _switch_bond(site: Site, ref: PortRef) -> Bond | None:
    switch = site.switches.get(ref.switch)
    return next((b for b in switch.bonds.values() if ref.port in b.members), None) if switch else None


def _declares(site: Site, ref: PortRef) -> bool:
    switch = site.switches.get(ref.switch)
    port = switch.ports.get(ref.port) if switch else None
    return port is not None and bool(port.networks or port.native)


def port_claims(site: Site) -> Iterator[SwitchPortProfile]:
    """Everything the declaration says about switch ports: first what faces hosts, then what is by hand.

    More than one claim for a port may come; they agree in a sound declaration.
    """
    for host in site.hosts.values():
        yield from _host_ports(site, host)
    for switch in site.switches.values():
        yield from _declared_ports(site, switch)


def switch_ports(site: Site) -> Mapping[PortRef, SwitchPortProfile]:
    """Profile of every switch port that the declaration says something about.

    Where two things claim one port the first wins here; `check` reports the clash.
    """
    profiles: dict[PortRef, SwitchPortProfile] = {}
    for profile in port_claims(site):
        profiles.setdefault(profile.port, profile)
    return profiles


def switch_mtu(switch: Switch, profiles: Mapping[PortRef, SwitchPortProfile]) -> Mtu:
    """MTU of a switch's bridge: what is declared, else the largest that any of its ports needs."""
    if switch.mtu is not None:
        return switch.mtu
    return Mtu(max((p.mtu for p in profiles.values() if p.port.switch == switch.name), default=DEFAULT_MTU))
