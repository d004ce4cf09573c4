"""What a site is: frozen values, every name resolved, everything derivable derived.

`document` builds these from a file; nothing here knows about files. Tuples keep the order of the
declaration where a person will read it again; sets have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from grappe.model.units import DEFAULT_MTU, NATIVE, Bytes, Mac, Mtu, VlanId, derive_mac

Path = tuple[str | int, ...]
"""A place in the declaration: ("networks", "LAN", "subnet"). The document turns it into file:line:column."""

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network


class Platform(StrEnum):
    """What runs on a host or a switch."""

    KVM = "kvm"
    XCP_NG = "xcp-ng"
    PROXMOX = "proxmox"
    XEN = "xen"
    OVS_SWITCH = "ovs_switch"
    ROUTEROS = "routeros"
    UNMANAGED = "unmanaged"


class Role(StrEnum):
    """What a network is for."""

    MANAGEMENT = "management"
    STORAGE = "storage"
    MIGRATION = "migration"
    PROVIDER = "provider"


class Datapath(StrEnum):
    """Where Open vSwitch forwards packets: in the kernel module or in its own process."""

    KERNEL = "kernel"
    USERSPACE = "userspace"


class SpanningTree(StrEnum):
    """Spanning tree protocol of a bridge."""

    NONE = "none"
    STP = "stp"
    RSTP = "rstp"


class BondMode(StrEnum):
    """How a bond spreads traffic and what it asks of the other end."""

    LACP = "lacp"
    ACTIVE_BACKUP = "active-backup"
    BALANCE_SLB = "balance-slb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """One layer-2 domain. VLAN ids are unique inside it."""

    name: str
    bridge: str
    """Name of its bridge on every host that bridges it."""
    libvirt_network: str
    """Name of its libvirt network on KVM hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A VLAN, or the native (untagged) segment, of a fabric."""

    name: str
    fabric: str
    vlan: VlanId | None = None
    """None: the fabric's native segment."""
    mtu: Mtu = DEFAULT_MTU
    subnets: tuple[IPNetwork, ...] = ()
    gateways: tuple[IPAddress, ...] = ()
    dns: tuple[IPAddress, ...] = ()
    roles: frozenset[Role] = frozenset()

    @property
    def tag(self) -> VlanId:
        """VLAN id, 0 for the native segment."""
        return NATIVE if self.vlan is None else self.vlan


