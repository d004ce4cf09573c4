"""The laboratory, on the real thing: namespaces, Open vSwitch, libvirtd, sshd, ssh."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import grappe
from grappe.twin import control
from grappe.twin.blueprint import (
    Blueprint,
    Cable,
    End,
    Foothold,
    Nic,
    Node,
    Operator,
    Segment,
    Stanza,
    to_json,
)
from grappe.twin.errors import TwinError
from grappe.twin.lab import Lab, is_up
from grappe.twin.settings import Folder

ROOT = os.geteuid() == 0


def blueprint(name: str = "bench", hosts: int = 2) -> Blueprint:
    """Hosts with a management NIC, a NIC at the switch and a direct cable with MTU 1500; one switch."""
    nodes = [
        Node(
            f"h{at}",
            nics=(Nic("eth0"), Nic("eth1", mac=f"02:aa:00:00:01:0{at}"), Nic("eth2", mtu=9000), Nic("eth3")),
            installer=(Stanza("eth0", f"192.0.2.{at}/24", "192.0.2.254"),),
        )
        for at in range(1, hosts + 1)
    ]
    ports = tuple(Nic(f"sfp{at}") for at in range(1, hosts + 1))
    switch = Node(
        "sw",
        "switch",
        nics=(Nic("mgmt"), *ports),
        installer=(Stanza("mgmt", "192.0.2.241/24", start="auto"),),
        libvirt=False,
    )
    cables = [Cable(End(f"h{at}", "eth1"), End("sw", f"sfp{at}")) for at in range(1, hosts + 1)]
    cables += [Cable(End(one.name, one.nics[0].name), "office") for one in (*nodes, switch)]
    if hosts > 1:
        cables.append(Cable(End("h1", "eth2"), End("h2", "eth2"), mtu=1500))
    operator = Operator((Foothold("office", "192.0.2.250/24"), Foothold("office", "192.0.2.254/24")))
    return Blueprint(name, (*nodes, switch), tuple(cables), (Segment("office"),), operator)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Short, and readable by another user; pytest's own directories are neither.
    path = Path(tempfile.mkdtemp(prefix="lab-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextmanager
def running(plan: Blueprint, home: Path, state: str = "", **options: object) -> Iterator[Lab]:
    lab = Lab.up(plan, home / (state or plan.name), cache_dir=home / "cache", **options)  # type: ignore[arg-type]
    try:
        yield lab
    finally:
        if lab.folder.path.exists():
            lab.down()


@pytest.fixture(scope="module")
def lab(home: Path) -> Iterator[Lab]:
    with running(blueprint(), home) as up:
        yield up


def ssh(lab: Lab, node: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    argv = ["ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", "-o", "ControlPath=none", node, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=check, timeout=30)


def on(lab: Lab, node: str, *argv: str) -> str:
    done = lab.exec(node, argv)
    assert done.returncode == 0, f"{node}: {' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout


def answers(lab: Lab, address: str) -> bool:
    """Whether an address answers one ping of the operator's."""
    argv = lab.operator_argv(["ping", "-c1", "-W1", address])
    return subprocess.run(argv, capture_output=True, timeout=30).returncode == 0


def until(what: str, seen: Callable[[], object], wanted: object, limit: float = 10.0) -> None:
    end = time.monotonic() + limit
    while (last := seen()) != wanted:
        assert time.monotonic() < end, f"{what}: wanted {wanted!r}, last seen {last!r}"
        time.sleep(0.02)


def light(lab: Lab, node: str, nic: str) -> tuple[bool, bool]:
    """Whether a NIC is up, and whether it has carrier, as the node itself sees it."""
    flags = json.loads(on(lab, node, "ip", "-j", "link", "show", "dev", nic))[0]["flags"]
    return "UP" in flags, "LOWER_UP" in flags


# What a newcomer finds


def test_every_node_answers_ssh_as_itself(lab: Lab) -> None:
    for node in ("h1", "h2", "sw"):
        assert ssh(lab, node, "hostname", "&&", "id", "-un").stdout.split() == [node, "root"]


