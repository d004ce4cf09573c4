"""Every code with a change that makes it, and a near miss that must not.

A change is a pair (text of base.yaml, what stands there instead), or a function on the model for what the
document refuses before the checks see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from grappe.document import loads
from grappe.model.site import (
    Access,
    Acknowledgement,
    Bond,
    BondMode,
    Platform,
    PortRef,
    Site,
    SpanningTree,
    Switch,
    SwitchPort,
)
from grappe.model.units import Mac, VlanId

BASE = Path(__file__).with_name("base.yaml").read_text(encoding="utf-8")

Change = tuple[str, str] | Callable[[Site], Site]


@dataclass(frozen=True)
class Case:
    code: str
    bad: tuple[Change, ...]
    good: tuple[Change, ...] = ()
    """Empty: the base itself is the near miss."""


def site_with(changes: tuple[Change, ...]) -> Site:
    text = BASE
    for change in changes:
        if isinstance(change, tuple):
            assert change[0] in text, f"base.yaml has no {change[0]!r}"
            text = text.replace(*change)
    site = loads(text, "base.yaml").site
    for change in changes:
        if not isinstance(change, tuple):
            site = change(site)
    return site


def network(name: str, **fields: Any) -> Change:
    def change(site: Site) -> Site:
        return replace(site, networks={**site.networks, name: replace(site.networks[name], **fields)})

    return change


def host(name: str, **fields: Any) -> Change:
    def change(site: Site) -> Site:
        return replace(site, hosts={**site.hosts, name: replace(site.hosts[name], **fields)})

    return change


def address(name: str, of_network: str, text: str) -> Change:
    def change(site: Site) -> Site:
        held = tuple(
            replace(a, address=ip_interface(text)) if a.network == of_network else a
            for a in site.hosts[name].addresses
        )
        return replace(site, hosts={**site.hosts, name: replace(site.hosts[name], addresses=held)})

    return change


def port_of(name: str, of_network: str, port: str) -> Change:
    def change(site: Site) -> Site:
        held = tuple(
            replace(a, port=port) if a.network == of_network else a for a in site.hosts[name].addresses
        )
        return replace(site, hosts={**site.hosts, name: replace(site.hosts[name], addresses=held)})

    return change


def attachment(name: str, fabric: str, **fields: Any) -> Change:
    def change(site: Site) -> Site:
        made = tuple(replace(a, **fields) if a.fabric == fabric else a for a in site.hosts[name].attachments)
        return replace(site, hosts={**site.hosts, name: replace(site.hosts[name], attachments=made)})

    return change


def cable(name: str, nic: str, to: str | None) -> Change:
    def change(site: Site) -> Site:
        ref = PortRef(switch=to.split("/")[0], port=to.split("/")[1]) if to else None
        nics = {**site.hosts[name].nics, nic: replace(site.hosts[name].nics[nic], cable=ref)}
        return replace(site, hosts={**site.hosts, name: replace(site.hosts[name], nics=nics)})

    return change


def nic(name: str, nic_name: str, **fields: Any) -> Change:
    def change(site: Site) -> Site:
        nics = {**site.hosts[name].nics, nic_name: replace(site.hosts[name].nics[nic_name], **fields)}
        return replace(site, hosts={**site.hosts, name: replace(site.hosts[name], nics=nics)})

    return change


def bond(name: str, bond_name: str, mode: BondMode, *members: str) -> Change:
    def change(site: Site) -> Site:
        made = Bond(name=bond_name, mode=mode, members=members)
        bonds = {**site.hosts[name].bonds, bond_name: made}
        return replace(site, hosts={**site.hosts, name: replace(site.hosts[name], bonds=bonds)})

    return change


def switch(name: str, **fields: Any) -> Change:
    def change(site: Site) -> Site:
        return replace(site, switches={**site.switches, name: replace(site.switches[name], **fields)})

    return change


def port(switch_name: str, name: str, to: str | None = None, **fields: Any) -> Change:
    def change(site: Site) -> Site:
        ref = PortRef(switch=to.split("/")[0], port=to.split("/")[1]) if to else None
        of: Switch = site.switches[switch_name]
        ports = {**of.ports, name: SwitchPort(name=name, to=ref, **fields)}
        return replace(site, switches={**site.switches, switch_name: replace(of, ports=ports)})

    return change


def vm_nic(name: str, index: int = 0, **fields: Any) -> Change:
    def change(site: Site) -> Site:
        nics = list(site.vms[name].nics)
        nics[index] = replace(nics[index], **fields)
        return replace(site, vms={**site.vms, name: replace(site.vms[name], nics=tuple(nics))})

    return change


def accept(code: str, *at: str) -> Change:
    def change(site: Site) -> Site:
        place = ("accept", len(site.accept))
        entry = Acknowledgement(finding=code, at=at, reason="known", place=place)
        return replace(site, accept=(*site.accept, entry))

    return change


def both(make: Callable[[str], Change]) -> tuple[Change, ...]:
    return (make("h1"), make("h2"))


FRONT = "front:  {fabric: rack, vlan: 10, subnet: 10.10.1.0/24}"
STORE = "store:  {fabric: rack, vlan: 12, subnet: 192.168.12.0/24, mtu: 9000, roles: [storage, migration]}"
LINK = "ports: {p9: {to: sw2/p9, networks: [front, store]}}"
SW2 = "sw2: {platform: ovs_switch, access: 192.168.10.242, spanning_tree: rstp}"
WEB1 = "web1: {memory: 1G, boot: test-guest, host: h1, nics: [{network: front, address: .21}]}"
WEB2 = "web2: {memory: 1G, boot: test-guest, host: h2, nics: [{network: front, address: .22}]}"
ATTACH = "bond1: {networks: [front, store]}"
LOCAL = "boot: test-guest, disks: [{size: 1G, on: images}], host: h1"


def more_networks(*lines: str) -> tuple[str, str]:
    return (FRONT, "\n  ".join([FRONT, *lines]))


def internal(site: Site) -> Site:
    """The rack's fabric without uplinks."""
    for name in ("h1", "h2"):
        made = attachment(name, "rack", uplink=None)
        assert callable(made)
        site = made(site)
    return site


