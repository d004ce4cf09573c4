"""A real Debian host under QEMU: who it is, what its cables carry, and what a real reboot keeps.

One machine serves all tests here. It goes on from a frozen one; what a boot does is shown by the reboot.
"""

import ctypes
import json
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from grappe.twin.guest import default_cache_dir
from grappe.twin.machine import Card, Hardware, Identity, Vm, ensure_frozen, ensure_machine, thaw

CLONE_NEWNET = 0x40000000
HERE, THERE = "10.66.0.254/24", "10.66.0.11/24"
CARDS = (
    Card("eno1", "02:00:00:00:01:01"),
    Card("eth1", "02:00:00:00:01:02"),
    Card("eth0", "02:00:00:00:01:03"),
)
INSTALLER = f"""\
auto lo
iface lo inet loopback

allow-hotplug eno1
iface eno1 inet static
\taddress {THERE}
"""
BRIDGE = """\
auto br0
allow-ovs br0
iface br0 inet manual
\tovs_type OVSBridge
\tovs_ports eth0 mgmt99

allow-br0 eth0
iface eth0 inet manual
\tovs_bridge br0
\tovs_type OVSPort
\tovs_options trunks=99

allow-br0 mgmt99
iface mgmt99 inet static
\tovs_bridge br0
\tovs_type OVSIntPort
\tovs_options tag=99
\taddress 10.99.0.11/24
"""

Result = TypeVar("Result")


@dataclass
class Rack:
    """A machine, the network namespace around it (kept by one thread), and the far ends of its cables."""

    vm: Vm
    folder: Path
    room: ThreadPoolExecutor

    def here(self, work: Callable[[], Result]) -> Result:
        return self.room.submit(work).result()

    def program(self, *argv: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        def work() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )

        return self.here(work)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return self.here(lambda: subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))

    def way(self) -> list[str]:
        """The words before a command on the machine."""
        options = [
            f"UserKnownHostsFile={self.folder}/known",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
            "ConnectTimeout=2",
        ]
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "none", *words, "-i", f"{self.folder}/key", f"root@{THERE.split('/')[0]}"]

    def ssh(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.program(*self.way(), *argv, stdin=stdin)

    def told(self, *argv: str, stdin: str = "") -> str:
        done = self.ssh(*argv, stdin=stdin)
        assert done.returncode == 0, (argv, done)
        return done.stdout

    def wait_boot(self, *, other_than: str = "", limit: float = 240) -> str:
        """The identifier of a boot that SSH answers from, other than an earlier one."""
        deadline = time.monotonic() + limit
        while True:
            done = self.ssh("cat", "/proc/sys/kernel/random/boot_id")
            if done.returncode == 0 and done.stdout != other_than:
                return done.stdout
            last = self.folder / "state/console.log"
            assert self.vm.running(), f"the machine is off: {last.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"no SSH: {done}; console: {last.read_text()[-2000:]}"
            select.select([], [], [], 0.2)


def identity(folder: Path) -> Identity:
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    public = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"{THERE.split('/')[0]} {public}")
    return Identity(
        "node1", INSTALLER, (folder / "host").read_text(), public, (folder / "key.pub").read_text()
    )


def enter_new_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNET) == 0, f"a network namespace needs root: errno {ctypes.get_errno()}"
    for card in CARDS:
        far, near = ("name", f"far-{card.name}", "mtu", "9216"), ("name", f"near-{card.name}", "mtu", "9216")
        subprocess.run(["ip", "link", "add", *far, "type", "veth", "peer", *near], check=True)
        for end in ("far", "near"):
            subprocess.run(["ip", "link", "set", f"{end}-{card.name}", "up"], check=True)
    subprocess.run(["ip", "address", "add", HERE, "dev", "far-eno1"], check=True)


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    folder, cache = tmp_path_factory.mktemp("machine"), default_cache_dir()
    image = ensure_machine(cache, libvirt=False)
    frozen = ensure_frozen(cache, image, memory_mib=768, cpus=1)
    cables = {card.name: f"near-{card.name}" for card in CARDS}
    vm = Vm(Hardware("node1", 768, 1, CARDS), identity(folder), cables, folder / "state")
    with ThreadPoolExecutor(max_workers=1, initializer=enter_new_network) as room:
        made = Rack(vm, folder, room)
        try:
            made.here(lambda: thaw(vm, frozen, image, cache))
            made.wait_boot()
            yield made
        finally:
            vm.power_off()


def test_the_machine_is_who_it_was_told_to_be(rack: Rack) -> None:
    assert rack.told("hostname") == "node1\n"
    assert rack.told("cat", "/etc/network/interfaces") == INSTALLER
    shown = {one["ifname"]: one for one in json.loads(rack.told("ip", "-j", "link"))}
    assert {(card.name, shown[card.name]["address"]) for card in CARDS} == {
        (card.name, card.mac) for card in CARDS
    }


def test_every_unit_of_the_boot_succeeded(rack: Rack) -> None:
    assert rack.told("systemctl", "is-system-running", "--wait") == "running\n"


# What a cable must carry: destination, what follows the source, size of the whole frame.
FRAMES = {
    "jumbo with two tags": ("ffffffffffff", "88a80064" + "81000063" + "88b5", 9022),
    "LACP": ("0180c2000002", "880901", 124),
    "spanning tree": ("0180c2000000", "0026424203", 60),
    "LLDP": ("0180c200000e", "88cc", 60),
    "for another host": ("020000000999", "88b5", 60),
}
SOURCE = "020000aaaaaa"

