"""A laboratory for the probe's tests: hosts and a switch, each a namespace with its own real Open vSwitch.

One `unshare` process owns everything: processes, links, mounts. When it ends, all of that is gone. Each node
has a private /run, so that every one has its own Open vSwitch database.

Host hN: bridge br0 with uplink eth1 (native LAN, VLANs of `VLANS`), own ports lan0, web0 (VLAN 6) and stor0
(VLAN 12, MTU 9000), and a guest's tap vnet0 on VLAN 6. Switch sw: bridge1 with sfpN to each host.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from grappe.model.script import Answer, Script
from grappe.transport.base import Transport
from grappe.verify.rollcall import Kind, Network, Plan, Point, Temporary, jumbo_pairs

VLANS = {"WEB": 6, "DMZ": 10, "STORAGE": 12, "APP": 20}
MTU = {"LAN": 1500, "WEB": 1500, "DMZ": 1500, "STORAGE": 9000, "APP": 1500}
TRUNKS = "1,6,10,12,20"

START_OVS = """
mkdir -p /run/openvswitch
ovsdb-tool create /run/conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server /run/conf.db --remote=punix:/run/openvswitch/db.sock --detach --no-chdir --pidfile \
  --log-file=/run/ovsdb.log -vconsole:off
ovs-vsctl --no-wait init
ovs-vsctl --no-wait set Open_vSwitch . other_config:userspace-tso-enable=true
ovs-vswitchd unix:/run/openvswitch/db.sock --detach --no-chdir --pidfile \
  --log-file=/run/vswitchd.log -vconsole:off
"""

HOST = """
ip link set eth1 mtu 9000 up
ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev other_config:hwaddr=02:00:00:00:01:{n:02x} \
  -- set interface br0 mtu_request=9000 \
  -- add-port br0 eth1 vlan_mode=native-untagged tag=1 trunks={trunks} \
  -- add-port br0 lan0 tag=1 -- set interface lan0 type=internal mtu_request=1500 \
  -- add-port br0 web0 tag=6 -- set interface web0 type=internal mtu_request=1500 \
  -- add-port br0 stor0 tag=12 -- set interface stor0 type=internal mtu_request=9000 \
  -- add-port br0 vnet0 tag=6 -- set interface vnet0 mtu_request=1500
