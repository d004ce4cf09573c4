"""The test guest's command line: the same that its builder reads, with VLANs of trunks filled in."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import pytest

from grappe.model.site import Network, PortGroup, Site, TestGuest, Vm, VmNic
from grappe.model.units import Bytes, Mac, Mtu, VlanId
from grappe.platforms.kvm.testguest import cmdline
from grappe.twin.guest import GuestNic
from grappe.twin.guest import cmdline as builders_cmdline

LAN = Network(
    name="lan",
    fabric="f",
    subnets=(IPv4Network("10.0.0.0/24"), IPv6Network("fd00::/64")),
    gateways=(IPv4Address("10.0.0.254"),),
)
WEB = Network(name="web", fabric="f", vlan=VlanId(10), mtu=Mtu(9000), subnets=(IPv4Network("10.0.10.0/24"),))
NIC = VmNic(
    fabric="f",
    port_group="both",
    network="lan",
    mac=Mac("52:54:00:00:00:01"),
    addresses=(IPv4Interface("10.0.0.1/24"), IPv6Interface("fd00::1/64"), IPv4Interface("10.0.10.1/24")),
    mtu=Mtu(9000),
)
VM = Vm(name="web 1", pool="p", host="h", vcpus=1, memory=Bytes(1), boot=TestGuest(), nics=(NIC,))
SITE = Site(
    name="s",
    networks={n.name: n for n in (LAN, WEB)},
    port_groups={("f", "both"): PortGroup(name="both", fabric="f", native="lan", tagged=("web",))},
    vms={VM.name: VM},
)


def test_it_is_what_the_guests_builder_writes() -> None:
    mac = str(NIC.mac)
    nics = [
        GuestNic(mac, IPv4Interface("10.0.0.1/24"), gateway=IPv4Address("10.0.0.254"), mtu=1500),
        GuestNic(mac, IPv6Interface("fd00::1/64"), mtu=1500),
        GuestNic(mac, IPv4Interface("10.0.10.1/24"), vlan=10, mtu=9000),
    ]
    assert cmdline(SITE, VM) == builders_cmdline("web-1", nics)


def test_a_guest_has_one_default_gateway_and_never_itself() -> None:
    twice = replace(VM, nics=(NIC, replace(NIC, mac=Mac("52:54:00:00:00:02"))))
    assert cmdline(SITE, twice).count("10.0.0.254") == 1
    router = replace(NIC, addresses=(IPv4Interface("10.0.0.254/24"),))
    assert ",10.0.0.254," not in cmdline(SITE, replace(VM, nics=(router,)))


def test_a_line_that_the_kernel_would_cut_short_is_refused() -> None:
    with pytest.raises(ValueError, match="limit 2047"):
        cmdline(SITE, replace(VM, nics=(NIC,) * 20))


@pytest.mark.parametrize(
    ("name", "host"), [("a_b", "a-b"), ("-x-", "x"), ("é", "guest"), ("n" * 99, "n" * 63)]
)
def test_any_name_becomes_a_host_name(name: str, host: str) -> None:
    assert f"grappe.hostname={host} " in cmdline(SITE, replace(VM, name=name))
