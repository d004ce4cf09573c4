"""Networks and port groups on a real libvirtd with a real Open vSwitch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from component.libvirt_lab import Lab, lab, missing
from component.libvirt_site import BARE, NAME, SCOPE, Bench, no_marks
from grappe.graph.change import Action
from grappe.graph.resource import Key
from grappe.model.site import PortGroup
from grappe.model.units import VlanId
from grappe.platforms.planning import Choices

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")

ADOPT = Choices(adopt=("all",))

STOCK = """<network connections='1'><name>default</name><uuid>11111111-2222-5333-8444-555555555555</uuid>
<metadata><o:owner xmlns:o="urn:other" who="someone"/></metadata>
<forward mode='bridge'/><bridge name='br0'/><virtualport type='openvswitch'/>
<portgroup name='spare' default='yes'><bandwidth><inbound average='1000'/></bandwidth>
<vlan><tag id='7'/></vlan></portgroup></network>"""


@pytest.fixture(scope="module")
def host() -> Iterator[Lab]:
    with lab() as running:
        yield running


@pytest.fixture
def bench(host: Lab) -> Bench:
    host.clear()
    return Bench(host, BARE)


def stock(host: Lab, name: str = "default") -> None:
    """A network that somebody else made: active, started at boot."""
    host.virsh("net-define", "/dev/stdin", stdin=STOCK.replace(">default<", f">{name}<", 1))
    host.virsh("net-start", f"--network={name}")
    host.virsh("net-autostart", f"--network={name}")


def test_made_from_bare_it_reads_back_as_itself_and_the_second_plan_is_empty(bench: Bench) -> None:
    plan = bench.apply()
    assert {c.action for c in plan.changes} == {Action.CREATE}
    assert bench.wanted_but_not_seen() == {}
    assert bench.plan().empty


def test_undone_from_bare_nothing_is_left(bench: Bench) -> None:
    plan = bench.apply()
    bench.undo(plan)
    bench.undo(plan)
    assert no_marks(bench.host)
    assert bench.host.virsh("net-list", "--all", "--name").strip() == ""


def test_a_step_run_twice_is_as_good_as_once(bench: Bench) -> None:
    plan = bench.apply()
    before = bench.texts()
    bench.run_again(plan)
    assert bench.texts() == before


DRIFT = {
    "stopped": ("virsh net-destroy --network='{net}'", {"running.active"}),
    "undefined while active": (
        "virsh net-undefine --network='{net}'",
        {"persistent.forward", "persistent.native"},
    ),
    "not started at boot": ("virsh net-autostart --disable --network='{net}'", {"persistent.autostart"}),
    "on another bridge at boot": (
        "virsh net-dumpxml --inactive --network='{net}' | sed s/brint/br0/ | virsh net-define /dev/stdin",
        {"persistent.bridge"},
    ),
    "on another bridge now": (
        "virsh net-dumpxml --network='{net}' > /mnt/old; virsh net-destroy --network='{net}';"
        "sed s/brint/br0/ /mnt/old | virsh net-define /dev/stdin; virsh net-start --network='{net}';"
        "virsh net-define /mnt/old",
        {"running.bridge"},
    ),
    "a wrong tag now": (
        "virsh net-update --network='{net}' modify portgroup --live"
        " \"<portgroup name='100'><vlan><tag id='66'/></vlan></portgroup>\"",
        {"running.native"},
    ),
    "a wrong tag at boot": (
        "virsh net-update --network='{net}' modify portgroup --config"
        " \"<portgroup name='100'><vlan><tag id='66'/></vlan></portgroup>\"",
        {"persistent.native"},
    ),
    "a group without VLANs": (
        "virsh net-update --network='{net}' modify portgroup --live --config"
        " \"<portgroup name='100' default='yes'/>\"",
        {"running.native", "running.trunk", "persistent.native", "persistent.trunk"},
    ),
    "a trunk with one VLAN too many": (
        "virsh net-update --network='{net}' modify portgroup --live"
        " \"<portgroup name='trunk'><vlan trunk='yes'><tag id='10'/><tag id='20'/>"
        "<tag id='99'/></vlan></portgroup>\"",
        {"running.tagged"},
    ),
    "a missing group": (
        "virsh net-update --network='{net}' delete portgroup --live --config \"<portgroup name='100'/>\"",
        {"running.native", "persistent.native"},
    ),
}


@pytest.mark.parametrize("drift", DRIFT)
def test_drift_planted_behind_our_back_is_named_repaired_and_undo_gives_it_back(
    bench: Bench, drift: str
) -> None:
    bench.apply()
    text, named = DRIFT[drift]
    bench.host.sh(text.format(net=NAME))
    planted = bench.texts()
    plan = bench.plan()
    found = {f"{facet}.{name}" for c in plan.changes for facet, name, _, _ in c.attributes()}
    assert named <= found
    assert not plan.refusals
    bench.apply()
    assert bench.plan().empty
    for _ in range(2):
        bench.undo(plan)
        assert bench.texts() == planted


def test_what_we_do_not_know_of_is_kept_when_a_neighbour_changes(bench: Bench) -> None:
    bench.apply()
    group = "<portgroup name='100'><bandwidth><inbound average='8'/></bandwidth><vlan><tag id='10'/></vlan>"
    update = ("net-update", f"--network={NAME}", "modify", "portgroup", "--live", "--config")
    bench.host.virsh(*update, group + "</portgroup>")
    foreign = "<portgroup name='theirs'><vlan><tag id='77'/></vlan></portgroup>"
    bench.host.virsh(*update[:2], "add-last", *update[3:], foreign)
    assert bench.plan().empty
    web = replace(bench.site.networks["web"], vlan=VlanId(11))
    bench.site = replace(bench.site, networks={**bench.site.networks, "web": web})
    plan = bench.apply()
    assert {c.key.name for c in plan.changes} == {
        f"{NAME}/{g}" for g in ("100", "trunk", "one", "mixed", "native")
    }
    assert Key(SCOPE, "port-group", f"{NAME}/theirs") in bench.plan().foreign
    for inactive in ((), ("--inactive",)):
        text = bench.host.virsh("net-dumpxml", f"--network={NAME}", *inactive)
        assert "theirs" in text
        assert "<inbound average='8'/>" in text
        assert "<tag id='11'/>" in text


def test_a_group_that_left_the_declaration_goes_and_comes_back_on_undo(bench: Bench) -> None:
    bench.apply()
    before = bench.texts()
    key = ("in", "100")
    bench.site = replace(
        bench.site, port_groups={k: g for k, g in bench.site.port_groups.items() if k != key}
    )
    plan = bench.apply()
    assert [(c.action, c.key.name) for c in plan.changes] == [(Action.REMOVE, f"{NAME}/100")]
    assert bench.plan().empty
    bench.undo(plan)
    bench.undo(plan)
    assert bench.texts() == before


def test_default_goes_only_when_adopted_and_undo_gives_it_back_whole(bench: Bench) -> None:
    stock(bench.host)
    before = bench.texts()
    bench.site = replace(bench.site, removed={"libvirt_networks": frozenset({"default"})})
    assert {r.code for r in bench.plan().refusals} == {"adopt"}
    plan = bench.apply(ADOPT)
    names = bench.host.virsh("net-list", "--all", "--name").splitlines()
    assert "default" not in names
    assert bench.plan().empty
    for _ in range(2):
        bench.undo(plan)
        assert bench.texts() == before


def test_default_left_active_after_its_definition_was_deleted_is_seen_and_removed(bench: Bench) -> None:
    stock(bench.host)
    bench.host.virsh("net-undefine", "--network=default")
    before = bench.texts()
    bench.site = replace(bench.site, removed={"libvirt_networks": frozenset({"default"})})
    plan = bench.apply(ADOPT)
    assert "default" not in bench.host.virsh("net-list", "--all", "--name").splitlines()
    for _ in range(2):
        bench.undo(plan)
        assert bench.texts() == before


def test_a_network_that_a_foreign_vm_is_on_does_not_go(bench: Bench) -> None:
    stock(bench.host)
    bench.host.virsh(
        "define",
        "/dev/stdin",
        stdin="<domain type='qemu'><name>theirs</name><memory>65536</memory><os><type>hvm</type></os>"
        "<devices><interface type='network'><source network='default'/></interface></devices></domain>",
    )
    bench.site = replace(bench.site, removed={"libvirt_networks": frozenset({"default"})})
    refusals = bench.plan(ADOPT).refusals
    assert [(r.code, r.where) for r in refusals] == [("in-use", "h1/libvirt-network/default")]


def test_a_network_made_by_hand_is_taken_over_only_when_told_and_given_back_as_it_was(bench: Bench) -> None:
    stock(bench.host, NAME)
    before = bench.texts()
    refused = bench.plan()
    assert "adopt" in {r.code for r in refused.refusals}
    assert refused.changes == ()
    plan = bench.apply(ADOPT)
    assert bench.plan().empty
    text = bench.host.virsh("net-dumpxml", "--inactive", f"--network={NAME}")
    assert "urn:other" in text
    assert "spare" in text
    for _ in range(2):
        bench.undo(plan)
        assert bench.texts() == before
    assert no_marks(bench.host)


def test_another_sites_network_is_foreign(bench: Bench) -> None:
    bench.apply()
    bench.site = replace(bench.site, name="other")
    assert {r.code for r in bench.plan().refusals} == {"adopt"}


def test_a_group_name_that_libvirt_cannot_keep_is_refused(bench: Bench) -> None:
    bad = PortGroup(name="a<b", fabric="in", native="web")
    bench.site = replace(bench.site, port_groups={**bench.site.port_groups, ("in", "a<b"): bad})
    assert [r.code for r in bench.plan().refusals] == ["port-group-name"]


def test_libvirt_down_is_unknown_and_not_empty(bench: Bench) -> None:
    bench.apply()
    bench.host.stop_libvirt()
    try:
        seen = bench.see()
        plan = bench.plan()
    finally:
        bench.host.start_libvirt()
    assert seen.facts["libvirt"] == "down"
    assert [r.code for r in plan.refusals] == ["libvirt-down"]
    assert plan.changes == ()


def test_libvirt_absent_is_said(bench: Bench) -> None:
    bench.host.sh("mount --bind /dev/null /usr/bin/virsh")
    try:
        seen = bench.see()
        plan = bench.plan()
    finally:
        bench.host.sh("umount /usr/bin/virsh")
    assert seen.facts["libvirt"] == "absent"
    assert [r.code for r in plan.refusals] == ["libvirt-absent"]
    assert plan.changes == ()


def test_everything_is_asked_with_two_calls_of_virsh(bench: Bench) -> None:
    bench.apply()
    bench.host.sh(
        "cp /usr/bin/virsh /mnt/virsh;"
        "printf '#!/bin/sh\\necho x >> /mnt/calls\\nexec /mnt/virsh \"$@\"\\n' > /mnt/counting;"
        "chmod +x /mnt/counting; rm -f /mnt/calls; mount --bind /mnt/counting /usr/bin/virsh"
    )
    try:
        seen = bench.see()
    finally:
        bench.host.sh("umount /usr/bin/virsh")
    assert seen.facts["libvirt"] == "up"
    assert len(bench.host.sh("cat /mnt/calls").split()) <= 2
