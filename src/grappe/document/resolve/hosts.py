"""Pools and hosts: NICs, bonds, attachments, addresses, storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from grappe.document.problem import show
from grappe.document.resolve.addresses import parse_interface
from grappe.document.resolve.context import Context, make_bonds
from grappe.document.resolve.names import port_names
from grappe.document.shape import AccessShape, AddressShape, AttachShape, BondShape, HostShape, PoolShape
from grappe.model.site import (
    Access,
    Attachment,
    Bond,
    Datapath,
    Host,
    HostAddress,
    Network,
    Nic,
    Path,
    Pool,
    Role,
    SpanningTree,
    Storage,
)
from grappe.model.units import DEFAULT_MTU, Mtu

NO_UPLINK = "none"


def resolve_pools(context: Context) -> None:
    """Every pool with its hosts and storage."""
    for name, shape in context.shape.pools.items():
        context.pools[name] = Pool(name=name, platform=shape.platform, hosts=tuple(shape.hosts))
        for key, storage in shape.storage.items():
            made = Storage(name=key, pool=name, kind=storage.type, path=storage.path)
            context.storage[name, key] = made
        if not shape.hosts:
            context.complain(("pools", name), "a pool without hosts", hint="hosts: {NAME: {…}}")
        for host, host_shape in shape.hosts.items():
            _resolve_host(context, name, shape, host, host_shape)


def _resolve_host(context: Context, pool: str, shared: PoolShape, name: str, shape: HostShape) -> None:
    path: Path = ("pools", pool, "hosts", name)
    other = context.hosts.get(name)
    if other is not None:
        context.complain(path, f"a second host of this name; the first is in pool {show(other.pool)}")
        return
    context.hosts[name] = _Maker(context, pool, shared, name, shape).host()


def make_access(shape: AccessShape | None, default: str) -> Access:
    """How a device is reached: as declared, else by a default name or address."""
    if shape is None:
        return Access(address=default)
    return Access(address=shape.address, user=shape.user, port=shape.port)


class _Maker:
    """Makes one host."""

    def __init__(self, context: Context, pool: str, shared: PoolShape, name: str, shape: HostShape) -> None:
        self.context = context
        self.pool, self.shared = pool, shared
        self.name, self.shape = name, shape
        self.path: Path = ("pools", pool, "hosts", name)
        self.bonds = self._bonds()
        self.members = {m: b.name for b in self.bonds.values() for m in b.members}

    def host(self) -> Host:
        nics = self._nics()
        attachments = tuple(self._attachments())
        addresses = tuple(self._addresses(attachments))
        shape = self.shape
        return Host(
            name=self.name,
            pool=self.pool,
            platform=self.shared.platform,
            access=make_access(shape.access, self._way_in(addresses)),
            nics=nics,
            bonds=self.bonds,
            attachments=attachments,
            addresses=addresses,
            datapath=shape.datapath or self.shared.datapath or Datapath.KERNEL,
            cpus=shape.cpus,
            memory=shape.memory,
            maintenance=shape.maintenance,
        )

    def _place(self, section: str, key: str) -> Path:
        """Where an entry stands: at the host when it overrides, else at the pool."""
        own: Mapping[str, object] = getattr(self.shape, section)
        return (*self.path, section, key) if key in own else ("pools", self.pool, section, key)

    def _bonds(self) -> dict[str, Bond]:
        shapes: dict[str, BondShape] = {**self.shared.bonds, **self.shape.bonds}
        made = [
            (name, Bond(name=name, mode=s.mode, members=tuple(s.members)), self._place("bonds", name))
            for name, s in shapes.items()
        ]
        return make_bonds(self.context, made)

    def _attach(self) -> dict[str, AttachShape]:
        return {**self.shared.attach, **self.shape.attach}

    def _nics(self) -> dict[str, Nic]:
        uplinks = [k for k in self._attach() if k != NO_UPLINK and k not in self.bonds]
        names = dict.fromkeys([*uplinks, *self.members, *self.shape.nics])
        self._complain_unknown_cables(names)
        return {name: self._nic(name) for name in names}

    def _nic(self, name: str) -> Nic:
        shape = self.shape.nics.get(name)
        return Nic(
            name=name,
            mac=shape.mac if shape else None,
            pci=shape.pci if shape else None,
            cable=self.shape.cables.get(name),
        )

    def _complain_unknown_cables(self, names: Mapping[str, None]) -> None:
        for nic in self.shape.cables:
            if nic not in names:
                hint = "" if names else "attach it, or name it under nics:"
                self.context.complain_unknown((*self.path, "cables", nic), "NIC", nic, names, hint)

    def _attachments(self) -> Iterator[Attachment]:
        for key, shape in self._attach().items():
            path = self._place("attach", key)
            if key != NO_UPLINK and not self._is_uplink(path, key):
                continue
            names = self._networks(path, shape)
            if key == NO_UPLINK:
                yield from self._internal(path, shape, names)
            elif names and self.context.common_fabric(path, names):
                yield self._attachment(path, shape, key, names)

    def _is_uplink(self, path: Path, key: str) -> bool:
        if key in self.members:
            bond = self.members[key]
            self.context.complain(path, f"{key} is a member of {bond}", hint=f"attach {bond} instead")
            return False
        if key.startswith("bond") and key not in self.bonds and key not in self.shape.nics:
            self.context.complain_unknown(path, "bond", key, self.bonds)
            return False
        return True

    def _networks(self, path: Path, shape: AttachShape) -> tuple[str, ...]:
        context = self.context
        names = dict.fromkeys(context.select((*path, "networks"), shape.networks))
        if shape.fabric is not None and shape.fabric not in context.fabrics:
            context.complain_unknown((*path, "fabric"), "fabric", shape.fabric, context.fabrics)
        elif shape.fabric is not None:
            names.update(dict.fromkeys(n.name for n in context.by_fabric[shape.fabric]))
        if shape.native is not None and context.network((*path, "native"), shape.native):
            names.setdefault(shape.native)
        return tuple(names)

    def _internal(self, path: Path, shape: AttachShape, names: tuple[str, ...]) -> Iterator[Attachment]:
        fabrics = dict.fromkeys(self.context.networks[name].fabric for name in names)
        if shape.bridge == "":
            self.context.complain(
                (*path, "bridge"), "a fabric without uplink needs a bridge", "a bridge name"
            )
        if len(fabrics) > 1 and shape.bridge:
            self.context.complain(
                (*path, "bridge"), "one bridge for several fabrics", "networks of one fabric"
            )
        for fabric in fabrics:
            mine = tuple(n for n in names if self.context.networks[n].fabric == fabric)
            yield self._attachment(path, shape, None, mine)

    def _attachment(
        self, path: Path, shape: AttachShape, uplink: str | None, names: tuple[str, ...]
    ) -> Attachment:
        context = self.context
        fabric = context.networks[names[0]].fabric
        wanted = shape.native if shape.native in names else None
        mtus = [context.networks[n].mtu for n in names]
        bridge = context.fabrics[fabric].bridge if shape.bridge is None else shape.bridge
        return Attachment(
            fabric=fabric,
            uplink=uplink,
            networks=names,
            native=context.untagged(path, names, wanted),
            bridge=bridge or None,
            mtu=shape.mtu or Mtu(max([DEFAULT_MTU, *mtus])),
            registered_macs=None if shape.registered_macs is None else frozenset(shape.registered_macs),
            spanning_tree=shape.spanning_tree or SpanningTree.NONE,
        )

    def _addresses(self, attachments: tuple[Attachment, ...]) -> Iterator[HostAddress]:
        vlan_ports = port_names(self.context.networks, attachments)
        for key, shape in self.shape.addresses.items():
            path = (*self.path, "addresses", key)
            network = self.context.network(path, key)
            if network is None:
                continue
            attachment = next((a for a in attachments if key in a.networks), None)
            port = shape.port or self._port(path, network, attachment, vlan_ports)
            yield from self._on_port(path, shape, network, port)

    def _port(
        self, path: Path, network: Network, attachment: Attachment | None, vlan_ports: Mapping[str, str]
    ) -> str:
        if attachment is None:
            self.context.complain(
                path,
                f"{self.name} is not attached to network {show(network.name)}",
                hint="add it under attach:",
            )
            return ""
        if network.name == attachment.native or network.vlan is None:
            return attachment.bridge or attachment.uplink or ""
        if attachment.bridge is None:
            self.context.complain(
                path,
                f"{attachment.uplink} has no bridge, so only its untagged network can have an address",
                hint="remove bridge: false",
            )
            return ""
        return vlan_ports[network.name]

    def _on_port(self, path: Path, shape: AddressShape, network: Network, port: str) -> Iterator[HostAddress]:
        for index, text in enumerate(shape.address):
            try:
                address = parse_interface(text, network.subnets)
            except ValueError as error:
                self.context.complain((*path, "address", index), "", str(error), text)
                continue
            yield HostAddress(network=network.name, address=address, port=port)

    def _way_in(self, addresses: tuple[HostAddress, ...]) -> str:
        networks = self.context.networks
        on_management = (a for a in addresses if Role.MANAGEMENT in networks[a.network].roles)
        first = next(on_management, None)
        return str(first.address.ip) if first else self.name
