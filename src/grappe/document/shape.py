"""The shape of the file: which keys there are, what each takes, and the short forms.

These classes are the boundary: they check form, not meaning (whether a name exists is `resolve`'s question),
and the published JSON Schema is made from them.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from grappe.document.fields import (
    AbsolutePath,
    BondModeField,
    Boolean,
    BridgeField,
    Cable,
    Count,
    DatapathField,
    GuestName,
    InterfaceName,
    IpText,
    MacField,
    MtuField,
    Name,
    NetworkName,
    OneOrMore,
    PciField,
    PoolPlatform,
    PortGroupField,
    RoleField,
    Seconds,
    Size,
    SpanningTreeField,
    State,
    StorageKind,
    SubnetText,
    SwitchPlatform,
    TcpPort,
    Text,
    Unhonoured,
    Vlans,
    expected,
)

Names = Annotated[list[Text], OneOrMore()]
"""Network names; `*` and `?` match within them."""


class Shape(BaseModel):
    """A mapping of the file. `form` is how a message calls it; `short` reads a short form."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    form: ClassVar[str] = "a mapping"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = ()

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """Return the long form of a short form, or None when it is not one."""
        del value
        return None

    @model_validator(mode="before")
    @classmethod
    def _long_form(cls, value: object) -> object:
        """Put every way of writing it into the long form; a known key without a value counts as absent."""
        long = ({} if value is None else value) if isinstance(value, (dict, type(None))) else cls.short(value)
        if not isinstance(long, dict):
            raise expected(cls.form)
        return {k: v for k, v in long.items() if v is not None or k not in cls.model_fields}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = handler(schema)
        inner = handler.resolve_ref_schema(made)
        if cls.short_schema:
            long = {k: inner.pop(k) for k in list(inner) if k not in {"title", "description"}}
            inner["anyOf"] = [*cls.short_schema, long]
        return made


_NAME_LIST = {"type": "array", "items": {"type": ["string", "integer"]}}


class FabricShape(Shape):
    """One layer-2 domain. VLAN ids are unique inside it."""

    bridge: InterfaceName | None = None
    """Name of its bridge on every host; else br-FABRIC, cut to 15 characters."""
    libvirt_network: Name | None = None
    """Name of its libvirt network on KVM hosts; else the fabric's name."""


class NetworkShape(Shape):
    """A VLAN of a fabric, or with no `vlan` its native (untagged) segment."""

    form: ClassVar[str] = "a mapping such as {vlan: 10, subnet: 10.10.1.0/24}"

    fabric: Name | None = None
    """The fabric it is on; needed when the site has several."""
    vlan: Vlans | None = None
    """VLAN id; or a range such as 100-109 under a name with {vlan}. None: untagged."""
    mtu: MtuField | None = None
    """MTU that its hosts and guests use; else 1500."""
    subnet: Annotated[list[SubnetText], OneOrMore()] = []
    """Subnet, or a list of an IPv4 and an IPv6 one."""
    gateway: Annotated[list[IpText], OneOrMore()] = []
    """Default gateway."""
    dns: Annotated[list[IpText], OneOrMore()] = []
    """Name servers."""
    roles: Annotated[list[RoleField], OneOrMore()] = []
    """What it is for: management, storage, migration, provider."""
    port_group: PortGroupField | None = None
    """Name of its port group for VMs, else the network's name; false: no VM gets a port on it alone."""


class PortGroupShape(Shape):
    """A named set of networks for a VM's port: a list of tagged networks, or native and tagged."""

    form: ClassVar[str] = "a list of networks or {native: NETWORK, tagged: [NETWORK, …]}"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "string"}, _NAME_LIST)

    native: Text | None = None
    """The network that the guest sees untagged."""
    tagged: Names = []
    """Networks that the guest sees with their VLAN tag; `svc*` matches names."""

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """`[a, b]` and `svc*`: tagged networks."""
        return {"tagged": value} if isinstance(value, (list, str)) else None


