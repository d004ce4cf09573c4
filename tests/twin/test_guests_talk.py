"""Real guests in a twin: their TCP obeys the VLANs, jumbo frames go whole, power and console work."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from grappe.twin.guest import Console
from twin.cluster import TwinCluster, twin_of

pytestmark = pytest.mark.xdist_group("guests-talk")

# VLAN 10 is jumbo. `probe` sits on a trunk port group of VLANs 10 and 20; VLAN 30 is not in it.
SITE = """
site: talk
networks:
  office:  {fabric: office, subnet: 192.168.10.0/24, gateway: .253, roles: [management]}
  front:   {fabric: rack, vlan: 10, subnet: 10.10.1.0/24, mtu: 9000, port_group: vlan10}
  transit: {fabric: rack, vlan: 20, subnet: 10.20.1.0/24, port_group: vlan20}
  back:    {fabric: rack, vlan: 30, subnet: 10.30.1.0/24, port_group: vlan30}
port_groups:
  outer: [front, transit]
pools:
  kvm:
    platform: kvm
    storage: {images: /var/lib/libvirt/images}
    attach:
      eth0: {networks: [office], bridge: false}
      eth1: {fabric: rack}
    hosts:
      h1: {addresses: {office: .11}, cables: {eth0: desk/1, eth1: sw1/p1}}
      h2: {addresses: {office: .12}, cables: {eth0: desk/2, eth1: sw1/p2}}
switches:
  sw1: {platform: ovs_switch, access: 192.168.10.241, mtu: 9000}
  desk: {platform: unmanaged}
vms:
  web1: {memory: 96M, boot: test-guest, host: h1, nics: [{network: front, address: .21}]}
  web2:
    memory: 96M
    boot: test-guest
    host: h2
    nics: [{network: front, address: .22}, {network: back, address: .22}]
  sql1:
    memory: 96M
    boot: test-guest
    host: h2
    nics: [{network: transit, address: .31}, {network: back, address: .31}]
  probe: {memory: 96M, boot: test-guest, host: h1, nics: [{port_group: outer}]}
