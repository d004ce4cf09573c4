"""Real guests that Grappe's own definitions boot: TCP over userspace Open vSwitch, console, power button."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network

import pytest

from component.libvirt_lab import Lab, lab, missing
from component.libvirt_site import NETWORKS, SCOPE, SITE, VM, Bench
from grappe.graph.plan import Level
from grappe.graph.resource import Key
from grappe.model.site import Disk, TestGuest, Vm, VmNic
from grappe.model.units import Bytes, Mac, Mtu
from grappe.platforms.kvm import testguest
from grappe.twin.guest import Console, default_cache_dir, ensure_guest

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")

SUBNETS = {"lan": "10.7.0.0/24", "web": "10.7.10.0/24", "dmz": "10.7.20.0/24"}


def guest(name: str, last: int, group: str, network: str | None, *addresses: str) -> Vm:
    own = VmNic(
        fabric="in",
        port_group=group,
        network=network,
        mac=Mac(f"52:54:00:00:01:{last:02x}"),
        addresses=tuple(map(IPv4Interface, addresses)),
        mtu=Mtu(9000),
    )
    disk = Disk(target="vda", size=Bytes(1 << 20), storage="my disks")
    return replace(VM, name=name, memory=Bytes(96 << 20), boot=TestGuest(), nics=(own,), disks=(disk,))


GUESTS = (
    guest("alpha", 1, "native", "lan", "10.7.0.1/24", "10.7.10.1/24"),
    guest("beta", 2, "lan", "lan", "10.7.0.2/24"),
    guest("gamma", 3, "100", "web", "10.7.10.3/24"),
)

GUEST_SITE = replace(
    SITE,
    networks={
        **NETWORKS,
        **{
            name: replace(NETWORKS[name], subnets=(IPv4Network(text),), mtu=Mtu(9000))
            for name, text in SUBNETS.items()
        },
    },
    vms={vm.name: vm for vm in GUESTS},
)


@dataclass
class Line:
    descriptor: int

    def fileno(self) -> int:
        return self.descriptor


@dataclass
class Running:
    bench: Bench
    consoles: dict[str, Console]

    def errand(self, name: str, path: str) -> bool:
        said = self.consoles[name].run(f"wget -q -O - 'http://127.0.0.1/cgi-bin/{path}'", 30).out
        return bool(json.loads(said)["ok"])


@pytest.fixture(scope="module")
def host() -> Iterator[Lab]:
    with lab() as running:
        yield running


@pytest.fixture(scope="module")
def running(host: Lab) -> Iterator[Running]:
    files = ensure_guest(default_cache_dir())
    assert {r.code for r in Bench(host, GUEST_SITE).plan().refusals} == {"test-guest"}
    host.put(testguest.KERNEL, files.kernel.read_bytes())
    host.put(testguest.INITRD, files.initrd.read_bytes())
    bench = Bench(host, GUEST_SITE)
    bench.apply()
    with ExitStack() as stack:
        consoles = {vm.name: console(stack, bench, vm.name) for vm in GUESTS}
        for each in consoles.values():
            each.wait_ready(90)
        yield Running(bench, consoles)


def console(stack: ExitStack, bench: Bench, name: str) -> Console:
    """The guest's serial line, as `virsh console` finds it."""
    uuid = str(bench.see().resources[Key(SCOPE, "vm", name)].facts["uuid"])
    path = bench.host.virsh("ttyconsole", uuid).strip()
    line = Line(os.open(path, os.O_RDWR | os.O_NOCTTY))
    stack.callback(os.close, line.descriptor)
    return Console(line, line)


@pytest.mark.parametrize(
    ("name", "host_address", "reaches"),
    [
        ("alpha", "10.7.0.2", True),
        ("alpha", "10.7.10.3", True),
        ("beta", "10.7.0.1", True),
        ("beta", "10.7.10.3", False),
        ("gamma", "10.7.10.1", True),
        ("gamma", "10.7.0.2", False),
    ],
)
def test_tcp_and_large_transfers_go_where_the_port_groups_say(
    running: Running, name: str, host_address: str, reaches: bool
) -> None:
    assert running.errand(name, f"tcp?host={host_address}&port=7&timeout=2") is reaches
    assert not reaches or running.errand(name, f"fetch?host={host_address}")


def test_jumbo_frames_go_whole(running: Running) -> None:
    assert running.errand("alpha", "ping?host=10.7.0.2&size=8972&count=2")
    assert running.errand("alpha", "ping?host=10.7.10.3&size=8972&count=2")


def test_the_console_is_kept_in_a_file(running: Running) -> None:
    said = running.bench.host.sh("cat /var/log/libvirt/qemu/alpha-console.log")
    assert re.search("guest alpha ready", said)


def test_guests_that_shall_not_run_are_shut_down_by_the_power_button(running: Running) -> None:
    bench = running.bench
    bench.site = replace(bench.site, vms={vm.name: replace(vm, running=False) for vm in GUESTS})
    plan = bench.apply()
    assert plan.disruption.level is Level.GUEST_RESTART
    assert bench.plan().empty
    states = {bench.see().resources[Key(SCOPE, "vm", vm.name)].running["state"] for vm in GUESTS}
    assert states == {"shut off"}
    bench.undo(plan)
    assert bench.see().resources[Key(SCOPE, "vm", "alpha")].running["state"] == "running"