LISTEN = """
import json, socket, struct, sys, time
link, source, count, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), time.monotonic() + 20
line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
line.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: a tag that was taken off the frame is told there
line.setsockopt(263, 1, struct.pack("iHH8s", socket.if_nametoindex(link), 1, 0, b""))  # promiscuous
line.bind((link, 3))
line.settimeout(1)
print("listening", flush=True)
heard = []
while len(heard) < count and time.monotonic() < limit:
    try:
        frame, notes, _, address = line.recvmsg(65536, 256)
    except TimeoutError:
        continue
    if frame[6:12].hex() != source or address[2] == 4:
        continue
    for _, _, data in notes:
        status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
        if status & 16:
            frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    heard.append([frame.hex()[:48], len(frame)])
print(json.dumps(heard), flush=True)
"""

SEND = """
import socket, sys
line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
line.bind((sys.argv[1], 0))
for start, size in (word.split(":") for word in sys.argv[2:]):
    line.send(bytes.fromhex(start).ljust(int(size), bytes(1)))
"""

# Ask by ARP on one VLAN after the other, again and again, until a tag answers; print it.
ASK = """
import socket, struct, sys, time
link, source, address, *vlans = sys.argv[1:]
line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
line.setsockopt(263, 8, 1)
line.setsockopt(263, 1, struct.pack("iHH8s", socket.if_nametoindex(link), 1, 0, b""))
line.bind((link, 3))
line.settimeout(1)
mac, deadline = bytes.fromhex(source), time.monotonic() + 20
asked = bytes.fromhex("0001080006040001") + mac + bytes(10) + socket.inet_aton(address)
while time.monotonic() < deadline:
    for vlan in vlans:
        line.send(bytes([255] * 6) + mac + struct.pack("!HHH", 0x8100, int(vlan), 0x0806) + asked)
    try:
        frame, notes, _, _ = line.recvmsg(65536, 256)
    except TimeoutError:
        continue
    if frame[:6] == mac:
        print(*(struct.unpack("IIIHHHH", data[:20])[5] for _, _, data in notes))
        break
"""


def frames() -> list[tuple[str, int]]:
    return [((to + SOURCE + rest).ljust(48, "0"), size) for to, rest, size in FRAMES.values()]


def heard(rack: Rack, listen: Sequence[str], send: Sequence[str]) -> list[tuple[str, int]]:
    """What `listen` (words before a Python program's arguments) hears while `send` sends all frames."""
    arguments = [SOURCE, str(len(FRAMES))]
    listener = rack.start(*listen, *arguments)
    assert listener.stdout is not None
    assert listener.stdout.readline() == "listening\n"
    sent = rack.program(*send, *(f"{start}:{size}" for start, size in frames()))
    assert sent.returncode == 0, sent
    out, _ = listener.communicate(timeout=40)
    return [(start, size) for start, size in json.loads(out)]


def test_every_frame_passes_a_cable_whole_in_both_directions(rack: Rack) -> None:
    rack.told("ip", "link", "set", "eth1", "mtu", "9100", "up")
    listen, send = shlex.join(["python3", "-c", LISTEN, "eth1"]), shlex.join(["python3", "-c", SEND, "eth1"])
    outward = heard(rack, ["python3", "-c", LISTEN, "far-eth1"], [*rack.way(), send])
    assert outward == frames()
    inward = heard(rack, [*rack.way(), listen], ["python3", "-c", SEND, "far-eth1"])
    assert inward == frames()


def test_a_pulled_cable_is_a_lost_carrier_inside(rack: Rack) -> None:
    rack.told("ip", "link", "set", "eth1", "up")
    carrier = "/sys/class/net/eth1/carrier"
    assert rack.told("cat", carrier) == "1\n"
    rack.vm.plug("eth1", up=False)
    assert rack.told("cat", carrier) == "0\n"
    rack.vm.plug("eth1", up=True)
    assert rack.told("cat", carrier) == "1\n"


def test_a_nic_that_is_not_there_is_named(rack: Rack) -> None:
    with pytest.raises(KeyError, match="no NIC 'eth7'; it has: eno1, eth1, eth0"):
        rack.vm.plug("eth7", up=False)


def test_a_bridge_written_for_the_next_boot_is_there_after_a_real_reboot(rack: Rack) -> None:
    before = rack.wait_boot()
    rack.told("tee", "/etc/network/interfaces.d/br0", stdin=BRIDGE)
    rack.told("tee", "-a", "/etc/network/interfaces", stdin="\nsource /etc/network/interfaces.d/*\n")
    rack.ssh("systemctl", "reboot")
    rack.wait_boot(other_than=before)
    assert rack.told("ovs-vsctl", "list-ports", "br0").split() == ["eth0", "mgmt99"]
    assert rack.told("ovs-vsctl", "get", "port", "mgmt99", "tag") == "99\n"
    assert rack.told("ovs-vsctl", "get", "interface", "eth0", "error") == "[]\n"
    assert "10.99.0.11/24" in rack.told("ip", "-br", "address", "show", "dev", "mgmt99")
    asked = rack.program("python3", "-c", ASK, "far-eth0", SOURCE, "10.99.0.11", "98", "100", "99")
    assert asked.stdout == "99\n", asked


def test_the_power_button_ends_the_machine(rack: Rack) -> None:
    rack.vm.press_power_button()
    deadline = time.monotonic() + 60
    while rack.vm.running():
        assert time.monotonic() < deadline, (rack.folder / "state/console.log").read_text()[-2000:]
        select.select([], [], [], 0.1)
