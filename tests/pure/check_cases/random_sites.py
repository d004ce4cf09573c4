"""Random sites for properties: every network is declared, everything else may be wrong."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from hypothesis import strategies as st

from grappe.model.site import (
    Access,
    Acknowledgement,
    Attachment,
    Bond,
    BondMode,
    Disk,
    Fabric,
    Guard,
    Host,
    HostAddress,
    Network,
    Nic,
    Platform,
    Pool,
    PortGroup,
    PortRef,
    Role,
    Site,
    SpanningTree,
    Storage,
    Switch,
    SwitchPort,
    TestGuest,
    Vm,
    VmNic,
)
from grappe.model.units import Bytes, Mac, Mtu, VlanId

FABRICS = ("f1", "f2")
NETWORKS = ("n1", "n2", "n3", "n10", "vlan7", "8")
NICS = ("eth0", "eth1", "eth2", "a-name-far-too-long", "sp ace")
SWITCHES = ("s1", "s2", "s3")
PORTS = ("p1", "p2", "p3")
POOLS = ("p", "q")
HOSTS = ("h1", "h2", "h10")
SUBNETS = ("10.0.0.0/24", "10.0.0.0/25", "10.0.1.0/24", "10.0.0.0/8", "2001:db8::/64", "10.0.0.1/32")
ADDRESSES = ("10.0.0.1/24", "10.0.0.0/24", "10.0.0.255/24", "10.0.1.7/32", "2001:db8::1/64", "172.16.0.1/12")
MTUS = (900, 1500, 9000)

network_names = st.lists(st.sampled_from(NETWORKS), max_size=4, unique=True).map(tuple)
maybe_network = st.none() | st.sampled_from(NETWORKS)
mtus = st.sampled_from(MTUS).map(Mtu)
macs = st.sampled_from(("02:00:00:00:00:01", "02:00:00:00:00:02", "03:00:00:10:00:01")).map(Mac)
refs = st.builds(PortRef, switch=st.sampled_from((*SWITCHES, "gone")), port=st.sampled_from(PORTS))
interfaces = st.sampled_from(ADDRESSES).map(ip_interface)
accesses = st.builds(Access, address=st.sampled_from(("", "10.0.0.1", "10.0.0.9", "name")))
trees = st.sampled_from(SpanningTree)


def networks(name: str) -> st.SearchStrategy[Network]:
    return st.builds(
        Network,
        name=st.just(name),
        fabric=st.sampled_from(FABRICS),
        vlan=st.none() | st.sampled_from((1, 7, 10, 300)).map(VlanId),
        mtu=mtus,
        subnets=st.lists(st.sampled_from(SUBNETS).map(ip_network), max_size=2).map(tuple),
        gateways=st.lists(
            st.sampled_from(("10.0.0.254", "10.0.0.0", "fe80::1")).map(ip_address), max_size=2
        ).map(tuple),
        roles=st.frozensets(st.sampled_from(Role), max_size=2),
    )


def bonds(members: tuple[str, ...]) -> st.SearchStrategy[dict[str, Bond]]:
    made = st.builds(
        Bond,
        name=st.just("bond0"),
        mode=st.sampled_from(BondMode),
        members=st.lists(st.sampled_from(members), max_size=3).map(tuple),
    )
    return st.just({}) | made.map(lambda bond: {bond.name: bond})


attachments = st.builds(
    Attachment,
    fabric=st.sampled_from(FABRICS),
    uplink=st.none() | st.sampled_from((*NICS, "bond0")),
    networks=network_names,
    native=maybe_network,
    bridge=st.none() | st.sampled_from(("br0", "br1", "eth0")),
    mtu=mtus,
    registered_macs=st.none() | st.frozensets(macs, max_size=2),
    spanning_tree=trees,
)
host_addresses = st.builds(
    HostAddress,
    network=st.sampled_from(NETWORKS),
    address=interfaces,
    port=st.sampled_from(("br0", "eth0", "n1")),
)


def nics(name: str) -> st.SearchStrategy[Nic]:
    return st.builds(Nic, name=st.just(name), mac=st.none() | macs, cable=st.none() | refs)


def hosts(name: str) -> st.SearchStrategy[Host]:
    return st.builds(
        Host,
        name=st.just(name),
        pool=st.sampled_from(POOLS),
        platform=st.sampled_from((Platform.KVM, Platform.XCP_NG, Platform.XEN)),
        access=accesses,
        nics=st.fixed_dictionaries({}, optional={n: nics(n) for n in NICS}),
        bonds=bonds((*NICS, "gone")),
        attachments=st.lists(attachments, max_size=3).map(tuple),
        addresses=st.lists(host_addresses, max_size=3).map(tuple),
        cpus=st.none() | st.integers(1, 4),
        memory=st.none() | st.integers(1, 8).map(Bytes),
        maintenance=st.booleans(),
    )


def switch_ports(name: str) -> st.SearchStrategy[SwitchPort]:
    return st.builds(
        SwitchPort,
        name=st.just(name),
        to=st.none() | refs,
        fabric=st.none() | st.sampled_from(FABRICS),
        networks=network_names,
        native=maybe_network,
        mtu=st.none() | mtus,
    )


def switches(name: str) -> st.SearchStrategy[Switch]:
    return st.builds(
        Switch,
        name=st.just(name),
        platform=st.sampled_from((Platform.OVS_SWITCH, Platform.UNMANAGED)),
        access=st.none() | accesses,
        ports=st.fixed_dictionaries({}, optional={p: switch_ports(p) for p in PORTS}),
        bonds=bonds(PORTS),
        spanning_tree=trees,
        mtu=st.none() | mtus,
    )


vm_nics = st.builds(
    VmNic,
    fabric=st.sampled_from(FABRICS),
    port_group=st.sampled_from(("vlan7", "8", "gone")),
    network=maybe_network,
    mac=macs,
    addresses=st.lists(interfaces, max_size=2).map(tuple),
    mtu=mtus,
)
disks = st.builds(
    Disk, target=st.just("vda"), size=st.just(Bytes(1)), storage=st.sampled_from(("images", "gone"))
)


def vms(name: str) -> st.SearchStrategy[Vm]:
    return st.builds(
        Vm,
        name=st.just(name),
        pool=st.sampled_from(POOLS),
        host=st.none() | st.sampled_from((*HOSTS, "gone")),
        vcpus=st.integers(1, 20),
        memory=st.integers(1, 20).map(Bytes),
        boot=st.just(TestGuest()),
        disks=st.lists(disks, max_size=1).map(tuple),
        nics=st.lists(vm_nics, max_size=3).map(tuple),
        running=st.booleans(),
    )


def groups(fabric: str, name: str) -> st.SearchStrategy[PortGroup]:
    return st.builds(
        PortGroup, name=st.just(name), fabric=st.just(fabric), native=maybe_network, tagged=network_names
    )


places = st.sampled_from(
    (("switches", "s1"), ("networks", "n1"), ("hosts", "h1"), ("pools", "p"), ("guard",), ("vms", "v1"))
)


def acknowledgements(codes: tuple[str, ...]) -> st.SearchStrategy[tuple[Acknowledgement, ...]]:
    entries = st.lists(st.tuples(st.sampled_from((*codes, "no-such-code")), places), max_size=4)
    return entries.map(
        lambda found: tuple(
            Acknowledgement(finding=code, at=at, reason="r", place=("accept", i))
            for i, (code, at) in enumerate(found)
        )
    )


def some(names: tuple[Any, ...], make: Any) -> st.SearchStrategy[dict[Any, Any]]:
    return st.fixed_dictionaries({}, optional={n: make(n) for n in names})


def sites(codes: tuple[str, ...]) -> st.SearchStrategy[Site]:
    group_names = tuple((f, n) for f in FABRICS for n in ("vlan7", "8"))
    return st.builds(
        Site,
        name=st.just("random"),
        fabrics=st.just({f: Fabric(name=f, bridge="br0", libvirt_network="one") for f in FABRICS}),
        networks=st.fixed_dictionaries({n: networks(n) for n in NETWORKS}),
        port_groups=some(group_names, lambda key: groups(*key)),
        pools=st.just({p: Pool(name=p, platform=Platform.KVM, hosts=()) for p in POOLS}),
        hosts=some(HOSTS, hosts),
        switches=some(SWITCHES, switches),
        storage=st.just({("p", "images"): Storage(name="images", pool="p", kind="dir", path="/i")}),
        vms=some(("v1", "v2", "v10"), vms),
        accept=acknowledgements(codes),
        guard=st.sampled_from((Guard(), Guard(timeout=1), Guard(timeout=9999))),
        removed=st.sampled_from(({}, {"libvirt_networks": frozenset({"default", "one"})})),
    )
