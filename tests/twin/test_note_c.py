"""examples/kvm-openvswitch in the twin: what the note asks really lives there, and survives a boot."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from twin.cluster import EXAMPLES, TwinCluster, twin_of

pytestmark = pytest.mark.xdist_group("note-c")
ADOPT = ("--adopt", "newbox/stanza/eno1", "--adopt", "newbox/libvirt-network/default")


@pytest.fixture(scope="module")
def box() -> Iterator[TwinCluster]:
    with twin_of(EXAMPLES / "kvm-openvswitch" / "site.yaml", "box") as cluster:
        yield cluster


def test_taking_over_the_installers_work_waits_for_consent(box: TwinCluster) -> None:
    before = box.on("newbox", "cat", "/etc/network/interfaces")
    said = box.grappe("plan", status=1)
    assert "--adopt 'newbox/stanza/eno1'" in said
    assert "--adopt 'newbox/libvirt-network/default'" in said
    assert box.on("newbox", "cat", "/etc/network/interfaces") == before


def test_the_only_nic_moves_into_a_bridge_under_a_guard(box: TwinCluster) -> None:
    plan = box.grappe("plan", *ADOPT)
    assert re.search(r"stage \d: newbox  GUARDED", plan), plan
    box.grappe("apply", "--yes", *ADOPT)
    assert box.drift() == {}
    assert "203.0.113.10/24" in box.on("newbox", "ip", "-4", "addr", "show", "dev", "br0")
    assert "inet " not in box.on("newbox", "ip", "-4", "addr", "show", "dev", "eno1")


def test_open_vswitch_holds_the_notes_bridges(box: TwinCluster) -> None:
    assert set(box.on("newbox", "ovs-vsctl", "list-br").split()) == {"br0", "brint"}
    assert "eno1" in box.on("newbox", "ovs-vsctl", "list-ports", "br0").split()
    assert box.on("newbox", "ovs-vsctl", "get", "Port", "brint", "tag").strip() == "99"
    assert "10.99.1.250/24" in box.on("newbox", "ip", "-4", "addr", "show", "dev", "brint")


def test_libvirt_holds_the_notes_networks(box: TwinCluster) -> None:
    names = box.on("newbox", "virsh", "net-list", "--all", "--name").split()
    assert set(names) == {"ovs-front", "intern-vlans"}
    for name, bridge in (("ovs-front", "br0"), ("intern-vlans", "brint")):
        info = box.on("newbox", "virsh", "net-info", name)
        assert re.search(r"Active:\s+yes", info)
        assert re.search(r"Autostart:\s+yes", info)
        dump = box.on("newbox", "virsh", "net-dumpxml", name)
        assert "<forward mode='bridge'/>" in dump
        assert f"<bridge name='{bridge}'/>" in dump
        assert "<virtualport type='openvswitch'/>" in dump


def test_the_notes_port_groups_are_there(box: TwinCluster) -> None:
    dump = box.on("newbox", "virsh", "net-dumpxml", "intern-vlans")
    groups = {
        name: (("trunk='yes'" in body), [int(tag) for tag in re.findall(r"<tag id='(\d+)'", body)])
        for name, body in re.findall(r"<portgroup name='([^']+)'[^>]*>(.*?)</portgroup>", dump, re.DOTALL)
    }
    services = {str(vlan): (False, [vlan]) for vlan in range(100, 110)}
    trunks = {"vlansadmin": [99, 250], "vlansext": [10, 20], "vlansint": list(range(100, 110))}
    wanted = services | {"vlan10": (False, [10]), "vlan20": (False, [20])}
    assert groups == wanted | {name: (True, tags) for name, tags in trunks.items()}


def test_the_next_boot_brings_the_same(box: TwinCluster) -> None:
    files = box.on("newbox", "sh", "-c", "cat /etc/network/interfaces.d/*")
    assert "iface brint inet static" in files
    assert "address 10.99.1.250/24" in files
    assert "ovs_ports eno1" in files
    assert "#grappe:eno1# iface eno1 inet static" in box.on("newbox", "cat", "/etc/network/interfaces")
    # What a power loss leaves in Open vSwitch: a guest's port that would lend its tag to the next guest.
    for port in ("vnet0", "vnet1", "vnet2"):
        box.on("newbox", "sh", "-c", f"ovs-vsctl --may-exist add-port brint {port} || true")
        box.on("newbox", "ovs-vsctl", "set", "Port", port, "tag=20", "vlan_mode=access")
    box.lab.power_off("newbox")
    box.lab.power_on("newbox")
    assert box.drift() == {}
    assert box.json("verify")["ok"]


def test_the_stray_multicast_of_a_bridge_never_left_the_uplink(box: TwinCluster) -> None:
    """The bridge wears its uplink's MAC and has IPv6 off, so a provider sees one sender only."""
    mac = box.on("newbox", "cat", "/sys/class/net/eno1/address").strip()
    assert box.on("newbox", "cat", "/sys/class/net/br0/address").strip() == mac
    assert box.on("newbox", "cat", "/proc/sys/net/ipv6/conf/br0/disable_ipv6").strip() == "1"
