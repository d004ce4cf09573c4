"""What is written for a machine before any program runs: its seed, QEMU's words, the order of its cards."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grappe.twin.machine.contents import files as image_files
from grappe.twin.machine.contents import packages
from grappe.twin.machine.frozen import batches, become, brought_up_at_boot, tar
from grappe.twin.machine.qemu import Hardware, argv, cards, device, netdev, option
from grappe.twin.machine.seed import Card, Identity, files, joined, machine_id, seed

ENO1, ETH0, ETH1 = (
    Card("eno1", "02:00:00:00:00:01"),
    Card("eth0", "02:00:00:00:00:02", 9000),
    Card("eth1", "02:00:00:00:00:03"),
)
WHO = Identity("node1.example.org", "auto lo\n", "PRIVATE\n", "ssh-ed25519 AAAA\n", "ssh-ed25519 BBBB me")


def unpacked(archive: bytes, folder: Path) -> Path:
    subprocess.run(["cpio", "-i", "--quiet"], input=archive, cwd=folder, check=True)
    return folder / "seed"


def test_the_seed_holds_the_cards_and_every_file_with_its_mode(tmp_path: Path) -> None:
    found = unpacked(seed(WHO, [ENO1, ETH0]), tmp_path)
    assert (found / "nics").read_text() == "02:00:00:00:00:01 eno1 1500\n02:00:00:00:00:02 eth0 9000\n"
    assert (found / "disk/etc/hostname").read_text() == "node1.example.org\n"
    assert "127.0.1.1\tnode1.example.org node1\n" in (found / "disk/etc/hosts").read_text()
    assert (found / "disk/root/.ssh/authorized_keys").read_text() == "ssh-ed25519 BBBB me\n"
    modes = {path: (found / "disk" / path).stat().st_mode & 0o777 for path in files(WHO, [ENO1])}
    assert {path for path, mode in modes.items() if mode == 0o600} == {
        "etc/ssh/ssh_host_grappe_key",
        "root/.ssh/authorized_keys",
    }
    assert (found / "disk/root/.ssh").stat().st_mode & 0o777 == 0o700


def test_the_same_files_come_by_tar_to_a_thawed_machine() -> None:
    found = files(WHO, [ENO1])
    with tarfile.open(fileobj=io.BytesIO(tar(found))) as archive:
        told = {entry.name: (entry.mode, entry.uid) for entry in archive.getmembers()}
        key = archive.extractfile("etc/ssh/ssh_host_grappe_key")
        assert key is not None
        assert key.read() == b"PRIVATE\n"
    assert told == {path: (mode, 0) for path, (mode, _) in found.items()}


def test_the_image_trusts_the_key_that_the_seed_brings() -> None:
    assert "HostKey /etc/ssh/ssh_host_grappe_key\n" in image_files()["etc/ssh/sshd_config.d/grappe.conf"]


def test_no_secret_is_in_what_is_typed_on_the_console() -> None:
    assert "PRIVATE" not in become(WHO, (ENO1,), 0.0)
    assert "date -s @12.500\n" in become(WHO, (ENO1,), 12.5)


def test_a_link_file_sets_only_an_mtu_that_is_not_the_usual() -> None:
    found = files(WHO, [ENO1, ETH0])
    assert "PermanentMACAddress=02:00:00:00:00:01\n" in found["etc/systemd/network/10-eno1.link"][1]
    assert "MTUBytes" not in found["etc/systemd/network/10-eno1.link"][1]
    assert "MTUBytes=9000\n" in found["etc/systemd/network/10-eth0.link"][1]


def test_a_machine_is_another_one_with_another_name_or_mac() -> None:
    numbers = {machine_id("a", [ENO1]), machine_id("b", [ENO1]), machine_id("a", [ETH0])}
    assert len(numbers) == 3
    assert machine_id("a", [Card("x", ENO1.mac.upper())]) in numbers


def test_a_second_archive_starts_on_a_block() -> None:
    assert joined(b"x" * 513, b"more").index(b"more") == 1024
    assert joined(b"x" * 512, b"more").index(b"more") == 512


def test_libvirt_is_only_in_the_image_that_is_to_have_it() -> None:
    assert "libvirt-daemon-system" in packages(libvirt=True)
    assert not [name for name in packages(libvirt=False) if "libvirt" in name or "qemu" in name]


def test_qemu_gets_a_tap_and_a_slot_per_card() -> None:
    hardware = Hardware("node1", 512, 2, (ENO1, ETH0))
    words = cards(hardware)
    assert words[:2] == ["-netdev", "tap,id=tap0,ifname=tap0,script=no,downscript=no"]
    assert "mac=02:00:00:00:00:02" in words[7]
    assert ",bus=slot1," in words[7]
    assert ",csum=off," in words[7]
    started = argv(hardware, qemu="qemu", kernel=Path("/k"), monitor_fd=9, accel="tcg")
    assert started[0] == "qemu"
    assert "-S" in started
    assert started[started.index("-m") + 1] == "512"
    assert [word for word in started if "slot1," in word]


def test_a_card_put_in_later_is_the_card_of_a_cold_start() -> None:
    hardware = Hardware("node1", 512, 1, (ENO1,))
    assert netdev(hardware, ENO1)["id"] == device(hardware, ENO1)["netdev"]
    assert cards(hardware)[3] == option(device(hardware, ENO1), "driver")


def test_a_comma_in_an_option_is_doubled() -> None:
    assert (
        option({"driver": "d", "file": "a,b", "on": True, "number": 3}, "driver")
        == "d,file=a,,b,on=on,number=3"
    )


@pytest.mark.parametrize(
    ("given_cards", "expected"),
    [
        ([], []),
        ([ENO1], [["eno1"]]),
        ([ETH1, ENO1, ETH0], [["eth0"], ["eth1"], ["eno1"]]),
        ([ENO1, Card("ens4", "02:00:00:00:00:04")], [["eno1", "ens4"]]),
    ],
)
def test_a_card_with_a_kernels_name_goes_in_alone_and_first(
    given_cards: list[Card], expected: list[list[str]]
) -> None:
    assert [[card.name for card in batch] for batch in batches(given_cards)] == expected


@given(st.lists(st.from_regex(r"(eth|ens)\d{1,2}", fullmatch=True), unique=True, max_size=8))
def test_every_card_goes_in_once(names: list[str]) -> None:
    given_cards = [Card(name, f"02:00:00:00:00:{at:02x}") for at, name in enumerate(names)]
    assert sorted(card.name for batch in batches(given_cards) for card in batch) == sorted(names)


def test_what_comes_up_at_boot_is_what_is_called_auto() -> None:
    text = "auto lo eno1\n# auto no\nallow-auto br0\nallow-hotplug eno2\niface eno1 inet manual\n\tup auto\n"
    assert brought_up_at_boot(text) == {"lo", "eno1", "br0"}
