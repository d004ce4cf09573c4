"""Two real guests on one wire: who answers, on which VLAN, with which frame size, and how they end."""

import json
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path

import pytest

from grappe.twin.guest import Console, GuestFiles, GuestNic, cmdline, default_cache_dir, ensure_guest

MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")


@dataclass
class Guest:
    process: subprocess.Popen[bytes]
    console: Console
    disk: Path
    qmp: Path

    def errand(self, path: str) -> tuple[bool, str]:
        told = self.console.run(f"wget -q -O - 'http://127.0.0.1/cgi-bin/{path}'").out
        answer = json.loads(told)
        return answer["ok"], answer["answer"]


def nics(number: int) -> list[GuestNic]:
    mac = MACS[number - 1]
    return [
        GuestNic(mac, ip_interface(f"10.9.7.{number}/24"), vlan=7, mtu=9000),
        GuestNic(mac, ip_interface(f"10.9.0.{number}/24")),
        GuestNic(mac, ip_interface(f"fd00::{number}/64")),
    ]


def boot(files: GuestFiles, number: int, wire: socket.socket, folder: Path) -> Guest:
    name = ("alpha", "beta")[number - 1]
    disk, qmp = folder / f"{name}.raw", folder / f"{name}.qmp"
    disk.write_bytes(bytes(1 << 20))
    argv = [
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-m",
        "96",
        "-display",
        "none",
        "-nodefaults",
        "-no-reboot",
    ]
    argv += [
        "-kernel",
        str(files.kernel),
        "-initrd",
        str(files.initrd),
        "-append",
        cmdline(name, nics(number)),
    ]
    argv += ["-serial", "stdio", "-qmp", f"unix:{qmp},server=on,wait=off"]
    argv += ["-netdev", f"socket,id=wire,fd={wire.fileno()}"]
    argv += ["-device", f"virtio-net-pci,netdev=wire,mac={MACS[number - 1]},romfile="]
    argv += ["-drive", f"if=virtio,format=raw,file={disk}"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        argv, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, pass_fds=[wire.fileno()]
    )
    assert process.stdout is not None
    assert process.stdin is not None
    return Guest(process, Console(process.stdout, process.stdin), disk, qmp)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Guest]]:
    files, folder = ensure_guest(default_cache_dir()), tmp_path_factory.mktemp("guests")
    ends = socket.socketpair()
    guests = [boot(files, number, end, folder) for number, end in enumerate(ends, start=1)]
    for end in ends:
        end.close()
    try:
        for guest in guests:
            guest.console.wait_for(rb"guest \w+ ready", 60)
        yield guests
    finally:
        for guest in guests:
            guest.process.kill()
            guest.process.communicate()


@pytest.mark.parametrize("address", ["10.9.0.2", "10.9.7.2", "fd00::2"])
def test_a_guest_reaches_the_other_by_tcp_and_ping(pair: list[Guest], address: str) -> None:
    assert pair[0].errand(f"tcp?host={address}&port=7") == (True, "beta")
    assert pair[0].errand(f"fetch?host={address}") == (True, "262144")
    ok, text = pair[0].errand(f"ping?host={address}&count=2")
    assert ok, text


def test_only_the_vlan_with_its_mtu_carries_a_jumbo_frame_whole(pair: list[Guest]) -> None:
    before = fragments_made(pair[0])
    assert pair[0].errand("ping?host=10.9.7.2&size=8972&count=2")[0]
    assert fragments_made(pair[0]) == before
    pair[0].errand("ping?host=10.9.7.2&size=8973&count=1")
    assert fragments_made(pair[0]) > before


def fragments_made(guest: Guest) -> int:
    names, values = guest.console.run("grep ^Ip: /proc/net/snmp").out.splitlines()
    return int(dict(zip(names.split(), values.split(), strict=True))["FragCreates"])


def test_an_errand_that_fails_says_so(pair: list[Guest]) -> None:
    assert pair[0].errand("tcp?host=10.9.0.99&timeout=1") == (False, "nc: timed out")
    ok, text = pair[0].errand("tcp?host=10.9.0.2&port=9")
    assert not ok
    assert "refused" in text
    assert not pair[0].errand("ping?host=10.9.0.99&timeout=1")[0]


def test_an_errand_passes_nothing_to_a_shell(pair: list[Guest]) -> None:
    pair[0].errand("tcp?host=%3Btouch%20/tmp/owned%3B$(touch%20/tmp/owned)")
    assert pair[0].console.run("test -e /tmp/owned").status == 1


def test_the_counter_on_the_disk_only_grows(pair: list[Guest]) -> None:
    shown = int(pair[0].console.run("cat /www/count").out)
    deadline = time.monotonic() + 10
    while (written := int(pair[0].disk.read_bytes()[:20])) <= shown:
        assert time.monotonic() < deadline, f"the disk still says {written}, shown was {shown}"
        select.select([], [], [], 0.05)
    assert int(pair[0].console.run("cat /www/count").out) >= written


def test_a_guest_without_ipv6_address_sends_no_ipv6(pair: list[Guest]) -> None:
    assert pair[0].console.run("cat /proc/sys/net/ipv6/conf/eth0.7/disable_ipv6").out == "1\n"


def test_the_power_button_ends_a_guest_and_its_number_is_on_the_disk(pair: list[Guest]) -> None:
    last = int(pair[1].console.run("cat /www/count").out)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(pair[1].qmp))
        line.sendall(b'{"execute": "qmp_capabilities"} {"execute": "system_powerdown"}')
        assert pair[1].process.wait(10) == 0
    assert int(pair[1].disk.read_bytes()[:20]) >= last