"""


@dataclass
class Line:
    """A guest's serial console through `grappe vm console`, on a pseudo-terminal as a person has one."""

    process: subprocess.Popen[bytes]
    descriptor: int

    def fileno(self) -> int:
        return self.descriptor

    def close(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                os.write(self.descriptor, b"\x1d")
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        os.close(self.descriptor)


def open_line(site: TwinCluster, vm: str) -> Line:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "grappe", "--file", str(site.file), "--twin-name", site.name]
    process = subprocess.Popen(
        [*command, "vm", "console", vm], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    return Line(process, ours)


@dataclass
class Talk:
    """The running site and the consoles opened so far."""

    site: TwinCluster
    lines: dict[str, tuple[Line, Console]] = field(default_factory=dict)

    def guest(self, vm: str) -> Console:
        if vm not in self.lines:
            line = open_line(self.site, vm)
            self.lines[vm] = (line, Console(line, line))
            self.lines[vm][1].wait_ready(90)
        return self.lines[vm][1]

    def hang_up(self, *vms: str) -> None:
        for vm in vms or tuple(self.lines):
            if vm in self.lines:
                self.lines.pop(vm)[0].close()

    def do(self, vm: str, command: str) -> str:
        """Run a command in a guest that must succeed."""
        done = self.guest(vm).run(command, 40)
        assert done.ok, f"{vm}: {command} -> {done}"
        return done.out

    def tcp(self, vm: str, address: str, limit: int = 15) -> str:
        """Who answers at an address on TCP port 7 within `limit` seconds; empty when nobody does."""
        done = self.guest(vm).run(f"timeout {limit} nc -w {limit} {address} 7 </dev/null", limit + 20)
        return done.out.strip() if done.ok else ""

    def deaf(self, vm: str, address: str) -> bool:
        """Whether nobody answers there; the caller has shown that the one who could does answer others."""
        return self.tcp(vm, address, limit=2) == ""


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    file = tmp_path_factory.mktemp("talk") / "site.yaml"
    file.write_text(SITE)
    with twin_of(file, "talk") as site:
        site.grappe("apply", "--yes")
        talk = Talk(site)
        try:
            yield talk
        finally:
            talk.hang_up()


def states(talk: Talk) -> dict[str, str]:
    return {row["name"]: row["state"] for row in talk.site.json("vm", "list")["vms"]}


def test_tcp_works_across_hosts_in_one_vlan(talk: Talk) -> None:
    assert talk.tcp("web1", "10.10.1.22") == "web2"
    assert talk.tcp("web2", "10.10.1.21") == "web1"
    assert talk.tcp("web2", "10.30.1.31") == "sql1"


def test_one_subnet_in_two_vlans_stays_two_networks(talk: Talk) -> None:
    """Addresses of one subnet, given inside the guests: nothing but the tag keeps them apart."""
    for vm, last in (("web1", 1), ("web2", 2), ("sql1", 3)):
        talk.do(vm, f"ip addr add 10.77.0.{last}/24 dev eth0")
    assert talk.tcp("web1", "10.77.0.2") == "web2"
    assert talk.deaf("web1", "10.77.0.3")
    assert talk.deaf("sql1", "10.77.0.2")  # on the same host, on the same bridge


def test_a_bulk_transfer_arrives_whole(talk: Talk) -> None:
    talk.do("web2", "dd if=/dev/urandom of=/www/bulk bs=64k count=32 2>/dev/null")
    sum_there = talk.do("web2", "md5sum </www/bulk").split()[0]
    assert talk.do("web1", "wget -q -O - http://10.10.1.22/bulk | md5sum").split()[0] == sum_there
    assert talk.do("web2", "wc -c </www/bulk").strip() == str(2 << 20)


def test_a_trunk_port_speaks_on_its_own_vlans_only(talk: Talk) -> None:
    talk.do("probe", "ip link set eth0 up")
    for vlan in (10, 20, 30):
        talk.do("probe", f"ip link add link eth0 name eth0.{vlan} type vlan id {vlan}")
        talk.do("probe", f"ip addr add 10.{vlan}.1.41/24 dev eth0.{vlan} && ip link set eth0.{vlan} up")
    assert talk.tcp("probe", "10.10.1.22") == "web2"
    assert talk.tcp("probe", "10.20.1.31") == "sql1"
    assert talk.deaf("probe", "10.30.1.31")
    talk.do("probe", "ip addr add 10.77.0.4/24 dev eth0")  # untagged
    talk.do("web1", "ip addr replace 10.77.0.1/24 dev eth0")
    assert talk.deaf("probe", "10.77.0.1")
    talk.do("probe", "ip addr del 10.77.0.4/24 dev eth0 && ip addr add 10.77.0.4/24 dev eth0.10")
    assert talk.tcp("probe", "10.77.0.1") == "web1"


def test_frames_of_nine_thousand_bytes_go_whole_between_guests(talk: Talk) -> None:
    assert "mtu 9000" in talk.do("web1", "ip link show eth0")
    fragments = "awk '/^Ip: [0-9]/ {print $(NF-2) + $(NF-1) + $NF}' /proc/net/snmp"
    before = talk.do("web1", fragments)
    said = talk.do("web1", "ping -c 3 -s 8972 -W 2 10.10.1.22")
    assert re.search(r"3 packets transmitted, 3 packets received", said), said
    assert talk.do("web1", fragments) == before
    assert "mtu 1500" in talk.do("sql1", "ip link show eth0")


def test_a_vm_stopped_and_started_is_on_its_vlan_again(talk: Talk) -> None:
    assert states(talk) == dict.fromkeys(("web1", "web2", "sql1", "probe"), "running")
    talk.hang_up("web1")
    talk.site.grappe("vm", "stop", "web1")
    assert states(talk)["web1"] == "shut off"
    assert talk.deaf("web2", "10.10.1.21")
    drift = talk.site.drift()
    assert list(drift) == ["h1"], drift
    assert any("web1" in line for line in drift["h1"]), drift
    talk.site.grappe("vm", "stop", "web1")  # twice changes nothing
    talk.site.grappe("vm", "start", "web1")
    assert states(talk) == dict.fromkeys(("web1", "web2", "sql1", "probe"), "running")
    talk.guest("web1")
    assert talk.tcp("web2", "10.10.1.21") == "web1"
    assert talk.tcp("web1", "10.10.1.22") == "web2"
    assert talk.site.drift() == {}


def test_the_console_shows_the_guests_shell_and_leaves_at_ctrl_bracket(talk: Talk) -> None:
    talk.hang_up("web2")
    line = open_line(talk.site, "web2")
    try:
        seen = until(line, b"Escape character is ^]", b"")
        seen = until(line, b"# ", b"\r")
        seen = until(line, b"\nweb2", b"hostname\r")
        os.write(line.fileno(), b"\x1d")
        assert line.process.wait(15) == 0, seen
    finally:
        line.close()
    assert states(talk)["web2"] == "running"


def until(line: Line, wanted: bytes, typed: bytes, timeout: float = 60.0) -> bytes:
    """What the console said after `typed`, once it contains `wanted`; fails with what it said last."""
    os.write(line.fileno(), typed)
    seen, limit = b"", time.monotonic() + timeout
    while wanted not in seen:
        left = limit - time.monotonic()
        ready = left > 0 and select.select([line], [], [], left)[0]
        assert ready, f"no {wanted!r} within {timeout:.0f} s; last: {seen[-400:]!r}"
        seen += os.read(line.fileno(), 65536)
    return seen


def test_an_unknown_vm_has_no_console(talk: Talk) -> None:
    assert "no VM web9" in talk.site.grappe("vm", "console", "web9", status=2)
