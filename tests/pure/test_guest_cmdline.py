from ipaddress import IPv4Address, ip_interface

import pytest

from grappe.twin.guest.cmdline import GuestNic, cmdline

MAC = "52:54:00:00:00:01"


def nic(gateway: IPv4Address | None = None, vlan: int | None = None, mtu: int | None = None) -> GuestNic:
    return GuestNic(MAC, ip_interface("10.0.0.2/24"), gateway, vlan, mtu)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (nic(), f"{MAC},10.0.0.2/24"),
        (nic(gateway=IPv4Address("10.0.0.1")), f"{MAC},10.0.0.2/24,10.0.0.1"),
        (nic(vlan=12), f"{MAC},10.0.0.2/24,,12"),
        (nic(mtu=9000), f"{MAC},10.0.0.2/24,,,9000"),
        (nic(gateway=IPv4Address("10.0.0.1"), vlan=7, mtu=1400), f"{MAC},10.0.0.2/24,10.0.0.1,7,1400"),
        (GuestNic(MAC.upper(), ip_interface("fd00::2/64")), f"{MAC},fd00::2/64"),
    ],
)
def test_a_nic_is_one_word_whose_empty_fields_keep_their_place(given: GuestNic, word: str) -> None:
    assert given.word() == word


def test_the_line_names_the_guest_and_every_address() -> None:
    words = cmdline("web-1", [nic(), nic(vlan=5)]).split()
    assert "grappe.hostname=web-1" in words
    assert [word for word in words if word.startswith("grappe.nic=")] == [
        f"grappe.nic={MAC},10.0.0.2/24",
        f"grappe.nic={MAC},10.0.0.2/24,,5",
    ]
    assert {"console=ttyS0", "panic=-1"} <= set(words)


@pytest.mark.parametrize("name", ["", "a b", "a;reboot", "-a", "a-", "x" * 65])
def test_a_host_name_that_the_guest_could_misread_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        cmdline(name, [])


def test_a_malformed_mac_is_refused() -> None:
    with pytest.raises(ValueError, match="'52:54' is not a MAC address"):
        cmdline("a", [GuestNic("52:54", ip_interface("10.0.0.2/24"))])


def test_a_line_that_the_kernel_would_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="limit 2047"):
        cmdline("a", [nic(vlan=number) for number in range(1, 100)])
