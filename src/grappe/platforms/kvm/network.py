"""The network of a KVM host: a bridge per bridged attachment, its uplink, the host's own ports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from grappe.graph.resource import Observation, Refusal
from grappe.model.site import (
    Attachment,
    Bond,
    BondMode,
    Datapath,
    Host,
    HostAddress,
    Role,
    Site,
    SpanningTree,
)
from grappe.model.topology import Carriage, attachment_carriage, carriage
from grappe.model.units import NATIVE, Mac, Mtu, derive_host_mac
from grappe.platforms.shared.devices import device_of, missing
from grappe.platforms.shared.network_spec import (
    BridgeSpec,
    GuestPortSpec,
    LinkSpec,
    NetworkSpec,
    PortSpec,
)

_OVS_BOND = {
    BondMode.LACP: ("balance-tcp", "active"),
    BondMode.ACTIVE_BACKUP: ("active-backup", "off"),
    BondMode.BALANCE_SLB: ("balance-slb", "off"),
}


def specify(site: Site, scope: str, seen: Observation) -> NetworkSpec:
    """The network that a host of the site shall have."""
    return _Specifier(site, site.hosts[scope], seen).run()


class _Specifier:
    """One host's network, put together attachment by attachment."""

    def __init__(self, site: Site, host: Host, seen: Observation) -> None:
        self.site, self.host, self.seen = site, host, seen
        self.devices = {name: device_of(nic, seen) for name, nic in host.nics.items()}
        self.gateway = _default_gateway(site, host)

    def run(self) -> NetworkSpec:
        """Bridges, ports and interfaces, and what is missing for them."""
        absent = self._missing()
        ready = [a for a in self.host.attachments if not absent & set(self.host.uplink_nics(a))]
        bridged = [a for a in ready if a.bridge is not None]
        internal = [p for a in bridged for p in self._internal_ports(a)]
        bridges = {b.name: b for b in map(self._bridge, bridged)}
        return NetworkSpec(
            bridges=tuple(bridges.values()),
            ports=tuple([p for a in bridged for p in self._uplink(a)] + internal),
            links=tuple(self._links(ready, tuple(bridges.values()), internal)),
            guests=tuple(self._guests()),
            refusals=tuple(_refusal(self.host, nic, self.seen) for nic in sorted(absent)),
        )

    def _missing(self) -> set[str]:
        used = {nic for a in self.host.attachments for nic in self.host.uplink_nics(a)}
        return {nic for nic in used if self.devices.get(nic) is None}

    def _device(self, nic: str) -> str:
        return self.devices.get(nic) or nic

    def _bridge(self, attachment: Attachment) -> BridgeSpec:
        name = attachment.bridge or ""
        tree = attachment.spanning_tree
        own = next((a for a in self.host.addresses if a.port == name), None)
        return BridgeSpec(
            name=name,
            datapath="netdev" if self.host.datapath is Datapath.USERSPACE else "system",
            hwaddr=self._hwaddr(attachment),
            mtu=attachment.mtu,
            local=Carriage(native=self.site.networks[own.network].tag if own else NATIVE, tagged=frozenset()),
            stp=tree is SpanningTree.STP,
            rstp=tree is SpanningTree.RSTP,
            guests=True,
        )

    def _hwaddr(self, attachment: Attachment) -> Mac:
        """The uplink's own MAC, so that a provider sees no other; without an uplink a derived one."""
        nics = self.host.uplink_nics(attachment)
        mac = self.seen.facts.get(f"mac:{self._device(nics[0])}") if nics else None
        return (
            Mac(str(mac)) if mac else derive_host_mac(self.site.name, self.host.name, attachment.bridge or "")
        )

    def _uplink(self, attachment: Attachment) -> Iterator[PortSpec]:
        if attachment.uplink is None:
            return
        bond = self.host.bonds.get(attachment.uplink)
        port = PortSpec(
            name=attachment.uplink if bond else self._device(attachment.uplink),
            bridge=attachment.bridge or "",
            carriage=attachment_carriage(self.site, attachment),
            mtu=attachment.mtu,
        )
        yield self._bonded(port, bond) if bond else port

    def _bonded(self, port: PortSpec, bond: Bond) -> PortSpec:
        mode, lacp = _OVS_BOND[bond.mode]
        return replace(port, members=tuple(map(self._device, bond.members)), bond_mode=mode, lacp=lacp)

    def _internal_ports(self, attachment: Attachment) -> Iterator[PortSpec]:
        seen: set[str] = set()
        for address in self.host.addresses:
            network = self.site.networks[address.network]
            if address.network not in attachment.networks or address.port in (attachment.bridge, *seen):
                continue
            seen.add(address.port)
            yield PortSpec(
                name=address.port,
                bridge=attachment.bridge or "",
                carriage=Carriage(native=network.tag, tagged=frozenset()),
                mtu=network.mtu,
                internal=True,
                mac=derive_host_mac(self.site.name, self.host.name, address.port),
            )

    def _links(
        self, ready: list[Attachment], bridges: tuple[BridgeSpec, ...], internal: list[PortSpec]
    ) -> Iterator[LinkSpec]:
        for attachment in ready:
            for nic in self.host.uplink_nics(attachment):
                yield self._link(
                    self._device(nic), "nic", attachment.mtu, () if attachment.bridge else (nic,)
                )
        for bridge in bridges:
            yield self._link(bridge.name, "bridge", bridge.mtu, (bridge.name,))
        for port in internal:
            yield self._link(port.name, "internal", port.mtu, (port.name,))

    def _link(self, device: str, kind: str, mtu: Mtu, holders: tuple[str, ...]) -> LinkSpec:
        """An interface with the addresses declared for it; a NIC in a bridge (no holders) has none."""
        held = [a for a in self.host.addresses if a.port in holders]
        networks = {a.network for a in held}
        return LinkSpec(
            device=device,
            kind=kind,
            mtu=mtu,
            addresses=None if kind == "nic" and holders and not held else tuple(str(a.address) for a in held),
            gateways=tuple(map(str, self.site.networks[self.gateway].gateways))
            if self.gateway in networks and self.gateway
            else (),
            dns=tuple(str(d) for n in sorted(networks) for d in self.site.networks[n].dns),
        )

    def _guests(self) -> Iterator[GuestPortSpec]:
        for vm in self.site.vms_on(self.host.name):
            for nic in vm.nics:
                attachment = self.host.attachment(nic.fabric)
                group = self.site.port_groups.get((nic.fabric, nic.port_group))
                if attachment is not None and attachment.bridge is not None and group is not None:
                    names = (*group.tagged, *([group.native] if group.native else []))
                    carries = carriage(self.site, names, group.native)
                    yield GuestPortSpec(mac=nic.mac, vm=vm.name, bridge=attachment.bridge, carriage=carries)


def _default_gateway(site: Site, host: Host) -> str | None:
    """The network whose gateway is the host's: management first, else the first declared."""
    ranked = sorted(host.addresses, key=lambda a: not _manages(site, a))
    return next((a.network for a in ranked if site.networks[a.network].gateways), None)


def _manages(site: Site, address: HostAddress) -> bool:
    return Role.MANAGEMENT in site.networks[address.network].roles


def _refusal(host: Host, nic: str, seen: Observation) -> Refusal:
    return missing(host.nics[nic], seen)
