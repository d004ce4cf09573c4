"""The examples load, and say what the notes they come from say."""

from __future__ import annotations

from pathlib import Path

import pytest

from grappe.check import check
from grappe.document import Document, load
from grappe.model.finding import Severity
from grappe.model.site import Site
from grappe.model.topology import switch_ports

EXAMPLES = Path(__file__).parents[2] / "examples"


def _example(name: str) -> Document:
    return load(EXAMPLES / name / "site.yaml")


@pytest.fixture(scope="module")
def note() -> Site:
    return _example("kvm-openvswitch").site


@pytest.fixture(scope="module")
def cluster() -> Site:
    return _example("kvm-cluster").site


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in EXAMPLES.glob("*/site.yaml")))
def test_every_example_loads_and_is_explained(folder: str) -> None:
    assert _example(folder).site.name
    assert (EXAMPLES / folder / "README.md").is_file()


def test_note_has_the_port_groups_of_its_libvirt_network_and_no_other(note: Site) -> None:
    vlans = {
        name: ([note.networks[group.native].vlan] if group.native else [])
        + [note.networks[t].vlan for t in group.tagged]
        for (fabric, name), group in note.port_groups.items()
        if fabric == "internal"
    }
    expected = {"vlansadmin": [99, 250], "vlansext": [10, 20], "vlan10": [10], "vlan20": [20]}
    expected |= {"vlansint": list(range(100, 110))} | {str(v): [v] for v in range(100, 110)}
    assert vlans == expected
    trunks = {name for (_, name), group in note.port_groups.items() if group.native is None}
    assert trunks == {"vlansadmin", "vlansext", "vlansint"}


def test_note_has_two_bridges_and_the_hypervisor_on_vlan_99(note: Site) -> None:
    (host,) = note.hosts.values()
    outside, internal = host.attachments
    assert (outside.bridge, outside.uplink, outside.native) == ("br0", "eno1", "internet")
    assert (internal.bridge, internal.uplink, internal.native) == ("brint", None, None)
    assert {f.libvirt_network for f in note.fabrics.values()} == {"ovs-front", "intern-vlans"}
    held = {a.port: (str(a.address), note.networks[a.network].tag) for a in host.addresses}
    assert held == {"br0": ("203.0.113.10/24", 0), "brint": ("10.99.1.250/24", 99)}
    assert note.removed == {"libvirt_networks": {"default"}}


def test_note_outside_network_has_no_port_group(note: Site) -> None:
    assert not [key for key in note.port_groups if key[0] == "outside"]


def test_cluster_has_the_networks_of_the_note(note: Site, cluster: Site) -> None:
    inner = {(n.name, n.vlan, n.subnets) for n in note.networks.values() if n.fabric == "internal"}
    assert inner <= {(n.name, n.vlan, n.subnets) for n in cluster.networks.values()}


def test_cluster_switch_carries_every_vlan_to_every_host_and_one_to_the_machine(cluster: Site) -> None:
    ports = {p.port.port: p for p in switch_ports(cluster).values() if p.port.switch == "sw1"}
    rack = frozenset(n.tag for n in cluster.fabric_networks("rack"))
    for port in ("p1", "p2", "p3"):
        assert (ports[port].carriage.native, ports[port].carriage.tagged, ports[port].mtu) == (
            None,
            rack,
            9000,
        )
    assert (ports["p8"].carriage.native, ports["p8"].carriage.tagged) == (10, frozenset())


def test_cluster_hosts_hold_their_addresses_where_they_should(cluster: Site) -> None:
    for host in cluster.hosts.values():
        assert [a.port for a in host.addresses] == ["eth0", "vlan12", "vlan99"]
        assert host.access.address == str(host.addresses[0].address.ip)


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in EXAMPLES.glob("*/site.yaml")))
def test_example_passes_check_with_every_risk_and_warning_acknowledged(folder: str) -> None:
    loud = {Severity.ERROR, Severity.RISK, Severity.WARNING}
    assert not [f for f in check(_example(folder).site) if f.severity in loud and f.accepted is None]
