"""LACP bonds at both ends of their cables, a ring that RSTP breaks: every cable really pulled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from twin.cluster import TwinCluster, twin_of

NETWORKS = """
site: {site}
networks:
  office:  {{fabric: office, subnet: 192.168.10.0/24, roles: [management]}}
  front:   {{fabric: rack, vlan: 10, subnet: 10.10.1.0/24}}
  storage: {{fabric: rack, vlan: 12, subnet: 192.168.12.0/24, mtu: 9000, roles: [storage]}}
"""
BONDED = """
pools:
  kvm:
    platform: kvm
    bonds: {bond0: {members: [eth1, eth2], mode: lacp}}
    attach: {eth0: {networks: [office], bridge: false}, bond0: {fabric: rack}}
    hosts:
      h1: {addresses: {office: .11, front: .11}, cables: {eth0: desk/1, eth1: sw1/p1, eth2: sw1/p2}}
      h2: {addresses: {office: .12, front: .12}, cables: {eth0: desk/2, eth1: sw1/p3, eth2: sw1/p4}}
switches:
  sw1: {platform: ovs_switch, access: 192.168.10.241}
  desk: {platform: unmanaged}
"""
RING = """
pools:
  kvm:
    platform: kvm
    attach: {eth0: {networks: [office], bridge: false}, eth1: {fabric: rack}}
    hosts:
      h1: {addresses: {office: .11, front: .11}, cables: {eth0: desk/1, eth1: sw1/p1}}
      h2: {addresses: {office: .12, front: .12}, cables: {eth0: desk/2, eth1: sw2/p1}}
switches:
  sw1:
    platform: ovs_switch
    access: 192.168.10.241
    spanning_tree: rstp
    ports: {p8: {to: sw2/p8, networks: [front, storage]}, p9: {to: sw2/p9, networks: [front, storage]}}
  sw2: {platform: ovs_switch, access: 192.168.10.242, spanning_tree: rstp}
  desk: {platform: unmanaged}
"""


def up(folder: Path, site: str, rest: str) -> Iterator[TwinCluster]:
    file = folder / "site.yaml"
    file.write_text(NETWORKS.format(site=site) + rest)
    with twin_of(file, site) as cluster:
        cluster.grappe("apply", "--yes")
        assert cluster.drift() == {}
        yield cluster


@pytest.fixture(scope="module")
def bonded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwinCluster]:
    yield from up(tmp_path_factory.mktemp("bonded"), "bonded", BONDED)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwinCluster]:
    yield from up(tmp_path_factory.mktemp("ring"), "ring", RING)


def reaches(cluster: TwinCluster, limit: float = 60) -> bool:
    """Whether h1 reaches h2 on VLAN 10 before the limit; the protocols need a while after a fault."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if " 0% packet loss" in cluster.on("h1", "ping", "-c3", "-i0.2", "-W1", "10.10.1.12", check=False):
            return True
    return False


def test_lacp_is_negotiated_at_both_ends(bonded: TwinCluster) -> None:
    assert "lacp_status: negotiated" in bonded.on("h1", "ovs-appctl", "bond/show", "bond0")
    ports = bonded.on("sw1", "ovs-vsctl", "list-ports", "bridge1").split()
    bond = next(port for port in ports if port.startswith("bond0-h1"))
    assert "lacp_status: negotiated" in bonded.on("sw1", "ovs-appctl", "bond/show", bond)
    assert bonded.json("verify", status=None)["ok"]


@pytest.mark.parametrize("nic", ["eth1", "eth2"])
def test_either_cable_of_a_bond_can_be_pulled(bonded: TwinCluster, nic: str) -> None:
    bonded.lab.pull_cable("h1", nic)
    try:
        assert reaches(bonded), f"h1 is cut off without {nic}"
    finally:
        bonded.lab.plug_cable("h1", nic)
    assert reaches(bonded)


def test_a_bond_is_there_after_a_power_cycle(bonded: TwinCluster) -> None:
    bonded.lab.power_off("h1")
    bonded.lab.power_on("h1")
    assert reaches(bonded)
    assert bonded.drift() == {}


@pytest.mark.parametrize("port", ["p8", "p9"])
def test_either_cable_of_a_ring_can_be_pulled(ring: TwinCluster, port: str) -> None:
    assert reaches(ring)
    ring.lab.pull_cable("sw1", port)
    try:
        assert reaches(ring), f"the ring is cut without {port}"
    finally:
        ring.lab.plug_cable("sw1", port)
    assert reaches(ring)


def blocked(ring: TwinCluster) -> int:
    """How many ports of the ring stand by."""
    shown = [ring.on(switch, "ovs-appctl", "rstp/show", "bridge1") for switch in ("sw1", "sw2")]
    return sum("Alternate" in line for text in shown for line in text.splitlines())


def test_rstp_blocks_one_of_two_parallel_cables(ring: TwinCluster) -> None:
    limit = time.monotonic() + 90
    while (count := blocked(ring)) != 1:
        assert time.monotonic() < limit, f"{count} ports stand by"
        time.sleep(1)
    assert reaches(ring)