def test_ssh_refuses_a_node_with_another_host_key(lab: Lab) -> None:
    as_other = ["-o", "HostKeyAlias=h2"]
    done = subprocess.run(
        ["ssh", "-F", str(lab.ssh_config), *as_other, "h1", "true"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 255
    assert "HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_ssh_gives_a_terminal_and_a_shared_connection(lab: Lab, home: Path) -> None:
    master = ["ssh", "-F", str(lab.ssh_config), "-o", f"ControlPath={home}/m", "-o", "ControlMaster=auto"]
    first = subprocess.run(
        [*master, "-o", "ControlPersist=30", "-tt", "h1", "tty"], capture_output=True, text=True, timeout=30
    )
    assert first.stdout.startswith("/dev/pts/"), first.stderr
    again = subprocess.run([*master, "h1", "hostname"], capture_output=True, text=True, timeout=30)
    assert again.stdout == "h1\n"
    subprocess.run([*master, "-O", "exit", "h1"], capture_output=True, check=True, timeout=30)


def test_nodes_reach_each_other_and_the_operator_over_management(lab: Lab) -> None:
    on(lab, "h1", "ping", "-c1", "-W5", "192.0.2.2")
    on(lab, "sw", "ping", "-c1", "-W5", "192.0.2.254")
    subprocess.run(lab.operator_argv(["ping", "-c1", "-W5", "192.0.2.241"]), check=True, capture_output=True)


def test_a_fresh_host_has_what_debian_and_the_installer_leave_and_no_more(lab: Lab) -> None:
    assert on(lab, "sw", "ovs-vsctl", "list-br") == ""
    assert on(lab, "h1", "ovs-vsctl", "list-br") == ""
    assert on(lab, "h1", "virsh", "net-list", "--all", "--name").split() == ["default"]
    assert on(lab, "h1", "virsh", "net-list", "--name").split() == []
    assert "iface eth0 inet static\n\taddress 192.0.2.1/24" in on(lab, "h1", "cat", "/etc/network/interfaces")
    links = {one["ifname"]: one for one in json.loads(on(lab, "h1", "ip", "-j", "addr"))}
    assert {name: one["mtu"] for name, one in links.items() if name.startswith("eth")} == {
        "eth0": 1500,
        "eth1": 1500,
        "eth2": 9000,
        "eth3": 1500,
    }
    assert links["eth1"]["address"] == "02:aa:00:00:01:01"
    assert [one for one in links if links[one]["addr_info"]] == ["lo", "eth0"]
    assert all("UP" not in links[nic]["flags"] for nic in ("eth1", "eth2", "eth3"))
    assert on(lab, "h1", "ip", "route", "show", "default").startswith("default via 192.0.2.254 dev eth0")


def test_a_node_sees_its_own_files_and_processes_only(lab: Lab) -> None:
    assert lab.exec("h1", ["touch", "/usr/made-here"]).returncode != 0
    on(lab, "h1", "touch", "/var/lib/made-here", "/run/made-here", "/etc/made-here")
    assert lab.exec("h2", ["ls", "/var/lib/made-here"]).returncode != 0
    assert not Path("/run/made-here").exists()
    assert set(on(lab, "sw", "ps", "-eo", "comm=").split()) >= {"ovsdb-server", "ovs-vswitchd", "sshd"}
    assert "libvirtd" not in on(lab, "sw", "ps", "-eo", "comm=")
    uuids = {ssh(lab, node, "virsh", "capabilities").stdout.split("<uuid>")[1][:36] for node in ("h1", "h2")}
    assert len(uuids) == 2


def test_status_names_nodes_services_addresses_and_cables(lab: Lab) -> None:
    status = lab.status()
    h1 = next(one for one in status.nodes if one.name == "h1")
    assert (h1.state, h1.ssh, h1.addresses) == ("ready", "192.0.2.1", ("eth0 192.0.2.1/24",))
    assert h1.services == {"ovsdb-server": True, "ovs-vswitchd": True, "sshd": True, "libvirtd": True}
    cables = {(one.a, one.b): (one.plugged, one.carrier) for one in status.cables}
    assert cables["h1/eth0", "office"] == (True, True)
    assert cables["h1/eth2", "h2/eth2"] == (True, False)  # nobody has brought these NICs up


# Cables

_LISTEN = """
import socket, sys
line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
line.bind((sys.argv[1], 0))
line.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the tag is taken off the frame
line.settimeout(float(sys.argv[3]))
print("listening", flush=True)
try:
    while True:
        data, extra, _, sender = line.recvmsg(16384, 256)
        if sender[2] != 4 and sys.argv[2].encode() in data:
            tag = int.from_bytes(extra[0][2][16:18], sys.byteorder) if extra[0][2][0] & 16 else 0
            print(data[:6].hex(), len(data), tag, flush=True)
            break
except TimeoutError:
    print("nothing", flush=True)
"""
_SAY = """
import socket, sys
line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
line.bind((sys.argv[1], 0))
line.send(bytes.fromhex(sys.argv[2]) + sys.argv[3].encode().ljust(int(sys.argv[4]), b"."))
"""


def heard(lab: Lab, to: End, by: End, head: str, size: int = 60, wait: float = 5.0) -> str:
    """What `by` hears of a frame that `to` sends: destination, length, VLAN; or "nothing"."""
    word = f"{time.monotonic_ns()}"
    listener = subprocess.Popen(
        lab.shell_argv(by.node, ["python3", "-c", _LISTEN, by.nic, word, str(wait)]),
        stdout=subprocess.PIPE,
        text=True,
    )
    with listener:
        assert listener.stdout
        assert listener.stdout.readline() == "listening\n"
        on(lab, to.node, "python3", "-c", _SAY, to.nic, head, word, str(size))
        return listener.stdout.read().strip()


def test_a_cable_passes_every_frame_as_it_is(lab: Lab) -> None:
    on(lab, "h1", "ip", "link", "set", "eth1", "mtu", "9000", "up")
    on(lab, "sw", "ip", "link", "set", "sfp1", "mtu", "9000", "up")
    until("carrier", lambda: light(lab, "sw", "sfp1"), (True, True))
    h1, sw = End("h1", "eth1"), End("sw", "sfp1")
    source = "02aa00000101"
    assert heard(lab, h1, sw, f"ffffffffffff{source}88b5") == "ffffffffffff 74 0"
    assert heard(lab, sw, h1, f"ffffffffffff{source}8100000a88b5") == "ffffffffffff 74 10"
    assert heard(lab, h1, sw, f"0180c2000002{source}8809") == "0180c2000002 74 0"  # LACP
    assert heard(lab, h1, sw, f"0180c2000000{source}0026424203") == "0180c2000000 77 0"  # spanning tree
    assert heard(lab, h1, sw, f"ffffffffffff{source}88b5", size=9000) == "ffffffffffff 9014 0"
    assert heard(lab, sw, h1, f"ffffffffffff{source}88b5", size=9000) == "ffffffffffff 9014 0"


def test_a_cable_that_lets_less_through_drops_what_is_larger(lab: Lab) -> None:
    for node in ("h1", "h2"):
        on(lab, node, "ip", "link", "set", "eth2", "up")
    until("carrier", lambda: light(lab, "h2", "eth2"), (True, True))
    h1, h2 = End("h1", "eth2"), End("h2", "eth2")
    assert heard(lab, h1, h2, "ffffffffffff02000000000188b5", size=1500) == "ffffffffffff 1514 0"
    assert heard(lab, h1, h2, "ffffffffffff02000000000188b5", size=1600, wait=0.5) == "nothing"


def test_a_pulled_cable_leaves_both_ends_up_without_carrier(lab: Lab) -> None:
    on(lab, "h2", "ip", "link", "set", "eth1", "up")
    on(lab, "sw", "ip", "link", "set", "sfp2", "up")
    for node, nic in (("h2", "eth1"), ("sw", "sfp2")):
        until("carrier", lambda node=node, nic=nic: light(lab, node, nic), (True, True))  # type: ignore[misc]
    lab.pull_cable("sw", "sfp2")
    for node, nic in (("h2", "eth1"), ("sw", "sfp2")):
        until("no carrier", lambda node=node, nic=nic: light(lab, node, nic), (True, False))  # type: ignore[misc]
    cables = {(one.a, one.b): (one.plugged, one.carrier) for one in lab.status().cables}
    assert cables["h2/eth1", "sw/sfp2"] == (False, False)
    lab.plug_cable("h2", "eth1")
    until("carrier again", lambda: light(lab, "h2", "eth1"), (True, True))
    assert heard(lab, End("h2", "eth1"), End("sw", "sfp2"), "ffffffffffff02000000000188b5").startswith("ffff")


def test_a_nic_that_is_down_takes_the_carrier_from_the_other_end(lab: Lab) -> None:
    for node, nic in (("h2", "eth1"), ("sw", "sfp2")):
        on(lab, node, "ip", "link", "set", nic, "up")
    until("carrier", lambda: light(lab, "h2", "eth1"), (True, True))
    on(lab, "sw", "ip", "link", "set", "sfp2", "down")
    until("no carrier", lambda: light(lab, "h2", "eth1"), (True, False))
    on(lab, "sw", "ip", "link", "set", "sfp2", "up")
    until("carrier again", lambda: light(lab, "h2", "eth1"), (True, True))


def test_a_nic_without_cable_has_no_carrier(lab: Lab) -> None:
    on(lab, "h1", "ip", "link", "set", "eth3", "up")
    assert light(lab, "h1", "eth3") == (True, False)
    with pytest.raises(TwinError, match="h1/eth3: no cable"):
        lab.pull_cable("h1", "eth3")
    with pytest.raises(TwinError, match="h1/eth9: no such NIC"):
        lab.pull_cable("h1", "eth9")


def test_cut_management_cuts_ssh_off_while_the_console_still_works(lab: Lab) -> None:
    lab.cut_management("h2")
    cut = ssh(lab, "h2", "true", check=False)
    assert cut.returncode == 255
    assert "192.0.2.2 port 22" in cut.stderr
    assert on(lab, "h2", "hostname") == "h2\n"
    lab.restore_management("h2")
    until("ssh again", lambda: ssh(lab, "h2", "hostname", check=False).stdout, "h2\n")


# Power


_BRIDGE = """
auto br0
iface br0 inet static
    address 198.51.100.1/24
    ovs_type OVSBridge
    ovs_ports eth1 v12
    ovs_extra set bridge br0 datapath_type=netdev

allow-br0 eth1
iface eth1 inet manual
    ovs_type OVSPort
    ovs_bridge br0
    ovs_options tag=7

allow-br0 v12
iface v12 inet static
    address 203.0.113.1/24
    ovs_type OVSIntPort
    ovs_bridge br0
    ovs_options tag=12
"""


def test_a_power_cycle_keeps_disk_and_loses_memory(lab: Lab) -> None:
    """Bridge, VLAN port, address by ifupdown, storage pool: written by hand, there again after the cut."""
    on(lab, "h1", "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
    on(lab, "h1", "ovs-vsctl", "add-port", "br0", "eth1", "tag=7")
    assert lab.exec("h1", ["tee", "/etc/network/interfaces.d/br0"], input=_BRIDGE).returncode == 0
    for line in ("pool-define-as images dir --target /var/lib/libvirt/images", "pool-autostart images"):
        on(lab, "h1", "virsh", *line.split())
    on(lab, "h1", "touch", "/var/lib/kept", "/etc/kept", "/root/kept", "/run/lost", "/tmp/lost")
    on(lab, "h1", "touch", "/var/lib/libvirt/images/kept")
    on(lab, "h1", "ip", "link", "set", "eth1", "up")
    on(lab, "sw", "ip", "link", "set", "sfp1", "up")
    until("carrier", lambda: light(lab, "sw", "sfp1"), (True, True))

    lab.power_off("h1")
    assert light(lab, "sw", "sfp1") == (True, False)
    assert not answers(lab, "192.0.2.1")
    with pytest.raises(TwinError, match="h1 has no power"):
        lab.exec("h1", ["true"])
    assert {one.name: one.state for one in lab.status().nodes} == {"h1": "off", "h2": "ready", "sw": "ready"}

    lab.power_on("h1")
    addresses = next(one.addresses for one in lab.status().nodes if one.name == "h1")
    assert set(addresses) == {"eth0 192.0.2.1/24", "br0 198.51.100.1/24", "v12 203.0.113.1/24"}
    assert ssh(lab, "h1", "ovs-vsctl", "get", "port", "eth1", "tag").stdout == "7\n"
    until("the pool", lambda: on(lab, "h1", "virsh", "pool-list", "--name").split(), ["images"])
    kept = ("/var/lib/kept", "/etc/kept", "/root/kept", "/var/lib/libvirt/images/kept")
    on(lab, "h1", "ls", *kept)
    for lost in ("/run/lost", "/tmp/lost"):
        assert lab.exec("h1", ["ls", lost]).returncode != 0
    until("carrier", lambda: light(lab, "sw", "sfp1"), (True, True))


def test_power_loss_resets_nics_and_removes_what_was_made_at_run_time(lab: Lab) -> None:
    on(lab, "h2", "ip", "link", "set", "eth3", "mtu", "9000", "up")
    on(lab, "h2", "ip", "addr", "add", "198.51.100.9/24", "dev", "eth3")
    on(lab, "h2", "ip", "link", "add", "extra", "type", "bridge")
    lab.power_off("h2")
    lab.power_on("h2")
    links = {one["ifname"]: one for one in json.loads(on(lab, "h2", "ip", "-j", "addr"))}
    assert not {"extra"} & set(links)
    assert (links["eth3"]["mtu"], links["eth3"]["addr_info"]) == (1500, [])


def test_a_reboot_from_inside_comes_back(lab: Lab) -> None:
    on(lab, "sw", "touch", "/run/lost")
    lab.exec("sw", ["python3", "-c", "import ctypes; ctypes.CDLL(None).reboot(0x01234567)"])
    until("off and on", lambda: lab.status().nodes[-1].state, "ready", limit=20)
    assert lab.exec("sw", ["ls", "/run/lost"]).returncode != 0
    assert ssh(lab, "sw", "hostname").stdout == "sw\n"


# A lab among others


def test_two_labs_stand_side_by_side_with_the_same_addresses(lab: Lab, home: Path) -> None:
    with running(blueprint("other", hosts=1), home) as other:
        on(other, "h1", "touch", "/etc/other")
        assert ssh(other, "h1", "ls", "/etc/other").stdout == "/etc/other\n"
        assert ssh(lab, "h1", "ls", "/etc/other", check=False).returncode != 0
        with pytest.raises(TwinError, match="'other' is up already"):
            Lab.up(blueprint("other", hosts=1), home / "other")
    assert ssh(lab, "h1", "hostname").stdout == "h1\n"


def test_a_lab_survives_the_command_that_brought_it_up(home: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from grappe.twin.lab import Lab;"
        "from grappe.twin.blueprint import from_json;"
        "Lab.up(from_json(sys.stdin.read()), Path(sys.argv[1]), cache_dir=Path(sys.argv[2]))"
    )
    plan = blueprint("left", hosts=1)
    argv = [sys.executable, "-c", program, str(home / "left"), str(home / "cache")]
    subprocess.run(argv, input=to_json(plan), text=True, check=True, timeout=60)
    found = Lab.attach(home / "left")
    try:
        assert found.blueprint == plan
        assert ssh(found, "h1", "hostname").stdout == "h1\n"
    finally:
        found.down()
    with pytest.raises(TwinError, match=r"no twin .* is up"):
        Lab.attach(home / "left")


@dataclass(frozen=True)
class Trace:
    """What a lab has in the kernel: its processes (with the time they started) and its namespaces."""

    processes: frozenset[tuple[int, str]]
    namespaces: frozenset[str]


def everything() -> Trace:
    """Every process and namespace of this machine."""
    processes, namespaces = set(), set()
    for one in Path("/proc").glob("[0-9]*"):
        try:
            started = (one / "stat").read_text().rpartition(")")[2].split()[19]
            namespaces |= {str(space.readlink()) for space in (one / "ns").iterdir()}
        except OSError:  # ended meanwhile, or another user's
            continue
        processes.add((int(one.name), started))
    return Trace(frozenset(processes), frozenset(namespaces))


def trace(lab: Lab) -> Trace:
    """What of this machine is the lab's: whatever is not in our own namespaces below its first process."""
    first = control.lab_pid(lab.folder)
    depth = {first}
    parents = {}
    for one in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(one.name)] = int((one / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    while more := {pid for pid, parent in parents.items() if parent in depth} - depth:
        depth |= more
    depth.add(parents[first])
    own = {str(space.readlink()) for space in Path("/proc/self/ns").iterdir()}
    spaces, processes = set(), set()
    for pid in depth:
        spaces |= {str(space.readlink()) for space in Path(f"/proc/{pid}/ns").iterdir()}
        processes.add((pid, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]))
    return Trace(frozenset(processes), frozenset(spaces - own))


def interfaces_and_mounts() -> tuple[list[str], list[str]]:
    links = sorted(one.name for one in Path("/sys/class/net").iterdir())
    mounts = [line.split(" ", 1)[1] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return links, sorted(mounts)


@pytest.mark.parametrize("end", ["down", "kill the outer process", "kill the first process", "kill them all"])
def test_nothing_is_left(home: Path, end: str) -> None:
    before = interfaces_and_mounts()
    with running(blueprint("brief", hosts=1), home) as lab:
        on(lab, "h1", "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        had = trace(lab)
        # outer, lab, two nodes and their daemons; network, mount, UTS, IPC and PID namespaces of three places
        assert len(had.processes) >= 2 + 2 + 7
        assert len(had.namespaces) >= 15
        first = control.lab_pid(lab.folder)
        outer = int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])
        if end == "down":
            lab.down()
            assert not lab.folder.path.exists()
        for pid in {
            "kill the outer process": [outer],
            "kill the first process": [first],
            "kill them all": [outer, *(pid for pid, _ in had.processes - {outer})],
        }.get(end, []):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

        def left() -> tuple[frozenset[tuple[int, str]], frozenset[str]]:
            now = everything()
            return now.processes & had.processes, now.namespaces & had.namespaces

        until("processes and namespaces left", left, (frozenset(), frozenset()), limit=10)
        assert interfaces_and_mounts() == before
        if end != "down":
            with pytest.raises(TwinError, match=r"no twin .* is up"):
                Lab.attach(home / "brief")
            assert (end != "kill them all") or (Lab.sweep(home / "brief") and not lab.folder.path.exists())
            # The state of a killed lab does not stand in the way of the next.
            with running(blueprint("brief", hosts=1), home) as again:
                assert ssh(again, "h1", "hostname").stdout == "h1\n"


_SILENT = """
class Machine:
    def prepare(self, node, cache, say): pass
    def start(self, place): pass
    def alive(self): return True
    def carrier(self, nic, up): pass
    def stop(self): pass
"""


def test_a_lab_goes_away_when_the_command_dies_that_brings_it_up(home: Path) -> None:
    program = (
        "import sys, select; from pathlib import Path; from grappe.twin.lab import Lab;"
        "from grappe.twin.blueprint import from_json;"
        "select.select = lambda *_: (print('waiting', flush=True), sys.stdin.read());"
        "plan = from_json(sys.stdin.readline());"
        "Lab.up(plan, Path(sys.argv[1]), cache_dir=Path(sys.argv[2]))"
    )
    (home / "silent.py").write_text(_SILENT)
    plan = Blueprint("orphan", tuple(replace(one, machine="silent:Machine") for one in blueprint().nodes[:1]))
    environment = {**os.environ, "PYTHONPATH": f"{home}:{Path(grappe.__file__).parent.parent}"}
    argv = [sys.executable, "-c", program, str(home / "orphan"), str(home / "cache")]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as command:
        assert command.stdin
        assert command.stdout
        command.stdin.write(to_json(plan) + "\n")
        command.stdin.flush()
        assert command.stdout.readline() == "waiting\n"
        assert control_alive(home / "orphan")
        command.kill()
    until("the orphan", lambda: control_alive(home / "orphan"), False)


def test_a_node_that_cannot_boot_is_told_with_its_reason_and_nothing_is_left(home: Path) -> None:
    plan = blueprint("broken", hosts=1)
    with pytest.raises(TwinError, match=r"nodes of the twin did not come up:\nh1: .*/etc/hostname"):
        Lab.up(plan, home / "broken", cache_dir=home / "cache", shares={"/etc/hostname/below": home})
    assert not control_alive(home / "broken")


def control_alive(path: Path) -> bool:
    return is_up(Folder(path))


# As an ordinary user

_ORDINARY = """
import atexit, json, os, sys, time
from pathlib import Path
from grappe.twin import control
from grappe.twin.blueprint import from_json
from grappe.twin.errors import TwinError
from grappe.twin.lab import Lab, is_up
from grappe.twin.settings import Folder
plan, home = from_json(Path(sys.argv[1], "plan.json").read_text()), Path(sys.argv[1])
def end():
    if is_up(Folder(home / "state")):
        Lab.attach(home / "state").down()
atexit.register(end)  # also when something here fails
try:
    Lab.up(plan, home / "state", cache_dir=home / "cache", tun=home / "closed")
except TwinError as error:
    told = error.reason
lab = Lab.up(plan, home / "state", cache_dir=home / "cache", tun=home / "tun")
def out(*argv):
    done = lab.exec("h1", argv)
    return done.stdout.strip() + done.stderr.strip()
import subprocess
def ssh(*words):
    done = subprocess.run(["ssh", "-F", str(lab.ssh_config), *words], capture_output=True, text=True)
    return done.stdout.strip() + done.stderr.strip()
seen = {"refused": told, "rootless": lab.status().rootless, "single": lab.settings.single_id}
seen["ssh"] = ssh("h1", "hostname")
seen["terminal"] = ssh("-tt", "h1", "tty").split("/")[1]
seen["tap"] = out("ip", "tuntap", "add", "t0", "mode", "tap")
seen["bridge"] = out("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
seen["nets"] = out("virsh", "net-list", "--all", "--name")
lab.power_off("h1")
lab.power_on("h1")
seen["after"] = [ssh("h1", "ovs-vsctl", "list-br"), out("ls", "/sys/class/net/t0")]
lab.pull_cable("h1", "eth0")
ping = subprocess.run(lab.operator_argv(["ping", "-c1", "-W1", "192.0.2.1"]), capture_output=True)
seen["cut"] = ping.returncode == 1
lab.down()
seen["gone"] = not lab.folder.path.exists()
lab = Lab.up(plan, home / "state", cache_dir=home / "cache", tun=home / "tun")
first = control.lab_pid(lab.folder)
os.kill(int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1]), 9)
limit = time.monotonic() + 10
while (left := is_up(lab.folder) or Path(f"/proc/{first}").exists()) and time.monotonic() < limit:
    time.sleep(0.02)
seen["killed"] = not left
seen["swept"] = Lab.sweep(lab.folder.path) and not lab.folder.path.exists()
print(json.dumps(seen))
"""


@pytest.mark.skipif(not ROOT, reason="run as an ordinary user, every other test here shows it")
@pytest.mark.parametrize("ids", ["one id", "many ids"])
def test_an_ordinary_user_has_the_same_lab(home: Path, ids: str) -> None:
    """As `nobody`, with a copy of the code it can read; with and without a range in /etc/subuid."""
    place = home / ids.replace(" ", "-")
    shutil.copytree(
        Path(grappe.__file__).parent, place / "src/grappe", ignore=shutil.ignore_patterns("__pycache__")
    )
    (place / "plan.json").write_text(to_json(blueprint("mine", hosts=1)))
    (place / "subids").write_text("nobody:200000:65536\n" if ids == "many ids" else "")
    for name, mode in (("tun", 0o666), ("closed", 0o600)):
        os.mknod(place / name, 0o020000 | mode, os.makedev(10, 200))
        (place / name).chmod(mode)
        if name == "tun":
            os.chown(place / name, 65534, 65534)
    os.chown(place, 65534, 65534)
    prepare = 'mount --bind "$1" /etc/subuid; mount --bind "$1" /etc/subgid; shift; exec "$@"'
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-ec", prepare, "sh", str(place / "subids")),
            *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--reset-env"),
            *(
                "env",
                f"PYTHONPATH={place}/src",
                "PYTHONDONTWRITEBYTECODE=1",
                f"HOME={place}",
                "SHELL=/bin/sh",
            ),
            *("/usr/bin/python3", "-c", _ORDINARY, str(place)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    closed = f"{place}/closed is not usable by this user (its mode is 0600, needed is 0666)"
    assert json.loads(done.stdout) == {
        "refused": closed,
        "rootless": True,
        "single": ids == "one id",
        "ssh": "h1",
        "terminal": "dev",
        "tap": "",
        "bridge": "",
        "nets": "default",
        "after": ["br0", "ls: cannot access '/sys/class/net/t0': No such file or directory"],
        "cut": True,
        "gone": True,
        "killed": True,
        "swept": True,
    }


# A machine with its own kernel, played by a process

_MACHINE = """
import os, subprocess
from pathlib import Path
class Machine:
    def prepare(self, node, cache, say):
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "prepared").write_text(node.name)
        say("prepared " + node.name)
    def start(self, place):
        link = place.nics[0].link
        assert os.getpid() == 1 and (place.cache / "prepared").read_text() == place.node.name
        with open(place.state_dir / "starts", "a") as starts:
            starts.write(place.nics[0].mac + "\\n")
        (place.state_dir / "key").write_text(place.host_key.read_text())
        (place.state_dir / "key").chmod(0o600)
        (place.state_dir / "authorized").write_text(place.authorized_key)
        subprocess.run(["ip", "addr", "add", place.address + "/24", "dev", link], check=True)
        Path("/run/sshd").mkdir()
        self.told = place.state_dir / "carriers"
        options = ["AuthorizedKeysFile=" + str(place.state_dir / "authorized"), "StrictModes=no", "UsePAM=no"]
        sshd = ["/usr/sbin/sshd", "-D", "-f", "/dev/null", "-h", place.state_dir / "key"]
        self.sshd = subprocess.Popen([*sshd, *("-o" + one for one in [*options, "PidFile=none"])])
    def alive(self):
        return self.sshd.poll() is None
    def carrier(self, nic, up):
        with open(self.told, "a") as told:
            told.write(f"{nic} {up}\\n")
    def stop(self):
        self.sshd.kill()
"""


@pytest.mark.skipif(not ROOT, reason="the played machine needs sshd's own user id")
def test_a_machine_of_its_own_is_prepared_started_told_of_cables_and_cut_off(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "played.py").write_text(_MACHINE)
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setenv("PYTHONPATH", str(home))
    node = Node(
        "vm",
        nics=(Nic("ens3"), Nic("ens4")),
        installer=(Stanza("ens3", "192.0.2.9/24"),),
        machine="played:Machine",
    )
    other = Node("sw", "switch", (Nic("p1"), Nic("p2")), (Stanza("p1", "192.0.2.8/24"),), libvirt=False)
    cables = (
        Cable(End("vm", "ens3"), "office"),
        Cable(End("sw", "p1"), "office"),
        Cable(End("vm", "ens4"), End("sw", "p2")),
    )
    operator = Operator((Foothold("office", "192.0.2.250/24"),))
    plan = Blueprint("own", (node, other), cables, (Segment("office"),), operator)
    said: list[str] = []
    with running(plan, home, say=said.append) as lab:
        assert said == ["prepared vm"]
        assert ssh(lab, "vm", "echo", "here").stdout == "here\n"
        state = lab.folder.machine("vm")
        until("what is told at first", lambda: _lines(state / "carriers"), ["ens4 False"])
        on(lab, "sw", "ip", "link", "set", "p2", "up")
        until("light", lambda: _lines(state / "carriers"), ["ens4 False", "ens4 True"])
        lab.pull_cable("vm", "ens4")
        until("darkness", lambda: _lines(state / "carriers"), ["ens4 False", "ens4 True", "ens4 False"])
        until("the port", lambda: light(lab, "sw", "p2"), (True, False))
        lab.plug_cable("vm", "ens4")
        until("the port", lambda: light(lab, "sw", "p2"), (True, True))
        lab.power_off("vm")
        until("the port", lambda: light(lab, "sw", "p2"), (True, False))
        assert not answers(lab, "192.0.2.9")
        lab.power_on("vm")
        assert ssh(lab, "vm", "echo", "again").stdout == "again\n"
        assert len(_lines(state / "starts")) == 2


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