class AttachShape(Shape):
    """How a host is on a fabric: by a NIC, a bond, or (under `none`) nothing. Short: a list of networks."""

    form: ClassVar[str] = "a list of networks or {networks: [NETWORK, …]} or {fabric: FABRIC}"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "string"}, _NAME_LIST)

    networks: Names = []
    """Networks that cross it: the one without VLAN untagged, the others tagged."""
    fabric: Name | None = None
    """Every network of this fabric, instead of naming them."""
    native: Text | None = None
    """The network that crosses it untagged; else the one without VLAN."""
    bridge: BridgeField | None = None
    """Bridge name, or false: no bridge, the NIC itself holds the host's address. Else the fabric's bridge."""
    mtu: MtuField | None = None
    """MTU of NIC and bridge; else the largest of its networks."""
    registered_macs: list[MacField] | None = None
    """The only source MACs that may leave through it (a provider blocks the port otherwise)."""
    spanning_tree: SpanningTreeField | None = None
    """Spanning tree of the bridge."""

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """`[a, b]`, or one name."""
        return {"networks": value} if isinstance(value, (list, str)) else None


class BondShape(Shape):
    """Several NICs, or switch ports, used as one."""

    form: ClassVar[str] = "{members: [NIC, NIC], mode: lacp}"

    members: list[Text]
    """NICs of the host, or ports of the switch."""
    mode: BondModeField
    """lacp (the switch bonds too), active-backup or balance-slb (it does not)."""

    @field_validator("members")
    @classmethod
    def _several(cls, members: list[str]) -> list[str]:
        if len(members) < 2 or len(set(members)) < len(members):
            raise expected("two or more different members")
        return members


class NicShape(Shape):
    """How to find a NIC whose kernel name may change."""

    form: ClassVar[str] = "{mac: MAC} or {pci: ADDRESS}"

    mac: MacField | None = None
    """Its own MAC address."""
    pci: PciField | None = None
    """Its PCI address."""


class AccessShape(Shape):
    """How Grappe reaches a device now. Short: ADDRESS, USER@ADDRESS or USER@ADDRESS:PORT."""

    form: ClassVar[str] = "ADDRESS, USER@ADDRESS:PORT or {address: …, user: …, port: …}"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "string"},)

    address: Text
    """Name or address for ssh; your own ssh configuration applies to it."""
    user: Text | None = None
    """User to log in as; else what ssh decides."""
    port: TcpPort | None = None
    """TCP port; else what ssh decides."""

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """`user@address:port`; an IPv6 address with a port stands in brackets."""
        if not isinstance(value, str):
            return None
        user, at, place = value.rpartition("@")
        address, port = _split_port(place)
        long: dict[str, Any] = {"address": address}
        if at:
            long["user"] = user
        if port:
            long["port"] = port
        return long

    @field_validator("address", "user")
    @classmethod
    def _no_option(cls, text: str | None) -> str | None:
        if text is not None and (text.startswith("-") or any(c.isspace() for c in text)):
            raise expected("a name or an address, without spaces and not starting with -")
        return text


def _split_port(place: str) -> tuple[str, str]:
    if place.startswith("["):
        address, _, rest = place[1:].partition("]")
        return address, rest.removeprefix(":")
    if place.count(":") == 1:
        address, _, port = place.partition(":")
        return address, port
    return place, ""


class AddressShape(Shape):
    """An address of a host on a network. Short: the address, or a list of an IPv4 and an IPv6 one."""

    form: ClassVar[str] = "an address such as .11 or {address: .11, port: INTERFACE}"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = (
        {"type": ["string", "number"]},
        {"type": "array", "items": {"type": ["string", "number"]}},
    )

    address: Annotated[list[IpText], OneOrMore()]
    """The address; `.11` or `::11` is completed from the subnet."""
    port: InterfaceName | None = None
    """The interface that holds it; else derived."""

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """`.11`, or `[.11, ::11]`."""
        return {"address": value} if isinstance(value, (list, str)) else None


class StorageShape(Shape):
    """A place for disks on every host of the pool. Short: a directory."""

    form: ClassVar[str] = "a directory or {type: dir, path: DIRECTORY}"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "string", "pattern": "^/"},)

    type: StorageKind = "dir"
    """Only `dir` yet."""
    path: AbsolutePath
    """The directory."""

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """`/var/lib/libvirt/images`."""
        return {"path": value} if isinstance(value, str) else None