@dataclass(frozen=True, slots=True, kw_only=True)
class PortGroup:
    """A named set of networks of one fabric that a VM's port may be on; at most one untagged."""

    name: str
    fabric: str
    native: str | None = None
    """Network that the guest sees untagged."""
    tagged: tuple[str, ...] = ()
    explicit: bool = True
    """False when it was derived from a network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRef:
    """A switch and one of its ports."""

    switch: str
    port: str

    def __str__(self) -> str:
        return f"{self.switch}/{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A physical network interface of a host. `name` is what the declaration calls it.

    With `mac` or `pci` the device is found by that and its kernel name may differ from `name`.
    """

    name: str
    mac: Mac | None = None
    pci: str | None = None
    cable: PortRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """Several NICs of a host, or ports of a switch, used as one."""

    name: str
    mode: BondMode
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """How a host is on a fabric: through a NIC, a bond, or nothing (an internal fabric)."""

    fabric: str
    uplink: str | None
    """Name of a NIC or of a bond; None for an internal fabric."""
    networks: tuple[str, ...]
    native: str | None = None
    """The network that crosses the uplink untagged."""
    bridge: str | None = None
    """Bridge name; None: no bridge, the NIC itself holds the host's address on the native network."""
    mtu: Mtu = DEFAULT_MTU
    """MTU of the uplink and of the bridge: the largest of its networks unless given."""
    registered_macs: frozenset[Mac] | None = None
    """The only source MACs that may leave the uplink; None: no such rule."""
    spanning_tree: SpanningTree = SpanningTree.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAddress:
    """An address that a host shall have on a network."""

    network: str
    address: IPInterface
    port: str
    """Interface that holds it: a NIC, a bridge's local port, or an internal port of the bridge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How Grappe reaches a device now, apart from what its addresses shall be."""

    address: str
    """Name or address handed to ssh; the user's ssh configuration applies to it."""
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A virtualisation host."""

    name: str
    pool: str
    platform: Platform
    access: Access
    nics: Mapping[str, Nic] = field(default_factory=dict)
    bonds: Mapping[str, Bond] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    addresses: tuple[HostAddress, ...] = ()
    datapath: Datapath = Datapath.KERNEL
    cpus: int | None = None
    memory: Bytes | None = None
    maintenance: bool = False

    def attachment(self, fabric: str) -> Attachment | None:
        """The first attachment to a fabric, or None."""
        return next((a for a in self.attachments if a.fabric == fabric), None)

    def uplink_nics(self, attachment: Attachment) -> tuple[str, ...]:
        """NICs behind an attachment's uplink: none, one, or a bond's members."""
        if attachment.uplink is None:
            return ()
        bond = self.bonds.get(attachment.uplink)
        return bond.members if bond else (attachment.uplink,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Hosts of one platform that share storage, live migration and HA."""

    name: str
    platform: Platform
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchPort:
    """What is declared of a switch port by hand; ports that face hosts need no entry."""

    name: str
    to: PortRef | None = None
    """Port of another switch at the other end of the cable."""
    fabric: str | None = None
    networks: tuple[str, ...] = ()
    """Tagged networks and, if it has no VLAN id, the native one."""
    native: str | None = None
    mtu: Mtu | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A physical switch, or an unmanaged one that a person configures."""

    name: str
    platform: Platform
    access: Access | None = None
    bridge: str = "bridge1"
    ports: Mapping[str, SwitchPort] = field(default_factory=dict)
    bonds: Mapping[str, Bond] = field(default_factory=dict)
    spanning_tree: SpanningTree = SpanningTree.NONE
    mtu: Mtu | None = None
    """MTU of the bridge; None: the largest of its networks."""
    datapath: Datapath = Datapath.KERNEL

    @property
    def managed(self) -> bool:
        """Whether Grappe configures it."""
        return self.platform is not Platform.UNMANAGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A place for disks on the hosts of a pool: a directory (libvirt `dir` pool)."""

    name: str
    pool: str
    kind: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A VM's disk. `target` is its name on the bus: vda, vdb, …"""

    target: str
    size: Bytes
    storage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VmNic:
    """A VM's NIC on a port group of a fabric."""

    fabric: str
    port_group: str
    network: str | None
    """The network the guest sees untagged; None on a trunk without a native network."""
    mac: Mac
    addresses: tuple[IPInterface, ...] = ()
    mtu: Mtu = DEFAULT_MTU


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelBoot:
    """Boot from a kernel and an initramfs that lie on the host."""

    kernel: str
    initrd: str
    cmdline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBoot:
    """Boot from a copy of a disk image that lies on the host; it becomes the first disk."""

    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestGuest:
    """Grappe's own tiny guest (a kernel and a busybox): boots in seconds, answers on all its networks."""

    __test__ = False  # not a pytest class


Boot = KernelBoot | ImageBoot | TestGuest


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A virtual machine."""

    name: str
    pool: str
    host: str | None
    """The host it is placed on; None: any host of the pool (placed by a later verb)."""
    vcpus: int
    memory: Bytes
    boot: Boot
    disks: tuple[Disk, ...] = ()
    nics: tuple[VmNic, ...] = ()
    running: bool = True
    autostart: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """`accept:`: a finding that the operator knows and takes, with the reason."""

    finding: str
    at: Path
    reason: str
    place: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Dead-man's timer of a stage that touches the way to a device."""

    timeout: int = 60
    """Seconds until the device undoes the stage by itself."""


@dataclass(frozen=True, kw_only=True)  # without slots, for the index
class Site:
    """Everything in one file."""

    name: str
    fabrics: Mapping[str, Fabric] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    port_groups: Mapping[tuple[str, str], PortGroup] = field(default_factory=dict)
    """By (fabric, name)."""
    pools: Mapping[str, Pool] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    switches: Mapping[str, Switch] = field(default_factory=dict)
    storage: Mapping[tuple[str, str], Storage] = field(default_factory=dict)
    """By (pool, name)."""
    vms: Mapping[str, Vm] = field(default_factory=dict)
    accept: tuple[Acknowledgement, ...] = ()
    guard: Guard = Guard()
    removed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Objects declared absent, per kind: {"libvirt_networks": {"default"}}."""

    @cached_property
    def _vms_by_host(self) -> Mapping[str | None, tuple[Vm, ...]]:
        found: dict[str | None, list[Vm]] = {}
        for vm in self.vms.values():
            found.setdefault(vm.host, []).append(vm)
        return {host: tuple(vms) for host, vms in found.items()}

    def vms_on(self, host: str) -> tuple[Vm, ...]:
        """VMs placed on a host, in the order of the declaration."""
        return self._vms_by_host.get(host, ())

    def fabric_networks(self, fabric: str) -> tuple[Network, ...]:
        """Networks of a fabric, in the order of the declaration."""
        return tuple(n for n in self.networks.values() if n.fabric == fabric)


def vm_mac(site: str, vm: str, index: int) -> Mac:
    """MAC of a VM's NIC when none is declared."""
    return derive_mac(site, vm, index)
