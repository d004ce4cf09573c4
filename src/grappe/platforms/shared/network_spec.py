"""What a Debian machine's network shall be, before it becomes resources: bridges, their ports, interfaces.

A KVM host and an Open vSwitch rack switch differ in how they get here, not in what follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from grappe.graph.resource import Refusal
from grappe.model.topology import Carriage
from grappe.model.units import Mac, Mtu, VlanId

NOBODY = Carriage(native=VlanId(0), tagged=frozenset())
"""An access port on the untagged segment: what a bridge's own port is when nobody uses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSpec:
    """A port of a bridge. `members` are the devices of a bond; an internal port has a `mac` of its own."""

    name: str
    bridge: str
    carriage: Carriage
    mtu: Mtu
    internal: bool = False
    mac: Mac | None = None
    members: tuple[str, ...] = ()
    bond_mode: str = ""
    lacp: str = ""

    @property
    def devices(self) -> tuple[str, ...]:
        """Physical devices behind the port; none for an internal port."""
        return () if self.internal else self.members or (self.name,)


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSpec:
    """A bridge and what its own (local) port is."""

    name: str
    datapath: str
    """`system` (kernel module) or `netdev` (userspace), as Open vSwitch calls them."""
    hwaddr: Mac
    mtu: Mtu
    local: Carriage = NOBODY
    stp: bool = False
    rstp: bool = False
    guests: bool = False
    """Whether libvirt plugs guests into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """A network interface: up, with an MTU, and the addresses it holds.

    `addresses` None: they are not declared, so they are not ours. `kind` is `nic`, `bridge` or `internal`.
    """

    device: str
    kind: str
    mtu: Mtu
    addresses: tuple[str, ...] | None = ()
    gateways: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    needs_port: bool = True

    @property
    def ipv6(self) -> bool:
        """Whether IPv6 is on: only where an IPv6 address is declared, so that no port speaks unasked."""
        return any(":" in a for a in self.addresses or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPortSpec:
    """What the port of a running guest's NIC carries."""

    mac: Mac
    vm: str
    bridge: str
    carriage: Carriage


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """The whole network of one machine."""

    bridges: tuple[BridgeSpec, ...] = ()
    ports: tuple[PortSpec, ...] = ()
    links: tuple[LinkSpec, ...] = ()
    guests: tuple[GuestPortSpec, ...] = ()
    refusals: tuple[Refusal, ...] = field(default=())
