"""examples/kvm-cluster in the twin: applied, proved, hurt behind Grappe's back, seen, mended."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from twin.cluster import EXAMPLES, TwinCluster, twin_of

pytestmark = pytest.mark.xdist_group("kvm-cluster")
ADOPT = ("--adopt", "h*/libvirt-network/default")


@pytest.fixture(scope="module")
def rack() -> Iterator[TwinCluster]:
    with twin_of(EXAMPLES / "kvm-cluster" / "site.yaml", "rack") as cluster:
        yield cluster


def test_apply_from_bare_machines_converges_and_twice_changes_nothing(rack: TwinCluster) -> None:
    rack.grappe("apply", "--yes", *ADOPT)
    assert rack.drift() == {}
    assert "nothing to do" in rack.grappe("plan")
    assert "nothing to do" in rack.grappe("apply", "--yes")


def test_roll_call_passes_and_proves_jumbo_frames(rack: TwinCluster) -> None:
    call = rack.json("verify")
    assert call["ok"], call
    jumbo = [pair for pair in call["jumbo"] if call["voices"][pair["voice"]]["network"] == "storage"]
    assert len(jumbo) == 6, jumbo
    assert {pair["state"] for pair in jumbo} == {"heard"}


def test_the_devices_hold_what_was_declared(rack: TwinCluster) -> None:
    assert rack.on("h1", "ovs-vsctl", "get", "Port", "vlan99", "tag").strip() == "99"
    assert rack.on("sw1", "ovs-vsctl", "get", "Port", "p8", "tag").strip() == "10"
    dump = rack.on("h1", "virsh", "net-dumpxml", "rack")
    assert "<virtualport type='openvswitch'/>" in dump
    assert re.search(
        r"<portgroup name='vlansext'>\s*<vlan trunk='yes'>\s*<tag id='10'/>\s*<tag id='20'/>", dump
    )
    assert "default" not in rack.on("h1", "virsh", "net-list", "--all", "--name")


def guest_port(rack: TwinCluster, host: str, vm: str) -> str:
    listed = rack.on(host, "virsh", "domiflist", vm)
    return next(line.split()[0] for line in listed.splitlines() if "vnet" in line)


@pytest.mark.parametrize(
    ("device", "plant", "named"),
    [
        pytest.param(
            "h1",
            "ovs-vsctl set Port vlan99 tag=98",
            r"ovs-port vlan99: native is 98 now, declared 99",
            id="a wrong tag on a host's own port",
        ),
        pytest.param(
            "sw1",
            "ovs-vsctl remove Port p3 trunks 100",
            r"ovs-port p3: tagged is .*\(lacks 100\)",
            id="a VLAN missing on the switch's trunk",
        ),
        pytest.param(
            "sw1",
            "ovs-vsctl set Interface p2 mtu_request=1500",
            r"link p2: mtu is 1500 now, declared 9000",
            id="MTU 1500 on one hop",
        ),
        pytest.param(
            "h2",
            "ovs-vsctl set Interface vlan12 mtu_request=1500",
            r"link vlan12: mtu is 1500 now, declared 9000",
            id="MTU 1500 on a host's own IP port only",
        ),
        pytest.param(
            "h3",
            "ovs-vsctl add-port br-rack stray -- set Interface stray type=internal",
            r"ovs-port stray: is in ovs-bridge br-rack, but nobody declared it",
            id="a foreign port in a bridge",
        ),
        pytest.param(
            "h1",
            "virsh net-destroy rack",
            r"libvirt-network rack: active is no now, declared yes",
            id="a stopped libvirt network",
        ),
        pytest.param(
            "h2",
            "rm /etc/network/interfaces.d/grappe-vlan12",
            r"stanza vlan12: is missing",
            id="a stanza of the next boot removed",
        ),
        pytest.param(
            "h1",
            "ovs-vsctl clear Port {web1} tag vlan_mode",
            r"vm-port web1/.*: tagged is all now",
            id="a guest's port without its tag",
        ),
    ],
)
def test_a_fault_planted_behind_our_back_is_named(
    rack: TwinCluster, device: str, plant: str, named: str
) -> None:
    if "{web1}" in plant:
        plant = plant.format(web1=guest_port(rack, "h1", "web1"))
    rack.on(device, "sh", "-c", plant)
    try:
        drift = rack.drift()
        assert list(drift) == [device], drift
        assert any(re.search(named, line) for line in drift[device]), drift
    finally:
        rack.on("h3", "ovs-vsctl", "--if-exists", "del-port", "stray")
        rack.grappe("apply", "--yes")
    assert rack.drift() == {}


@pytest.mark.parametrize(
    ("device", "plant", "heal", "named"),
    [
        pytest.param(
            "sw1",
            "ovs-vsctl remove Port p3 trunks 100",
            "ovs-vsctl add Port p3 trunks 100",
            r"svc100.*(sw1|h3)|(sw1|h3).*svc100",
            id="a VLAN missing on the switch's trunk",
        ),
        pytest.param(
            "h1",
            "ovs-vsctl clear Port {web1} tag vlan_mode",
            "ovs-vsctl set Port {web1} tag=10 vlan_mode=access",
            r"LEAK.*h1 vnet",
            id="a guest's port without its tag hears every VLAN",
        ),
        pytest.param(
            "h2",
            "ovs-vsctl set Interface vlan12 mtu_request=1500",
            "ovs-vsctl set Interface vlan12 mtu_request=9000",
            r"storage.*h2|h2.*storage",
            id="MTU 1500 on a host's own IP port only",
        ),
    ],
)
def test_the_roll_call_sees_a_fault_on_the_wire(
    rack: TwinCluster, device: str, plant: str, heal: str, named: str
) -> None:
    if "{web1}" in plant:
        port = guest_port(rack, "h1", "web1")
        plant, heal = plant.format(web1=port), heal.format(web1=port)
    rack.on(device, "sh", "-c", plant)
    try:
        said = rack.grappe("verify", status=1)
    finally:
        rack.on(device, "sh", "-c", heal)
    problems = [line for line in said.splitlines() if re.match(r"\s+(LEAK|DEAF)", line)]
    assert any(re.search(named, line) for line in problems), said
    assert rack.json("verify")["ok"]


def test_what_was_applied_is_there_after_a_power_cycle(rack: TwinCluster) -> None:
    rack.lab.power_off("h2")
    assert "unknown" in str(rack.drift()["h2"])
    rack.lab.power_on("h2")
    assert rack.drift() == {}
    assert rack.json("verify")["ok"]
