"""VMs on a real libvirtd: QEMU runs a kernel of zeros, which is a guest that never answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from component.libvirt_lab import Lab, lab, missing
from component.libvirt_site import DISKS, KERNEL, NAME, ODD_VM, SCOPE, SITE, VM, Bench, nic, no_marks
from grappe.graph.change import Action
from grappe.graph.plan import Level, Plan
from grappe.graph.resource import Key, Resource
from grappe.model.site import Disk, KernelBoot, Site, Vm
from grappe.model.units import Bytes
from grappe.platforms.kvm import vms
from grappe.platforms.planning import Choices

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")

ADOPT = Choices(adopt=("all",))


@pytest.fixture(scope="module")
def host() -> Iterator[Lab]:
    with lab() as running:
        yield running


@pytest.fixture
def bench(host: Lab) -> Bench:
    host.clear()
    return Bench(host, SITE)


def one(site: Site, vm: Vm) -> Site:
    return replace(site, vms={vm.name: vm})


def seen(bench: Bench, name: str = VM.name) -> Resource:
    return bench.see().resources[Key(SCOPE, "vm", name)]


def uuid(bench: Bench, name: str = VM.name) -> str:
    return str(seen(bench, name).facts["uuid"])


def actions(plan: Plan) -> list[tuple[str, str]]:
    return [(c.action, c.key.name) for c in plan.changes]


def test_made_from_bare_it_reads_back_as_itself_and_the_second_plan_is_empty(bench: Bench) -> None:
    bench.apply()
    assert bench.wanted_but_not_seen() == {}
    assert bench.plan().empty
    assert seen(bench).facts["pending"] == ()
    assert seen(bench, ODD_VM.name).running["state"] == "shut off"


def test_its_ports_have_the_vlans_of_their_groups(bench: Bench) -> None:
    bench.site = one(
        bench.site, replace(VM, nics=tuple(nic(g, None, i) for i, (_, g) in enumerate(SITE.port_groups)))
    )
    bench.apply()
    ports = {}
    for index, (_, group) in enumerate(SITE.port_groups):
        find = (
            "--columns=name",
            "find",
            "Interface",
            f'external_ids:attached-mac="52:54:00:00:00:{index:02x}"',
        )
        port = bench.host.call("ovs-vsctl", "--bare", *find).out.strip()
        show = bench.host.call("ovs-vsctl", "--bare", "--columns=tag,trunks,vlan_mode", "list", "Port", port)
        ports[group] = show.out.split("\n")[:3]
    assert ports == {
        "lan": ["0", "", ""],
        "100": ["10", "", ""],
        "--x $(id) y": ["20", "", ""],
        "trunk": ["", "10 20", ""],
        "one": ["", "10", ""],
        "mixed": ["10", "10 20 99", "native-untagged"],
        "native": ["0", "0 10", "native-untagged"],
    }


def test_a_port_on_the_native_segment_neither_hears_nor_reaches_a_vlan(bench: Bench) -> None:
    bench.site = one(
        bench.site, replace(VM, nics=(nic("lan", "lan", 1), nic("100", "web", 2), nic("lan", "lan", 3)))
    )
    bench.apply()
    find = 'ovs-vsctl --bare --columns=ofport find Interface external_ids:attached-mac="$1"'
    number = {last: bench.host.sh(find, f'"52:54:00:00:00:0{last}"').strip() for last in (1, 2, 3)}

    def reached(port: str, tag: str) -> set[str]:
        flow = f"in_port={port},dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5{tag}"
        said = bench.host.sh('ovs-appctl ofproto/trace brint "$1"', flow)
        table = bench.host.sh("ovs-appctl dpif/show")
        outs = said.rpartition("Datapath actions:")[2]
        datapath = {m[2]: m[1] for m in re.finditer(r"(\d+)/(\d+): \(", table.partition("brint:")[2])}
        return {datapath[out] for out in re.findall(r"(?<!vid=)\b(\d+)\b", outs) if out in datapath} & set(
            number.values()
        )

    assert reached(number[1], "") == {number[3]}
    assert reached(number[2], "") == set()
    assert reached(number[1], ",dl_vlan=10") == set()


CHANGES: dict[str, dict[str, Any]] = {
    "vcpus": {"vcpus": 2},
    "memory": {"memory": Bytes(96 << 20)},
    "boot": {"boot": KernelBoot(kernel=KERNEL, initrd="", cmdline="other")},
    "group": {"nics": (nic("100", "web", 1), VM.nics[1])},
    "mtu": {"nics": (nic("--x $(id) y", "dmz", 1, 4000), VM.nics[1])},
    "nic gone": {"nics": VM.nics[1:]},
    "nic added": {"nics": (*VM.nics, nic("one", None, 3))},
    "disk added": {"disks": (*VM.disks, Disk(target="vdb", size=Bytes(1 << 20), storage="my disks"))},
    "disk unplugged": {"disks": ()},
    "autostart": {"autostart": False},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_declaration_changes_the_definition_not_the_running_guest(bench: Bench, name: str) -> None:
    bench.site = one(bench.site, VM)
    bench.apply()
    before = bench.texts()
    process = bench.host.sh("cat /run/libvirt/qemu/7.pid")
    bench.site = one(bench.site, replace(VM, **CHANGES[name]))
    plan = bench.apply()
    assert bench.wanted_but_not_seen() == {}
    assert not bench.plan().changes
    assert plan.disruption.level is Level.NONE
    assert bench.host.sh("cat /run/libvirt/qemu/7.pid") == process
    assert bool(seen(bench).facts["pending"]) == (name != "autostart")
    for _ in range(2):
        bench.undo(plan)
        assert bench.texts() == before


def test_what_others_wrote_into_a_definition_is_kept(bench: Bench) -> None:
    bench.site = one(bench.site, VM)
    bench.apply()
    text = bench.host.virsh("dumpxml", "--inactive", uuid(bench))
    text = text.replace("</metadata>", '<o:x xmlns:o="urn:o" a="1">text</o:x></metadata>')
    text = text.replace("<model type='virtio'/>", "<model type='e1000e'/>", 1)
    text = text.replace("<on_crash>destroy<", "<on_crash>preserve<")
    extra = "<commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'><arg value='-S'/></commandline>"
    bench.host.virsh("define", "/dev/stdin", stdin=text.replace("</domain>", extra + "</domain>"))
    assert bench.plan().empty
    bench.site = one(bench.site, replace(VM, vcpus=2, nics=(nic("100", "web", 1), VM.nics[1])))
    bench.apply()
    after = bench.host.virsh("dumpxml", "--inactive", uuid(bench))
    for kept in ('a="1">text<', "e1000e", "preserve", "'-S'", "<vcpu placement='static'>2<"):
        assert kept in after
    assert f"<source network='{NAME}' portgroup='100'/>".replace('"', "&quot;") in after


def test_a_guest_is_started_again_and_undo_stops_it_not(bench: Bench) -> None:
    bench.site = one(bench.site, VM)
    bench.apply()
    bench.host.virsh("destroy", uuid(bench))
    plan = bench.apply()
    assert actions(plan) == [(Action.UPDATE, "7")]
    assert seen(bench).running["state"] == "running"
    bench.host.virsh("suspend", uuid(bench))
    assert seen(bench).running["state"] == "paused"
    bench.apply()
    assert bench.plan().empty


def test_a_guest_that_does_not_shut_down_is_not_killed_and_that_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.site = one(bench.site, VM)
    bench.apply()
    bench.site = one(bench.site, replace(VM, running=False))
    monkeypatch.setattr(vms, "_SET_VM", vms._SET_VM.replace(f"-gt {vms.STOP_LIMIT * 2}", "-gt 3"))
    plan = bench.plan()
    assert plan.disruption.level is Level.GUEST_RESTART
    answers = [a for script in bench.scripts(plan) for a in bench.host.run(script)]
    assert not answers[-1].ok
    assert "is still: running" in answers[-1].err
    assert seen(bench).running["state"] == "running"


def test_undo_of_making_removes_the_vm_and_keeps_nothing(bench: Bench) -> None:
    plan = bench.apply()
    bench.undo(plan)
    bench.undo(plan)
    assert bench.host.virsh("list", "--all", "--uuid").strip() == ""
    assert no_marks(bench.host)


def test_a_vm_named_like_the_number_of_another_is_not_mistaken_for_it(bench: Bench) -> None:
    bench.site = one(bench.site, replace(VM, name="victim"))
    bench.apply()
    number = bench.host.virsh("domid", "victim").strip()
    clone = replace(VM, name=number, nics=(), disks=())
    bench.site = replace(bench.site, vms={**bench.site.vms, number: clone})
    plan = bench.apply()
    bench.undo(plan)
    assert bench.host.virsh("list", "--name").split() == ["victim"]


def test_a_vm_made_by_hand_is_taken_over_without_a_restart_and_given_back(bench: Bench) -> None:
    bench.site = one(bench.site, replace(VM, nics=(), disks=()))
    by_hand = (
        f"<domain type='qemu'><name>7</name><memory unit='MiB'>64</memory><os><type machine='q35'>hvm</type>"
        f"<kernel>{KERNEL}</kernel></os><devices><memballoon model='none'/></devices></domain>"
    )
    bench.host.virsh("define", "/dev/stdin", stdin=by_hand)
    bench.host.virsh("start", "--domain=7")
    before = bench.texts()
    assert "adopt" in {r.code for r in bench.plan().refusals}
    assert not [c for c in bench.plan().changes if c.key.kind == "vm"]
    process = bench.host.sh("cat /run/libvirt/qemu/7.pid")
    plan = bench.apply(ADOPT)
    assert bench.plan().empty
    assert bench.host.sh("cat /run/libvirt/qemu/7.pid") == process
    for _ in range(2):
        bench.undo(plan)
        assert bench.texts() == before


def by_hand(bench: Bench, disk: str) -> None:
    """A VM of the declared name that somebody made, with a raw disk of its own."""
    bench.host.sh('mkdir -p "${1%/*}"; echo precious > "$1"; truncate -s 8M "$1"', disk)
    path = disk.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    document = (
        f"<domain type='qemu'><name>7</name><memory unit='MiB'>64</memory><os><type machine='q35'>hvm</type>"
        f"<kernel>{KERNEL}</kernel></os><devices><disk type='file' device='disk'><driver type='raw'/>"
        f"<source file=\"{path}\"/><target dev='vda' bus='sata'/></disk></devices></domain>"
    )
    bench.host.virsh("define", "/dev/stdin", stdin=document)


def test_a_disk_that_a_taken_over_vm_has_is_never_replaced_by_an_empty_one(bench: Bench) -> None:
    disk = Disk(target="vda", size=Bytes(8 << 20), storage="my disks")
    bench.site = one(bench.site, replace(VM, disks=(disk,), running=False))
    old = f"{DISKS}/old name.raw"
    by_hand(bench, old)
    bench.apply(ADOPT)  # first the pool: the volume can be seen only then
    plan = bench.apply(ADOPT)
    assert bench.plan().empty
    assert bench.host.sh('ls "$1"', DISKS) == "old name.raw\n"
    text = bench.host.virsh("dumpxml", "--inactive", uuid(bench))
    assert "old name.raw" in text
    assert "type='raw'" in text
    assert "bus='sata'" in text
    bench.undo(plan)
    assert bench.host.sh('head -c 9 "$1"', old) == "precious\n"


def test_a_disk_outside_its_declared_storage_is_refused_and_stays(bench: Bench) -> None:
    bench.site = one(bench.site, replace(VM, running=False))
    by_hand(bench, "/mnt/else/where.raw")
    plan = bench.plan(ADOPT)
    assert "disk-elsewhere" in {r.code for r in plan.refusals}
    assert not [c for c in plan.changes if c.key.kind == "volume"]


def test_every_step_run_twice_is_as_good_as_once(bench: Bench) -> None:
    plan = bench.apply()
    before = bench.texts()
    bench.run_again(plan)
    assert bench.texts() == before


def test_a_definition_with_a_password_is_not_changed(bench: Bench) -> None:
    bench.site = one(bench.site, VM)
    bench.apply()
    text = bench.host.virsh("dumpxml", "--inactive", uuid(bench))
    graphics = "<graphics type='vnc' passwd='secret'/></devices>"
    bench.host.virsh("define", "/dev/stdin", stdin=text.replace("</devices>", graphics))
    bench.site = one(bench.site, replace(VM, vcpus=2))
    plan = bench.plan()
    answers = [a for script in bench.scripts(plan) for a in bench.host.run(script)]
    assert "password" in answers[-1].err
    assert "secret" in bench.host.virsh("dumpxml", "--inactive", "--security-info", uuid(bench))
    assert "secret" not in repr(plan)


def test_a_vm_that_left_the_declaration_is_reported_and_runs_on(bench: Bench) -> None:
    bench.apply()
    bench.site = replace(bench.site, vms={})
    plan = bench.plan()
    assert plan.stages == ()
    assert {str(k) for k in plan.undeclared} >= {f"h1/vm/{VM.name}", f"h1/vm/{ODD_VM.name}"}