class HostShape(Shape):
    """A host. What it shares with its pool (attach, bonds, datapath) stands there; here is what differs."""

    form: ClassVar[str] = "a mapping such as {addresses: {NETWORK: .11}, cables: {eth0: SWITCH/PORT}}"

    addresses: dict[Text, AddressShape] = {}
    """Its own addresses, by network."""
    cables: dict[InterfaceName, Cable] = {}
    """Where each NIC is plugged: SWITCH/PORT."""
    nics: dict[InterfaceName, NicShape] = {}
    """How to find NICs whose names may change; also NICs that nothing else names."""
    access: AccessShape | None = None
    """How to reach it now; else its management address, else its name."""
    attach: dict[Text, AttachShape] = {}
    """Replaces the pool's entry of the same NIC, bond or `none`; [] for: not attached here."""
    bonds: dict[InterfaceName, BondShape] = {}
    """Replaces the pool's bond of the same name."""
    datapath: DatapathField | None = None
    """kernel or userspace."""
    cpus: Count | None = None
    """Processor threads, for capacity checks."""
    memory: Size | None = None
    """Memory, for capacity checks."""
    maintenance: Boolean = False
    """Excused: plans leave it out."""


class PoolShape(Shape):
    """Hosts of one platform that share storage and live migration."""

    form: ClassVar[str] = "a mapping such as {platform: kvm, attach: {…}, hosts: {…}}"

    platform: PoolPlatform
    """What runs on its hosts, such as kvm."""
    datapath: DatapathField | None = None
    """Where Open vSwitch forwards: kernel (default) or userspace."""
    storage: dict[Name, StorageShape] = {}
    """Places for disks, on every host."""
    attach: dict[Text, AttachShape] = {}
    """How every host is on the networks: by NIC, bond, or `none` for fabrics without uplink."""
    bonds: dict[InterfaceName, BondShape] = {}
    """Bonds of every host."""
    hosts: dict[Name, HostShape] = {}
    """Its hosts."""


class SwitchPortShape(Shape):
    """A port that faces no declared host. Short: a network (access port) or a list of networks."""

    form: ClassVar[str] = "a network, a list of networks or {to: SWITCH/PORT, networks: [NETWORK, …]}"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = ({"type": "string"}, _NAME_LIST)

    to: Cable | None = None
    """The switch port at the other end of the cable."""
    fabric: Name | None = None
    """Every network of this fabric, instead of naming them."""
    networks: Names = []
    """Networks that it carries: the one without VLAN untagged, the others tagged."""
    native: Text | None = None
    """The network that it carries untagged."""
    mtu: MtuField | None = None
    """MTU of the port; else the largest of its networks."""

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """`front`: an access port; `[LAN, front]`: a trunk."""
        if isinstance(value, str):
            return {"native": value}
        return {"networks": value} if isinstance(value, list) else None


class SwitchShape(Shape):
    """A physical switch. Ports that face hosts need no entry: they follow from the cables."""

    form: ClassVar[str] = "a mapping such as {platform: ovs_switch, access: ADDRESS}"

    platform: SwitchPlatform
    """ovs_switch, or unmanaged: a person configures it."""
    access: AccessShape | None = None
    """How to reach it; else its name."""
    bridge: InterfaceName = "bridge1"
    """Name of its bridge."""
    spanning_tree: SpanningTreeField | None = None
    """Spanning tree of its bridge."""
    mtu: MtuField | None = None
    """MTU of its bridge; else the largest of its networks."""
    datapath: DatapathField | None = None
    """kernel (default) or userspace."""
    ports: dict[Text, SwitchPortShape] = {}
    """Ports to other switches and to machines that are not declared."""
    bonds: dict[InterfaceName, BondShape] = {}
    """Bonds to other switches; those that face hosts follow from the hosts."""


class BootShape(Shape):
    """What a VM boots: test-guest, a kernel with its initramfs, or a copy of a disk image."""

    form: ClassVar[str] = "test-guest, {kernel: PATH, initrd: PATH} or {image: PATH}"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = ({"const": "test-guest"},)

    guest: GuestName | None = None
    """test-guest: Grappe's own tiny guest."""
    kernel: AbsolutePath | None = None
    """Kernel on the host."""
    initrd: AbsolutePath | None = None
    """Initramfs on the host."""
    cmdline: Text | None = None
    """Kernel command line."""
    image: AbsolutePath | None = None
    """Disk image on the host; the first disk becomes a copy of it."""
    template: Unhonoured = None
    iso: Unhonoured = None

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """`test-guest`."""
        return {"guest": value} if isinstance(value, str) else None

    @model_validator(mode="after")
    def _one_way(self) -> BootShape:
        given = [self.guest is not None, bool(self.kernel or self.initrd), self.image is not None]
        if sum(given) != 1:
            raise expected(self.form, message="more than one way to boot" if any(given) else "no way to boot")
        if given[1] and not (self.kernel and self.initrd):
            raise expected("", message="kernel and initrd belong together")
        if self.cmdline is not None and not self.kernel:
            raise expected("", message="cmdline without a kernel")
        return self