ip link set lan0 up; ip link set web0 up; ip link set stor0 up
"""


def shell(text: str) -> str:
    """Run a script of this file; its error output is the message when it fails."""
    done = subprocess.run(["sh", "-ec", text], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{text}\n{done.stdout}{done.stderr}")
    return done.stdout


def hold_tap(name: str) -> int:
    """Make a tap and hold it, as QEMU does for its guest."""
    handle = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(
        handle, 0x400454CA, struct.pack("16sH22s", name.encode(), 0x1002, b"")
    )  # TUNSETIFF, TAP | NO_PI
    shell(f"ip link set {name} up")
    return handle


def node(name: str) -> None:
    """Be a node: private /run and /sys, its own Open vSwitch; then wait for orders on standard input."""
    shell("mount --make-rprivate /; mount -t tmpfs run /run; mount -t sysfs sysfs /sys; ip link set lo up")
    shell("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1; " + START_OVS)
    print("ready", flush=True)
    for line in sys.stdin:  # configuration that must wait for the cables
        if line.strip() == "host":
            hold_tap("vnet0")
            shell(HOST.format(n=int(name[1:]), trunks=TRUNKS))
        else:
            shell(line)
        print("done", flush=True)


def inner(hosts: int) -> None:
    """Be the owner: start the nodes, lay the cables, configure, say who is who."""
    names = ["sw", *(f"h{n}" for n in range(1, hosts + 1))]
    nodes = {
        name: subprocess.Popen(
            ["unshare", "--net", "--mount", sys.executable, __file__, "node", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    }
    for process in nodes.values():
        answer(process)
    switch = nodes["sw"].pid
    ports = []
    for n in range(1, hosts + 1):
        host = nodes[f"h{n}"].pid
        shell(f"ip link add sfp{n} mtu 9000 netns {switch} type veth peer name eth1 mtu 9000 netns {host}")
        ports.append(f"-- add-port bridge1 sfp{n} vlan_mode=native-untagged tag=1 trunks={TRUNKS}")
    ask(nodes["sw"], "; ".join(f"ip link set sfp{n} up" for n in range(1, hosts + 1)))
    ask(nodes["sw"], f"ovs-vsctl add-br bridge1 -- set bridge bridge1 datapath_type=netdev {' '.join(ports)}")
    for name in names[1:]:
        print("host", file=nodes[name].stdin, flush=True)
    for name in names[1:]:
        answer(nodes[name])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # process 1 here: what loses its parent is reaped
    print(json.dumps({name: process.pid for name, process in nodes.items()}), flush=True)
    sys.stdin.read()


def ask(process: subprocess.Popen[str], line: str) -> None:
    print(line, file=process.stdin, flush=True)
    answer(process)


def answer(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if not process.stdout.readline():
        raise RuntimeError("a node ended")


class NamespaceTransport:
    """A transport into one node of the laboratory."""

    def __init__(self, lab: Lab, device: str) -> None:
        self.lab, self.device = lab, device

    def run(self, script: Script, *, timeout: float = 60.0) -> tuple[Answer, ...]:
        answers = []
        for item in script:
            done = subprocess.run(
                self.argv(item.argv),
                input=item.stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
            answers.append(Answer(done.returncode, done.stdout, done.stderr))
            if item.check and done.returncode:
                break
        return tuple(answers)

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:  # noqa: ARG002 - the protocol's
        return [*self.lab.enter(self.device), *argv]

    def popen(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(self.argv(argv), stdin=pipe, stdout=pipe, stderr=pipe)

    def fresh(self) -> Transport:
        return self


class Lab:
    """The laboratory as a test sees it."""

    def __init__(self, hosts: int) -> None:
        self.hosts = [f"h{n}" for n in range(1, hosts + 1)]
        flags = [
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child=SIGKILL",
            "--mount-proc",
        ]
        self.process = subprocess.Popen(
            ["unshare", *flags, sys.executable, __file__, "inner", str(hosts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        if not first:
            self.process.wait()
            raise RuntimeError("the laboratory did not come up; its reason is above")
        self.pids: dict[str, int] = json.loads(first)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        self.owner = int(children.split()[0])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def enter(self, device: str) -> list[str]:
        outer = ["nsenter", "-t", str(self.owner), "-m", "-p", "-n", "--"]
        return [*outer, "nsenter", "-t", str(self.pids[device]), "-m", "-n", "--"]

    def sh(self, device: str, text: str) -> str:
        done = subprocess.run(
            [*self.enter(device), "sh", "-ec", text], capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, f"{device}: {text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def transports(self) -> dict[str, Transport]:
        return {device: NamespaceTransport(self, device) for device in self.pids}

    def ports(self, device: str) -> list[str]:
        bridge = "bridge1" if device == "sw" else "br0"
        return sorted(self.sh(device, f"ovs-vsctl list-ports {bridge}").split())

    def links(self, device: str) -> list[str]:
        return sorted(line.split(":")[1].strip() for line in self.sh(device, "ip -o link").splitlines())

    def processes(self) -> list[str]:
        done = subprocess.run(
            ["nsenter", "-t", str(self.owner), "-m", "-p", "-n", "--", "ps", "-eo", "args="],
            capture_output=True,
            text=True,
            check=True,
        )
        return sorted(line for line in done.stdout.splitlines() if "ps -eo" not in line)

    def plan(self) -> Plan:
        """What the laboratory's configuration promises."""
        points = [point for host in self.hosts for point in host_points(host)]
        everywhere = trunk()
        points += [
            Point("sw", f"sfp{n}", Kind.SWITCH_PORT, everywhere, peer=(host, "eth1"))
            for n, host in enumerate(self.hosts, 1)
        ]
        plan = Plan("laboratory", tuple(Network(name, MTU[name]) for name in MTU), tuple(points))
        return Plan(plan.site, plan.networks, plan.points, jumbo_pairs(plan, ["STORAGE"]))


def trunk() -> tuple[tuple[str, int | None], ...]:
    return (("LAN", None), *VLANS.items())


def host_points(host: str) -> list[Point]:
    """The points of one host; DMZ and APP have no port of the host, so a temporary one speaks there."""
    own = [("lan0", "LAN"), ("web0", "WEB"), ("stor0", "STORAGE")]
    points = [
        Point(host, interface, Kind.HOST_PORT, ((network, None),), frozenset({network}))
        for interface, network in own
    ]
    absent = (("DMZ", 10), ("APP", 20))
    points.append(
        Point(host, "", Kind.HOST_PORT, absent, frozenset({"DMZ", "APP"}), temporary=Temporary("br0"))
    )
    points.append(Point(host, "vnet0", Kind.GUEST_PORT, (("WEB", None),), label="guest of " + host))
    points.append(Point(host, "eth1", Kind.UPLINK, trunk(), peer=("sw", f"sfp{host[1:]}")))
    return points


def wait_until(what: str, found: Callable[[], object], limit: float = 20.0) -> None:
    """Wait for a state; the message says what was seen last."""
    end = time.monotonic() + limit
    while not (seen := found()):
        assert time.monotonic() < end, f"{what}: not within {limit} s; last seen: {seen!r}"
        threading.Event().wait(0.02)


if __name__ == "__main__":
    {"inner": lambda: inner(int(sys.argv[2])), "node": lambda: node(sys.argv[2])}[sys.argv[1]]()
