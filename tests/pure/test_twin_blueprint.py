"""What a blueprint accepts, what it refuses and how, and the cables it becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grappe.twin import wiring
from grappe.twin.blueprint import (
    Blueprint,
    BlueprintError,
    Cable,
    End,
    Foothold,
    Nic,
    Node,
    Operator,
    Segment,
    Stanza,
    from_json,
    interfaces_file,
    to_json,
)
from grappe.twin.machine_api import machine
from grappe.twin.netlink import Link

HOST = Node(
    "h1",
    nics=(Nic("eth0"), Nic("eth1", "02:aa:00:00:00:01", 9000)),
    installer=(Stanza("eth0", "192.0.2.1/24", "192.0.2.254"), Stanza("eth1", start="auto")),
)
SWITCH = Node("sw", "switch", (Nic("mgmt"), Nic("p1")), (Stanza("mgmt", "192.0.2.241/24"),), libvirt=False)
PLAN = Blueprint(
    "rack",
    (HOST, SWITCH),
    (
        Cable(End("h1", "eth1"), End("sw", "p1")),
        Cable(End("h1", "eth0"), "office"),
        Cable(End("sw", "mgmt"), "office"),
    ),
    (Segment("office"),),
    Operator((Foothold("office", "192.0.2.250/24"),)),
)


def test_a_blueprint_survives_being_written_down() -> None:
    narrow = replace(PLAN, cables=(replace(PLAN.cables[0], mtu=1500), *PLAN.cables[1:]))
    assert from_json(to_json(narrow)) == narrow.check()


def test_the_installer_leaves_what_debian_leaves() -> None:
    assert interfaces_file(HOST) == (
        "# This file describes the network interfaces available on your system\n"
        "# and how to activate them. For more information, see interfaces(5).\n"
        "\n"
        "source /etc/network/interfaces.d/*\n"
        "\n"
        "# The loopback network interface\n"
        "auto lo\n"
        "iface lo inet loopback\n"
        "\n"
        "allow-hotplug eth0\n"
        "iface eth0 inet static\n"
        "\taddress 192.0.2.1/24\n"
        "\tgateway 192.0.2.254\n"
        "\n"
        "auto eth1\n"
        "iface eth1 inet manual\n"
    )


def test_ssh_goes_to_the_first_address_and_management_is_its_nic() -> None:
    assert (HOST.address, HOST.management) == ("192.0.2.1", "eth0")
    assert Node("bare").address == ""


def _problems(plan: Blueprint) -> tuple[str, ...]:
    with pytest.raises(BlueprintError) as caught:
        plan.check()
    return caught.value.problems


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"name": "a/b"}, "name 'a/b': not 1 to 40 letters, digits, '-', '_' and '.'"),
        ({"nodes": (HOST, SWITCH, HOST)}, "node h1 is there twice"),
        ({"segments": (Segment("office"), Segment("office"))}, "segment office is there twice"),
        (
            {"nodes": (replace(HOST, name="h_1"), SWITCH)},
            "node 'h_1': not a host name (letters, digits, '-', '.'; at most 63)",
        ),
        (
            {"nodes": (replace(HOST, nics=(*HOST.nics, Nic("a:b"))), SWITCH)},
            "NIC h1/a:b: not an interface name (1 to 15 bytes, no space, '/' or ':')",
        ),
        ({"nodes": (replace(HOST, nics=(*HOST.nics, Nic("eth0"))), SWITCH)}, "NIC h1/eth0 is there twice"),
        (
            {"nodes": (replace(HOST, nics=(*HOST.nics, Nic("e", "03:00:00:00:00:01"))), SWITCH)},
            "NIC h1/e: '03:00:00:00:00:01' is not a unicast MAC address",
        ),
        (
            {"nodes": (replace(HOST, nics=(*HOST.nics, Nic("e", mtu=9))), SWITCH)},
            "NIC h1/e: MTU 9 is outside 68..65535",
        ),
        (
            {"nodes": (replace(HOST, installer=(*HOST.installer, Stanza("eth7"))), SWITCH)},
            "installer's stanza h1/eth7: no such NIC; there are: eth0, eth1",
        ),
        (
            {"nodes": (replace(HOST, installer=(Stanza("eth0", "192.0.2.1"),)), SWITCH)},
            "installer's stanza h1/eth0: 192.0.2.1 lacks its prefix, as in 192.0.2.1/24",
        ),
        (
            {"nodes": (replace(HOST, installer=(Stanza("eth0", "192.0.2.300/24"),)), SWITCH)},
            "installer's stanza h1/eth0: '192.0.2.300/24' does not appear to be an IPv4 or IPv6 interface",
        ),
        (
            {"nodes": (replace(HOST, installer=()), SWITCH)},
            "node h1: no address from the installer, so SSH could not reach it",
        ),
        (
            {"cables": (Cable(End("h1", "eth9"), "office"),)},
            "a cable ends in h1/eth9, which does not exist",
        ),
        (
            {"cables": (*PLAN.cables, Cable(End("h1", "eth1"), "office"))},
            "a cable in h1/eth1 is there twice",
        ),
        (
            {"cables": (Cable(End("h1", "eth1"), "attic"),)},
            "the cable of h1/eth1 ends in segment 'attic', which does not exist",
        ),
        (
            {"operator": Operator((Foothold("attic", "192.0.2.9/24"),))},
            "the operator stands on segment 'attic', which does not exist",
        ),
        (
            {"operator": Operator((Foothold("office", "192.0.2.9"),))},
            "the operator on office: 192.0.2.9 lacks its prefix, as in 192.0.2.9/24",
        ),
    ],
)
def test_what_cannot_be_wired_is_named(changed: dict[str, object], problem: str) -> None:
    assert problem in _problems(replace(PLAN, **changed))  # type: ignore[arg-type]


def test_every_problem_is_told_at_once() -> None:
    assert len(_problems(replace(PLAN, name="", segments=(), operator=Operator()))) == 3


def test_an_unknown_node_is_answered_with_the_known() -> None:
    with pytest.raises(KeyError, match="no node 'h9' in the twin 'rack'; there are: h1, sw"):
        PLAN.node("h9")


def test_an_unknown_kind_of_machine_is_answered_with_the_known() -> None:
    with pytest.raises(ValueError, match="kind of machine 'vax'; known: namespace, qemu, or module:Class"):
        machine("vax")


def test_derived_macs_are_stable_local_unicast_and_distinct() -> None:
    macs = [wiring.derived_mac("nic", "h1", f"eth{at}") for at in range(100)]
    assert macs == [wiring.derived_mac("nic", "h1", f"eth{at}") for at in range(100)]
    assert len(set(macs)) == 100
    assert all(mac.startswith("02:") and len(mac) == 17 for mac in macs)


def test_a_cable_between_nics_is_a_joint_that_learns_nothing_and_passes_link_local_frames() -> None:
    lines = list(wiring.laying(PLAN))
    assert (
        "link add j1 mtu 9216 type veth peer name eth1 netns h1 address 02:aa:00:00:00:01 mtu 9000" in lines
    )
    assert [line for line in lines if " c0" in line] == [
        f"link add c0 address {wiring.derived_mac('cable', 'c0')}"
        " type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        "link set c0 up",
        "link set j1 master c0",
        "link set j3 master c0",
    ]
    assert "link set j3 type bridge_slave learning off group_fwd_mask 65533" in lines


def test_a_limit_sits_in_the_middle_of_the_cable_never_at_a_nic() -> None:
    narrow = replace(PLAN, cables=(replace(PLAN.cables[0], mtu=1500),), segments=(Segment("office", 1400),))
    lines = list(wiring.laying(narrow))
    assert "link add c0x mtu 1500 type veth peer name c0y mtu 1500" in lines
    assert {line.split()[2]: line.split()[4] for line in lines if " master " in line} == {
        "j1": "c0",
        "c0x": "c0",
        "c0y": "c0b",
        "j3": "c0b",
    }
    to_segment = list(wiring.laying(replace(narrow, cables=(PLAN.cables[1],))))
    assert "link add c0x mtu 1400 type veth peer name c0y mtu 1400" in to_segment
    assert "link set c0y master s0" in to_segment


def test_what_has_its_own_kernel_gets_a_plug_that_does_not_limit() -> None:
    lines = list(wiring.laying(replace(PLAN, nodes=(replace(HOST, machine="qemu"), SWITCH))))
    plug = next(line for line in lines if "peer name plug1 netns h1" in line)
    assert plug.endswith("mtu 9216")
    assert "02:aa:00:00:00:01" not in plug


def test_the_loss_of_power_leaves_the_nics_as_from_the_factory_and_nothing_else() -> None:
    links = {
        1: Link(1, "lo", up=True, carrier=True),
        5: Link(5, "uplink", up=True, carrier=True),
        9: Link(9, "br0", up=True, carrier=True),
    }
    assert list(wiring.resetting(HOST, links, {5: HOST.nics[1]})) == [
        "link set lo down",
        "addr flush dev lo",
        "link set uplink down nomaster",
        "addr flush dev uplink",
        "link set uplink name eth1",
        "link set eth1 mtu 9000 address 02:aa:00:00:00:01",
        "link del br0",
    ]