class DiskShape(Shape):
    """A VM's disk. Short: its size."""

    form: ClassVar[str] = "a size or {size: 10G, on: STORAGE}"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = ({"type": ["string", "integer"]},)

    size: Size
    """Its size, such as 10G."""
    on: Text | None = None
    """Storage of the pool; else the only one."""

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """`10G`."""
        return {"size": value} if isinstance(value, str) else None


class VmNicShape(Shape):
    """A VM's NIC. Short: the name of a network or of a port group."""

    form: ClassVar[str] = "a network, a port group or {network: NETWORK, address: .21}"
    short_schema: ClassVar[tuple[dict[str, Any], ...]] = ({"type": ["string", "integer"]},)

    name: Text | None = None
    """A network or a port group, whichever has this name."""
    network: Text | None = None
    """The network it is on, untagged."""
    port_group: Text | None = None
    """The port group it is on."""
    address: Annotated[list[IpText], OneOrMore()] = []
    """The guest's address on its untagged network."""
    mac: MacField | None = None
    """Its MAC address; else derived from site, VM and position."""

    @classmethod
    def short(cls, value: object) -> dict[str, Any] | None:
        """`front`."""
        return {"name": value} if isinstance(value, str) else None

    @model_validator(mode="after")
    def _one_place(self) -> VmNicShape:
        if self.network is not None and self.port_group is not None:
            raise expected("one of them", message="network and port_group")
        if self.name is None and self.network is None and self.port_group is None:
            raise expected("", message="network or port_group is missing")
        return self


class VmShape(Shape):
    """A virtual machine."""

    form: ClassVar[str] = "a mapping such as {vcpus: 1, memory: 128M, boot: test-guest, nics: [NETWORK]}"

    pool: Text | None = None
    """Its pool; else that of its host, else the only one."""
    host: Text | None = None
    """The host it is placed on; else any of the pool."""
    vcpus: Count = 1
    """Virtual processors."""
    memory: Size
    """Its memory, such as 2G."""
    boot: BootShape
    """What it boots: test-guest, {kernel: PATH, initrd: PATH} or {image: PATH}."""
    disks: list[DiskShape] = []
    """Its disks: vda, vdb, …"""
    nics: list[VmNicShape] = []
    """Its NICs."""
    state: State = True
    """running (default) or stopped."""
    autostart: Boolean = True
    """Started with its host."""
    template: Unhonoured = None
    iso: Unhonoured = None
    ha: Unhonoured = None
    backups: Unhonoured = None


class GuardShape(Shape):
    """Dead-man's timer of the stages that touch the way to a device."""

    timeout: Seconds = 60
    """After so long without word from Grappe the device undoes the stage by itself."""


class RemovedShape(Shape):
    """Objects declared absent: adopted first, then removed; undo gives them back."""

    libvirt_networks: Annotated[list[Name], OneOrMore()] = []
    """libvirt networks of every KVM host, such as `default`."""


class AcceptShape(Shape):
    """A finding that you know and take, with the reason."""

    form: ClassVar[str] = "{finding: CODE, at: PLACE, reason: TEXT}"

    finding: Text
    """The finding's code."""
    at: Text
    """The place it is about, such as networks.LAN."""
    reason: Text
    """Why it is all right here."""


class SiteShape(Shape):
    """A virtualisation site: networks, hosts, switches and VMs in one file."""

    site: Name
    """The site's name."""
    fabrics: dict[Name, FabricShape] = {}
    """Layer-2 domains; one that a network names exists by that."""
    networks: dict[NetworkName, NetworkShape] = {}
    """VLANs and native segments."""
    port_groups: dict[Name, PortGroupShape] = {}
    """Named sets of networks for VM ports; each network has its own already."""
    pools: dict[Name, PoolShape] = {}
    """Pools of hosts."""
    switches: dict[Name, SwitchShape] = {}
    """Physical switches."""
    vms: dict[Name, VmShape] = {}
    """Virtual machines."""
    accept: list[AcceptShape] = []
    """Findings that are acknowledged."""
    guard: GuardShape = GuardShape()
    """Dead-man's timer."""
    removed: RemovedShape = RemovedShape()
    """What shall not be there."""
    ha: Unhonoured = None
    backups: Unhonoured = None