def lacp_at(switch_name: str, name: str, *members: str) -> Change:
    return switch(switch_name, bonds={name: Bond(name=name, mode=BondMode.LACP, members=members)})


def second_cable(**fields: Any) -> Change:
    """A second cable between the switches of the rack."""
    return port("sw1", "p10", "sw2/p10", fabric="rack", networks=("front", "store"), **fields)


CASES = (
    # addressing
    Case(
        "overlapping-subnets",
        (more_networks("web: {fabric: rack, vlan: 6, subnet: 10.10.1.128/25}"),),
        (more_networks("web: {fabric: rack, vlan: 6, subnet: 10.10.2.0/25}"),),
    ),
    Case(
        "same-subnet-two-paths",
        (("subnet: 10.10.1.0/24", "subnet: 192.168.10.0/24"),),
        (("subnet: 10.10.1.0/24", "subnet: 192.168.11.0/24"),),
    ),
    Case("duplicate-address", (("store: .12}", "store: .11}"),), (("store: .12}", "store: .13}"),)),
    Case("duplicate-address", (("address: .22", "address: .21"),), (("address: .22", "address: .23"),)),
    Case(
        "duplicate-mac",
        (vm_nic("web1", mac=Mac("52:54:00:00:00:01")), vm_nic("web2", mac=Mac("52:54:00:00:00:01"))),
        (vm_nic("web1", mac=Mac("52:54:00:00:00:01")), vm_nic("web2", mac=Mac("52:54:00:00:00:02"))),
    ),
    Case(
        "duplicate-mac",
        (vm_nic("web1", mac=Mac("52:54:00:00:00:01")), nic("h1", "eth0", mac=Mac("52:54:00:00:00:01"))),
        (vm_nic("web1", mac=Mac("52:54:00:00:00:01")), nic("h1", "eth0", mac=Mac("52:54:00:00:00:03"))),
    ),
    Case(
        "multicast-mac",
        (vm_nic("web1", mac=Mac("53:54:00:00:00:01")),),
        (vm_nic("web1", mac=Mac("56:54:00:00:00:01")),),
    ),
    Case(
        "mac-scheme-broken",
        (
            more_networks("dmz: {fabric: rack, vlan: 300, subnet: 10.30.1.0/24}"),
            (ATTACH, "bond1: {networks: [front, dmz, store]}"),
            ("networks: [front, store]}}", "networks: [front, dmz, store]}}"),
            (
                "[{network: front, address: .21}]",
                "[{network: front, mac: '00:16:3e:10:63:b5'}, {network: dmz, mac: '00:16:3e:30:63:b5'}]",
            ),
        ),
        (
            more_networks("dmz: {fabric: rack, vlan: 30, subnet: 10.30.1.0/24}"),
            (ATTACH, "bond1: {networks: [front, dmz, store]}"),
            ("networks: [front, store]}}", "networks: [front, dmz, store]}}"),
            (
                "[{network: front, address: .21}]",
                "[{network: front, mac: '00:16:3e:10:63:b5'}, {network: dmz, mac: '00:16:3e:30:63:b5'}]",
            ),
        ),
    ),
    Case(
        "address-without-prefix",
        (address("h1", "store", "192.168.12.11/32"),),
        (address("h1", "store", "192.168.12.11/24"),),
    ),
    Case(
        "address-without-prefix",
        (network("store", subnets=()), address("h1", "store", "10.99.1.250/32")),
        (
            network(
                "store",
                subnets=(ip_network("192.168.12.11/32"), ip_network("192.168.12.12/32")),
            ),
            address("h1", "store", "192.168.12.11/32"),
            address("h2", "store", "192.168.12.12/32"),
        ),
    ),
    Case(
        "address-prefix-differs",
        (address("h1", "store", "192.168.12.11/16"),),
        (address("h1", "store", "192.168.12.14/24"),),
    ),
    Case(
        "address-outside-subnet",
        (address("h1", "store", "192.168.13.11/24"),),
        (address("h1", "store", "192.168.12.254/24"),),
    ),
    Case(
        "vm-address-outside-subnet",
        (vm_nic("web1", addresses=(ip_interface("10.10.2.21/24"),)),),
        (vm_nic("web1", addresses=(ip_interface("10.10.1.200/24"),)),),
    ),
    Case(
        "reserved-address",
        (address("h1", "store", "192.168.12.255/24"),),
        (address("h1", "store", "192.168.12.254/24"),),
    ),
    Case("reserved-address", (address("h1", "store", "192.168.12.0/24"),)),
    Case(
        "gateway-outside-subnet",
        (("gateway: .254", "gateway: 192.168.11.254"),),
        (("gateway: .254", "gateway: 192.168.10.1"),),
    ),
    Case(
        "gateway-on-storage",
        (("192.168.12.0/24, mtu: 9000", "192.168.12.0/24, gateway: .254, mtu: 9000"),),
        (("10.10.1.0/24", "10.10.1.0/24, gateway: .254"),),
    ),
    Case(
        "two-default-gateways",
        (("192.168.12.0/24, mtu: 9000", "192.168.12.0/24, gateway: .254, mtu: 9000"),),
        (("10.10.1.0/24", "10.10.1.0/24, gateway: .254"),),
    ),
    Case(
        "host-without-address",
        (("addresses: {office: .12, store: .12}", "addresses: {office: .12}"),),
        (("addresses: {office: .12, store: .12}", "addresses: {office: .12, store: .99}"),),
    ),
    Case("address-not-attached", (attachment("h1", "rack", networks=("front",)),)),
    # cabling
    Case("port-cabled-twice", (cable("h2", "eth0", "a1/1"),), (cable("h2", "eth0", "a1/3"),)),
    Case("port-cabled-twice", (cable("h2", "eth1", "sw1/p9"),), (cable("h2", "eth1", "sw1/p8"),)),
    Case("unknown-switch", (cable("h2", "eth0", "a7/1"),)),
    Case("nic-without-cable", (cable("h2", "eth0", None),)),
    Case(
        "nic-without-cable",
        (cable("h2", "eth3", None),),
        (
            lambda site: replace(site, switches={}),
            *both(lambda h: cable(h, "eth0", None)),
        ),
    ),
    Case(
        "cable-ends-disagree",
        (port("sw2", "p9", "a1/p3"),),
        (port("sw2", "p9", "sw1/p9"),),
    ),
    Case("cable-ends-disagree", (port("sw2", "p4", "sw2/p4"),), (port("sw2", "p4", "sw1/p4"),)),
    Case(
        "port-declared-differently",
        (port("sw1", "p1", fabric="rack", networks=("front",)),),
        (port("sw1", "p1", fabric="rack", networks=("store", "front")),),
    ),
    Case(
        "link-ends-differ",
        (port("sw2", "p9", "sw1/p9", fabric="rack", networks=("front",)),),
        (port("sw2", "p9", "sw1/p9", fabric="rack", networks=("front", "store")),),
    ),
    Case(
        "fabrics-merged",
        (
            more_networks("guests: {fabric: other, vlan: 10, subnet: 10.77.0.0/24}"),
            (SW2, SW2[:-1] + ", ports: {p7: {networks: [guests]}}}"),
        ),
        (
            more_networks("guests: {fabric: other, vlan: 11, subnet: 10.77.0.0/24}"),
            (SW2, SW2[:-1] + ", ports: {p7: {networks: [guests]}}}"),
        ),
    ),
    Case("nic-used-twice", (bond("h1", "bond0", BondMode.ACTIVE_BACKUP, "eth0", "eth1"),)),
    Case("nic-used-twice", (attachment("h1", "office", uplink="eth1"),)),
    # vlans
    Case(
        "duplicate-vlan",
        (
            more_networks("web: {fabric: rack, vlan: 6, subnet: 10.10.2.0/24}"),
            network("web", vlan=VlanId(10)),
        ),
        (more_networks("web: {fabric: office, vlan: 10, subnet: 10.10.2.0/24}"),),
    ),
    Case(
        "two-native-networks",
        (
            more_networks("lan: {fabric: rack, subnet: 10.5.0.0/24}"),
            *both(lambda h: attachment(h, "rack", networks=("lan", "front", "store"), native="front")),
        ),
        (
            more_networks("lan: {fabric: rack, vlan: 5, subnet: 10.5.0.0/24}"),
            *both(lambda h: attachment(h, "rack", networks=("lan", "front", "store"), native="front")),
        ),
    ),
    Case("network-missing", (attachment("h1", "rack", networks=("store",)),)),
    Case(
        "network-missing-on-some-hosts",
        (
            ("host: h1, nics", "nics"),
            attachment("h1", "rack", networks=("store",)),
        ),
        (("host: h1, nics", "nics"), attachment("h1", "rack", networks=("store", "front"))),
    ),
    Case("vm-without-bridge", (attachment("h1", "rack", bridge=None),)),
    Case(
        "network-split",
        (
            (LINK, "ports: {p9: {to: sw2/p9, networks: [store]}}"),
            *(cable("h1", n, c) for n, c in (("eth1", "sw1/p1"), ("eth3", "sw1/p3"))),
            *(cable("h2", n, c) for n, c in (("eth1", "sw2/p2"), ("eth3", "sw2/p3"))),
        ),
        (
            (LINK, "ports: {p9: {to: sw2/p9, networks: [store, front]}}"),
            *(cable("h1", n, c) for n, c in (("eth1", "sw1/p1"), ("eth3", "sw1/p3"))),
            *(cable("h2", n, c) for n, c in (("eth1", "sw2/p2"), ("eth3", "sw2/p3"))),
        ),
    ),
    Case("uplinks-in-separate-parts", ((LINK, "ports: {p9: {to: sw2/p9, networks: [store]}}"),)),
    Case(
        "vlan-leaks",
        (
            (SW2, SW2 + "\n  sw3: {platform: ovs_switch, access: 192.168.10.243, spanning_tree: rstp}"),
            port("sw2", "p8", "sw3/p8", fabric="rack", networks=("front",)),
        ),
        (
            (SW2, SW2 + "\n  sw3: {platform: unmanaged}"),
            port("sw2", "p8", "sw3/p8", fabric="rack", networks=("front",)),
        ),
    ),
    Case(
        "vlan-leaks",
        (
            (SW2, SW2 + "\n  sw3: {platform: ovs_switch, access: 192.168.10.243, spanning_tree: rstp}"),
            port("sw2", "p8", "sw3/p8", fabric="rack", networks=("front",)),
        ),
        (
            (SW2, SW2 + "\n  sw3: {platform: ovs_switch, access: 192.168.10.243, spanning_tree: rstp}"),
            port("sw2", "p8", "sw3/p8", fabric="rack", networks=("front",)),
            port("sw3", "p1", fabric="rack", native="front"),
        ),
    ),
    Case(
        "storage-leaves-rack",
        (
            (SW2, SW2 + "\n  zyxel: {platform: unmanaged}"),
            port("sw2", "p8", "zyxel/9", fabric="rack", networks=("front", "store")),
        ),
        (
            (SW2, SW2 + "\n  zyxel: {platform: unmanaged}"),
            port("sw2", "p8", "zyxel/9", fabric="rack", networks=("front",)),
        ),
    ),
    Case(
        "native-mismatch",
        (
            port("sw1", "p9", "sw2/p9", fabric="rack", networks=("front", "store"), native="front"),
            port("sw2", "p9", "sw1/p9", fabric="rack", networks=("front", "store"), native="store"),
        ),
        (
            port("sw1", "p9", "sw2/p9", fabric="rack", networks=("front", "store"), native="front"),
            port("sw2", "p9", "sw1/p9", fabric="rack", networks=("front", "store"), native="front"),
        ),
    ),
    Case(
        "native-mismatch",
        (port("sw1", "p1", fabric="rack", networks=("front", "store"), native="front"),),
        (port("sw1", "p1", fabric="rack", networks=("front", "store")),),
    ),
    Case(
        "vlan-1-tagged",
        (("vlan: 10", "vlan: 1"),),
        (
            ("vlan: 10", "vlan: 1"),
            (ATTACH, "bond1: {networks: [front, store], native: front}"),
            (LINK, "ports: {p9: {to: sw2/p9, networks: [front, store], native: front}}"),
        ),
    ),
    Case(
        "internal-network-on-two-hosts",
        (internal,),
        (internal, ("host: h2", "host: h1")),
    ),
    Case(
        "internal-network-on-two-hosts",
        (internal, ("host: h2, ", "")),
        (("host: h2, ", ""),),
    ),
    Case(
        "network-unused",
        (
            more_networks("spare: {fabric: rack, vlan: 77}"),
            (ATTACH, "bond1: {networks: [front, store, spare]}"),
        ),
        (
            more_networks("spare: {fabric: rack, vlan: 77}"),
            (ATTACH, "bond1: {networks: [front, store, spare]}"),
            (WEB1, WEB1.replace("nics: [", "nics: [spare, ")),
        ),
    ),
    Case(
        "port-group-names-differ",
        (
            more_networks(
                "a: {fabric: rack, vlan: 20, port_group: vlan20}",
                "b: {fabric: rack, vlan: 21, port_group: 21}",
            ),
        ),
        (
            more_networks(
                "a: {fabric: rack, vlan: 20, port_group: vlan20}",
                "b: {fabric: rack, vlan: 21, port_group: vlan21}",
            ),
        ),
    ),
    Case(
        "port-group-name-lies",
        (more_networks("a: {fabric: rack, vlan: 20, port_group: vlan21}"),),
        (more_networks("a: {fabric: rack, vlan: 20, port_group: vlan20}"),),
    ),
    # mtu
    Case(
        "vlan-mtu-above-uplink",
        *(((ATTACH, f"bond1: {{mtu: {m}, networks: [front, store]}}"),) for m in (1500, 9000)),
    ),
    Case("path-mtu-too-small", (switch("sw1", mtu=1500),), (switch("sw1", mtu=9000),)),
    Case(
        "path-mtu-too-small",
        (port("sw1", "p1", mtu=1500),),
        (port("sw1", "p1", mtu=9100),),
    ),
    Case(
        "path-mtu-too-small",
        (port("sw2", "p9", mtu=1500),),
        (port("sw2", "p9", mtu=9000),),
    ),
    Case("vm-mtu-above-network", (vm_nic("web1", mtu=9000),), (vm_nic("web1", mtu=1400),)),
    Case(
        "native-mtu-above-network",
        (
            more_networks("lan: {fabric: rack, subnet: 10.5.0.0/24}"),
            *both(lambda h: host(h, platform=Platform.XCP_NG)),
            *both(lambda h: attachment(h, "rack", networks=("lan", "front", "store"))),
        ),
        (
            more_networks("lan: {fabric: rack, subnet: 10.5.0.0/24}"),
            *both(lambda h: attachment(h, "rack", networks=("lan", "front", "store"))),
        ),
    ),
    Case(
        "native-mtus-differ",
        (attachment("h1", "office", mtu=9000),),
        both(lambda h: attachment(h, "office", mtu=9000)),
    ),
    Case(
        "jumbo-with-gateway",
        (("10.10.1.0/24}", "10.10.1.0/24, mtu: 9000, gateway: .254}"),),
        (("10.10.1.0/24}", "10.10.1.0/24, mtu: 1500, gateway: .254}"),),
    ),
    Case(
        "ipv6-mtu-too-small",
        (("10.10.1.0/24}", "[10.10.1.0/24, 2001:db8::/64], mtu: 1200}"),),
        (("10.10.1.0/24}", "[10.10.1.0/24, 2001:db8::/64], mtu: 1280}"),),
    ),
    # bonds and spanning tree
    Case("spanning-tree-on-bond", (attachment("h1", "rack", spanning_tree=SpanningTree.RSTP),)),
    Case(
        "spanning-tree-on-bond",
        (lacp_at("sw1", "bond9", "p9", "p10"), lacp_at("sw2", "bond9", "p9", "p10"), second_cable()),
        (
            lacp_at("sw1", "bond9", "p9", "p10"),
            lacp_at("sw2", "bond9", "p9", "p10"),
            second_cable(),
            switch("sw1", spanning_tree=SpanningTree.NONE),
            switch("sw2", spanning_tree=SpanningTree.NONE),
        ),
    ),
    Case(
        "lacp-across-switches",
        (bond("h1", "bond1", BondMode.LACP, "eth1", "eth3"),),
        (bond("h1", "bond1", BondMode.LACP, "eth1", "eth3"), cable("h1", "eth3", "sw1/p3")),
    ),
    Case(
        "lacp-across-switches",
        (
            lacp_at("sw1", "bond9", "p8", "p9"),
            port("sw1", "p8", "a2/p8", fabric="rack", networks=("front",)),
            lacp_at("sw2", "bond9", "p9", "p10"),
            lacp_at("a2", "bond9", "p8", "p7"),
        ),
        (lacp_at("sw1", "bond9", "p10", "p9"), second_cable(), lacp_at("sw2", "bond9", "p9", "p10")),
    ),
    Case("bond-single-member", (bond("h1", "bond1", BondMode.ACTIVE_BACKUP, "eth1"),)),
    Case("bond-member-unknown", (bond("h1", "bond1", BondMode.ACTIVE_BACKUP, "eth1", "eth7"),)),
    Case("bond-member-unknown", (attachment("h1", "rack", uplink="eth7"),)),
    Case(
        "bond-one-sided",
        (lacp_at("sw1", "bond9", "p9", "p10"), second_cable()),
        (lacp_at("sw1", "bond9", "p9", "p10"), lacp_at("sw2", "bond9", "p9", "p10"), second_cable()),
    ),
    Case("bond-one-sided", (lacp_at("sw1", "bond3", "p1", "p3"),), (lacp_at("sw1", "bond3", "p3", "p4"),)),
    Case(
        "switching-loop",
        (
            second_cable(),
            switch("sw1", spanning_tree=SpanningTree.NONE),
            switch("sw2", spanning_tree=SpanningTree.NONE),
        ),
        (second_cable(), switch("sw1", spanning_tree=SpanningTree.NONE)),
    ),
    Case(
        "switching-loop",
        (
            second_cable(),
            switch("sw1", spanning_tree=SpanningTree.NONE),
            switch("sw2", spanning_tree=SpanningTree.NONE),
        ),
        (
            port("sw1", "p9", "sw2/p9", fabric="rack", networks=("front",)),
            port("sw1", "p10", "sw2/p10", fabric="rack", networks=("store",)),
            switch("sw1", spanning_tree=SpanningTree.NONE),
            switch("sw2", spanning_tree=SpanningTree.NONE),
        ),
    ),
    Case(
        "switching-loop",
        (
            *both(lambda h: host(h, bonds={})),
            lambda site: _two_uplinks(site, "br-rack"),
            switch("sw1", spanning_tree=SpanningTree.NONE),
            switch("sw2", spanning_tree=SpanningTree.NONE),
        ),
        (
            *both(lambda h: host(h, bonds={})),
            lambda site: _two_uplinks(site, "br-second"),
            switch("sw1", spanning_tree=SpanningTree.NONE),
            switch("sw2", spanning_tree=SpanningTree.NONE),
        ),
    ),
    Case("no-spanning-tree", (switch("sw1", spanning_tree=SpanningTree.NONE),)),
    Case("loop-relies-on-spanning-tree", (second_cable(),)),
    # single points of failure
    Case("single-management-link", (attachment("h1", "office", uplink="eth0"),)),
    Case("single-storage-link", (attachment("h1", "rack", uplink="eth1"),)),
    Case(
        "single-switch",
        (cable("h1", "eth3", "sw1/p3"), cable("h2", "eth3", "sw1/p4")),
        (cable("h1", "eth3", "sw1/p3"),),
    ),
    Case(
        "management-vm-on-local-disk",
        (
            ("bond0: {networks: [office], bridge: false}", "bond0: {networks: [office]}"),
            ("boot: test-guest, host: h1, nics: [", f"{LOCAL}, nics: [office, "),
        ),
        (
            ("bond0: {networks: [office], bridge: false}", "bond0: {networks: [office]}"),
            ("boot: test-guest, host: h1, nics: [", f"{LOCAL}, nics: ["),
        ),
    ),
    Case("vm-on-local-disk", (("boot: test-guest, host: h1", LOCAL),)),
    # lock-out
    Case(
        "management-on-bridge",
        (("bond0: {networks: [office], bridge: false}", "bond0: {networks: [office]}"),),
    ),
    Case("management-without-uplink", (attachment("h1", "office", uplink=None),)),
    Case(
        "management-not-on-port",
        (
            more_networks("phones: {fabric: office, vlan: 40}"),
            port("a1", "1", fabric="office", networks=("phones",)),
        ),
        (port("a1", "1", fabric="office", networks=("office",)),),
    ),
    Case("guard-too-short", *((("site: base", f"site: base\nguard: {{timeout: {s}}}"),) for s in (14, 15))),
    Case("guard-too-long", *((("site: base", f"site: base\nguard: {{timeout: {s}}}"),) for s in (601, 600))),
    Case("no-access", (switch("sw1", access=None),), (switch("a1", access=None),)),
    Case("no-access", (host("h1", access=Access(address=" ")),)),
    Case(
        "access-shared",
        (("access: 192.168.10.242", "access: 192.168.10.241"),),
        (("access: 192.168.10.242", "access: '192.168.10.241:2222'"),),
    ),
    Case(
        "access-not-declared",
        (host("h1", access=Access(address="192.168.10.77")),),
        (host("h1", access=Access(address="172.16.0.77")),),
    ),
    Case("removed-network-active", (("site: base", "site: base\nremoved: {libvirt_networks: [default]}"),)),
    Case(
        "removed-but-declared",
        (lambda site: replace(site, removed={"libvirt_networks": frozenset({"rack"})}),),
        (lambda site: replace(site, removed={"libvirt_networks": frozenset({"default"})}),),
    ),
    # capacity
    Case(
        "host-memory-exceeded",
        (("{memory: 1G, boot: test-guest, host: h1", "{memory: 65G, boot: test-guest, host: h1"),),
        (("{memory: 1G, boot: test-guest, host: h1", "{memory: 64G, boot: test-guest, host: h1"),),
    ),
    Case(
        "host-memory-exceeded",
        (("memory: 1G, ", "memory: 65G, "),),
        (("memory: 1G, ", "memory: 65G, state: stopped, "),),
    ),
    Case("pool-memory-exceeded", (("memory: 1G, ", "memory: 65G, "),), (("memory: 1G, ", "memory: 64G, "),)),
    Case(
        "pool-cannot-lose-a-host", (("memory: 1G, ", "memory: 33G, "),), (("memory: 1G, ", "memory: 32G, "),)
    ),
    Case(
        "pool-cannot-lose-a-host",
        (("memory: 1G, ", "memory: 33G, "),),
        (("memory: 1G, ", "memory: 33G, "), host("h2", memory=None)),
    ),
    Case(
        "vm-fits-nowhere",
        (("memory: 1G, boot: test-guest, host: h1", "memory: 65G, boot: test-guest"),),
        (("memory: 1G, boot: test-guest, host: h1", "memory: 64G, boot: test-guest"),),
    ),
    Case(
        "vcpus-above-cpus", *((("web1: {memory: 1G", f"web1: {{vcpus: {n}, memory: 1G"),) for n in (17, 16))
    ),
    Case("vcpu-overcommit", *((("web1: {memory: 1G", f"web1: {{vcpus: {n}, memory: 1G"),) for n in (65, 64))),
    Case(
        "vcpu-overcommit",
        (("web1: {memory: 1G", "web1: {vcpus: 130, memory: 1G"), ("host: h1, nics", "nics")),
        (("web1: {memory: 1G", "web1: {vcpus: 120, memory: 1G"), ("host: h1, nics", "nics")),
    ),
    # registered MACs
    Case(
        "unregistered-mac",
        (
            vm_nic("web1", mac=Mac("52:54:00:00:00:01")),
            attachment("h1", "rack", registered_macs=frozenset({Mac("52:54:00:00:00:02")})),
        ),
        (
            vm_nic("web1", mac=Mac("52:54:00:00:00:01")),
            attachment("h1", "rack", registered_macs=frozenset({Mac("52:54:00:00:00:01")})),
        ),
    ),
    Case(
        "host-mac-unregistered",
        (
            nic("h1", "eth0", mac=Mac("02:00:00:00:00:01")),
            attachment("h1", "office", registered_macs=frozenset()),
        ),
        (
            nic("h1", "eth0", mac=Mac("02:00:00:00:00:01")),
            attachment("h1", "office", registered_macs=frozenset({Mac("02:00:00:00:00:01")})),
        ),
    ),
    Case("host-mac-unknown", (attachment("h1", "office", registered_macs=frozenset()),)),
    Case(
        "provider-macs-unchecked",
        (("subnet: 10.10.1.0/24}", "subnet: 10.10.1.0/24, roles: [provider]}"),),
        (
            ("subnet: 10.10.1.0/24}", "subnet: 10.10.1.0/24, roles: [provider]}"),
            *both(lambda h: attachment(h, "rack", registered_macs=frozenset())),
        ),
    ),
    # names
    Case(
        "name-too-long",
        (attachment("h1", "rack", bridge="br-of-the-rack-x"),),
        (attachment("h1", "rack", bridge="br-of-the-rack1"),),
    ),
    Case(
        "name-too-long",
        (switch("sw1", bridge="bridge-of-the-rk"),),
        (switch("a1", bridge="bridge-of-the-rk"),),
    ),
    Case(
        "name-refused",
        (attachment("h1", "rack", bridge="br rack"),),
        (attachment("h1", "rack", bridge="br_rack"),),
    ),
    Case("name-refused", (attachment("h1", "rack", bridge="-br"),)),
    Case("name-collides", (port_of("h1", "store", "eth1"),), (port_of("h1", "store", "store0"),)),
    Case(
        "name-collides",
        (port_of("h1", "store", "br-rack"), attachment("h1", "office", bridge="br-rack")),
        (port_of("h1", "store", "br-rack"),),
    ),
    Case(
        "name-collides",
        (
            lambda site: replace(
                site, fabrics={n: replace(f, libvirt_network="one") for n, f in site.fabrics.items()}
            ),
        ),
        (
            lambda site: replace(
                site, fabrics={n: replace(f, libvirt_network=f"net-{n}") for n, f in site.fabrics.items()}
            ),
        ),
    ),
    # acknowledgements
    Case(
        "accept-without-finding",
        (accept("no-spanning-tree", "switches", "sw1"),),
        (accept("no-spanning-tree", "switches", "sw1"), switch("sw1", spanning_tree=SpanningTree.NONE)),
    ),
    Case(
        "accept-without-finding",
        (accept("no-spanning-tree", "switches", "sw2"), switch("sw1", spanning_tree=SpanningTree.NONE)),
        (accept("no-spanning-tree", "switches", "sw1"), switch("sw1", spanning_tree=SpanningTree.NONE)),
    ),
    Case(
        "accept-unknown-code",
        (accept("no-spaning-tree", "switches", "sw1"),),
        (accept("no-spanning-tree", "switches", "sw1"),),
    ),
    Case(
        "accept-error",
        (accept("duplicate-address", "hosts", "h2"), ("store: .12}", "store: .11}")),
        (accept("duplicate-address", "hosts", "h1"),),
    ),
)


def _two_uplinks(site: Site, second: str) -> Site:
    """Both hosts with two uplinks of one fabric instead of a bond, the second in a bridge of a name."""
    hosts = {}
    for name, of in site.hosts.items():
        rack = of.attachment("rack")
        assert rack is not None
        made = (replace(rack, uplink="eth1", bridge="br-rack"), replace(rack, uplink="eth3", bridge=second))
        hosts[name] = replace(of, attachments=(*(a for a in of.attachments if a.fabric != "rack"), *made))
    return replace(site, hosts=hosts)
