"""Synthetic sites of any size, and what would be seen of them: the ground of the planning benchmark.

Hosts stand in pools of 16, 40 to a switch; 12 tagged networks run over all of them; each host has 20 VMs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from grappe.graph.resource import Key, Observation, Resource, Role, Value
from grappe.model.site import (
    Access,
    Attachment,
    Fabric,
    Host,
    HostAddress,
    KernelBoot,
    Network,
    Nic,
    Platform,
    Pool,
    PortGroup,
    PortRef,
    Site,
    Storage,
    Switch,
    SwitchPort,
    Vm,
    VmNic,
)
from grappe.model.site import Role as NetworkRole
from grappe.model.units import Bytes, Mac, Mtu, VlanId, derive_host_mac
from grappe.platforms import base
from grappe.platforms.kvm.platform import platform as kvm_platform
from grappe.platforms.ovs_switch.platform import platform as switch_platform

POOL = 16
RACK = 40
NETWORKS = 12
VMS = 20
FACTS: Mapping[str, Value] = {"libvirt": "up", "libvirt-error": "", "accel": "kvm", "test-guest": True}


def site(hosts: int) -> Site:
    """A sound site of so many hosts."""
    names = [f"h{i}" for i in range(hosts)]
    networks = _networks()
    pools = {f"pool{i // POOL}": names[i : i + POOL] for i in range(0, hosts, POOL)}
    return Site(
        name="synthetic",
        fabrics={f: Fabric(name=f, bridge=f"br-{f}", libvirt_network=f) for f in ("office", "rack")},
        networks=networks,
        port_groups={
            (n.fabric, n.name): PortGroup(name=n.name, fabric=n.fabric, native=n.name, explicit=False)
            for n in networks.values()
            if n.fabric == "rack"
        },
        pools={p: Pool(name=p, platform=Platform.KVM, hosts=tuple(m)) for p, m in pools.items()},
        hosts={n: _host(n, i, networks) for i, n in enumerate(names)},
        switches=_switches((hosts - 1) // RACK + 1, networks),
        storage={
            (p, "images"): Storage(name="images", pool=p, kind="dir", path="/srv/images") for p in pools
        },
        vms={v.name: v for i, n in enumerate(names) for v in _vms(n, i)},
    )


def _switches(racks: int, networks: Mapping[str, Network]) -> dict[str, Switch]:
    """A switch per rack, each with one cable to a spine."""
    every = tuple(n.name for n in networks.values() if n.fabric == "rack")
    names = [f"sw{i}" for i in range(racks)]
    up = {
        name: SwitchPort(name="up", to=PortRef(switch="spine", port=f"d{i}"), fabric="rack", networks=every)
        for i, name in enumerate(names)
        if racks > 1
    }
    return {
        name: Switch(
            name=name,
            platform=Platform.OVS_SWITCH,
            access=Access(address=f"{name}.example"),
            mtu=Mtu(9000),
            ports={"up": up[name]} if name in up else {},
        )
        for name in [*names, *(["spine"] if racks > 1 else [])]
    }


def _networks() -> dict[str, Network]:
    office = Network(
        name="office",
        fabric="office",
        subnets=(IPv4Network("10.0.0.0/16"),),
        gateways=(IPv4Address("10.0.255.254"),),
        roles=frozenset({NetworkRole.MANAGEMENT}),
    )
    tagged = [
        Network(
            name=f"net{i}",
            fabric="rack",
            vlan=VlanId(100 + i),
            mtu=Mtu(9000 if i == 0 else 1500),
            subnets=(IPv4Network(f"10.{100 + i}.0.0/16"),),
            roles=frozenset({NetworkRole.STORAGE, NetworkRole.MIGRATION} if i == 0 else ()),
        )
        for i in range(NETWORKS)
    ]
    return {n.name: n for n in (office, *tagged)}


def _host(name: str, number: int, networks: Mapping[str, Network]) -> Host:
    rack = tuple(n.name for n in networks.values() if n.fabric == "rack")
    switch = f"sw{number // RACK}"
    cable = PortRef(switch=switch, port=f"p{number % RACK}")
    return Host(
        name=name,
        pool=f"pool{number // POOL}",
        platform=Platform.KVM,
        access=Access(address=str(_address(0, number).ip)),
        nics={"eth0": Nic(name="eth0"), "eth1": Nic(name="eth1", cable=cable)},
        attachments=(
            Attachment(fabric="office", uplink="eth0", networks=("office",), native="office"),
            Attachment(fabric="rack", uplink="eth1", networks=rack, bridge="br-rack", mtu=Mtu(9000)),
        ),
        addresses=(
            HostAddress(network="office", address=_address(0, number), port="eth0"),
            HostAddress(network="net0", address=_address(100, number), port="vlan100"),
        ),
        memory=Bytes(128 << 30),
    )


def _address(second: int, number: int) -> IPv4Interface:
    return IPv4Interface(f"10.{second}.{number // 200}.{number % 200 + 1}/16")


def _vms(host: str, number: int) -> Iterable[Vm]:
    for index in range(VMS):
        name = f"{host}v{index}"
        network = f"net{1 + index % (NETWORKS - 1)}"
        yield Vm(
            name=name,
            pool=f"pool{number // POOL}",
            host=host,
            vcpus=2,
            memory=Bytes(2 << 30),
            boot=KernelBoot(kernel="/boot/guest", initrd="/boot/guest.img"),
            nics=(VmNic(fabric="rack", port_group=network, network=network, mac=_mac(number * VMS + index)),),
        )


def _mac(number: int) -> Mac:
    """Counted, not derived: among 20,000 derived ones (24 bits) some are the same, and `check` says so."""
    return Mac("52:54:00:" + ":".join(f"{number:06x}"[i : i + 2] for i in (0, 2, 4)))


def renumbered(declared: Site) -> Site:
    """The same site with another VLAN id on one network that everything uses."""
    moved = replace(declared.networks["net3"], vlan=VlanId(777))
    return replace(declared, networks={**declared.networks, "net3": moved})


def platforms(declared: Site) -> dict[str, base.Platform]:
    """The platform of every scope."""
    host, switch = kvm_platform(), switch_platform()
    return {**dict.fromkeys(declared.hosts, host), **dict.fromkeys(declared.switches, switch)}


def bare(declared: Site) -> dict[str, Observation]:
    """What is seen before anything was made: NICs and switch ports with their factory settings."""
    hosts = {n: _machine(n, ("eth0", "eth1"), str(h.access.address)) for n, h in declared.hosts.items()}
    rack = ("up", *(f"p{i}" for i in range(RACK)))
    spine = tuple(f"d{i}" for i in range(len(declared.switches) - 1))
    return hosts | {n: _machine(n, spine if n == "spine" else rack, None) for n in declared.switches}


def _machine(scope: str, nics: tuple[str, ...], way: str | None) -> Observation:
    links = [_link(scope, n, frozenset({f"{way}/16"} if way and n == "eth0" else ())) for n in nics]
    macs = {f"mac:{n}": derive_host_mac(scope, n) for n in nics}
    facts = {**FACTS, **macs, "way": way, "interfaces.d": True, "ovs": "up"}
    return Observation(scope, {r.key: r for r in links}, facts)


def _link(scope: str, nic: str, addresses: frozenset[str]) -> Resource:
    return Resource(
        Key(scope, "link", nic),
        running={"up": True, "mtu": 1500, "addresses": addresses, "gateways": frozenset(), "ipv6": True},
        role=Role.MANAGED,
        claims=frozenset({f"address:{a}" for a in addresses} | ({f"traffic:{nic}"} if addresses else set())),
        path=bool(addresses),
    )


def as_declared(declared: Site, start: Mapping[str, Observation]) -> dict[str, Observation]:
    """What is seen when all is as declared: every desired resource, over what was there at the start."""
    every = platforms(declared)
    return {
        scope: replace(
            seen,
            resources={
                **seen.resources,
                **{r.key: r for r in every[scope].lower(declared, scope, seen).resources},
            },
        )
        for scope, seen in start.items()
    }
