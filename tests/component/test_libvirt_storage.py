"""Directory pools and volumes on a real libvirtd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from component.libvirt_lab import Lab, lab, missing
from component.libvirt_site import DISKS, POOL, SCOPE, STORED, STORED_VM, Bench, no_marks
from grappe.graph.change import Action
from grappe.graph.resource import Key
from grappe.model.site import ImageBoot
from grappe.model.units import Bytes
from grappe.platforms.planning import Choices

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")

ADOPT = Choices(adopt=("all",))
VDA = f"{DISKS}/7-vda.qcow2"


@pytest.fixture(scope="module")
def host() -> Iterator[Lab]:
    with lab() as running:
        yield running


@pytest.fixture
def bench(host: Lab) -> Bench:
    host.clear()
    host.sh('rm -rf "$1" /mnt/image*', DISKS)
    return Bench(host, STORED)


def size_of(host: Lab, path: str) -> int:
    said = host.sh('qemu-img info --output=json "$1" | tr -d " ,\\n\\""', path)
    return int(said.partition("virtual-size:")[2].partition("filename")[0].partition("format")[0])


def grown(bench: Bench, size: int) -> None:
    disk = replace(STORED_VM.disks[0], size=Bytes(size))
    bench.site = replace(
        bench.site, vms={STORED_VM.name: replace(bench.site.vms[STORED_VM.name], disks=(disk,))}
    )


def test_made_from_bare_it_reads_back_as_itself_and_the_second_plan_is_empty(bench: Bench) -> None:
    bench.apply()
    assert bench.wanted_but_not_seen() == {}
    assert bench.plan().empty
    volume = bench.see().resources[Key(SCOPE, "volume", f"{POOL}/7-vda.qcow2")]
    assert volume.persistent == {"size": 5_000_192, "format": "qcow2"}  # whole sectors
    assert "7-vda.qcow2" in bench.host.virsh("vol-list", f"--pool={POOL}")


def test_undone_from_bare_nothing_is_left(bench: Bench) -> None:
    plan = bench.apply()
    bench.undo(plan)
    bench.undo(plan)
    assert no_marks(bench.host)
    assert bench.host.virsh("pool-list", "--all", "--uuid").strip() == ""
    assert bench.host.sh('ls -A "$1"', DISKS) == ""


def test_undo_keeps_a_volume_that_was_written_to(bench: Bench) -> None:
    plan = bench.apply()
    bench.host.sh('qemu-io -f qcow2 -c "write -P 7 0 64k" "$1"', VDA)
    bench.undo(plan)
    bench.host.sh('qemu-io -f qcow2 -c "read -P 7 0 64k" "$1" | grep -q "read 65536/65536"', VDA)


def test_a_volume_that_appeared_since_the_plan_is_not_touched(bench: Bench) -> None:
    plan = bench.plan()
    bench.host.sh('mkdir -p "$1"; echo precious > "$2"', DISKS, VDA)
    with pytest.raises(AssertionError, match="is there already"):
        bench.run_again(plan)
    assert bench.host.sh('cat "$1"', VDA) == "precious\n"
    bench.undo(plan)
    assert bench.host.sh('cat "$1"', VDA) == "precious\n"


@pytest.mark.parametrize(
    ("drift", "named"),
    [
        ("virsh pool-destroy '{pool}'", {"running.active", "running.target"}),
        ("virsh pool-autostart --disable '{pool}'", {"persistent.autostart"}),
        ("virsh pool-destroy '{pool}'; virsh pool-undefine '{pool}'", {"running.active", "persistent.path"}),
    ],
)
def test_drift_is_named_repaired_and_undo_gives_it_back(bench: Bench, drift: str, named: set[str]) -> None:
    bench.apply()
    bench.host.sh(drift.format(pool=POOL))
    planted = bench.texts()
    plan = bench.apply()
    assert named <= {f"{facet}.{name}" for c in plan.changes for facet, name, _, _ in c.attributes()}
    assert bench.plan().empty
    assert size_of(bench.host, VDA) == 5_000_192
    for _ in range(2):
        bench.undo(plan)
        assert bench.texts() == planted


def test_files_that_others_put_there_are_foreign_whatever_their_names(bench: Bench) -> None:
    bench.apply()
    for name in ("a b.iso", "-dash", "two\nlines", "$(id)|x"):
        bench.host.sh('echo x > "$1"', f"{DISKS}/{name}")
    plan = bench.plan()
    assert plan.empty
    assert {k.name for k in plan.foreign if k.kind == "volume"} == {
        f"{POOL}/{name}" for name in ("a b.iso", "-dash", "two\nlines", "$(id)|x")
    }


def test_what_left_the_declaration_is_reported_and_stays(bench: Bench) -> None:
    bench.apply()
    bench.site = replace(bench.site, vms={})
    plan = bench.plan()
    assert plan.stages == ()
    assert {k.kind for k in plan.undeclared} == {"volume", "vm"}


def test_a_volume_grows_and_the_plan_says_that_there_is_no_way_back(bench: Bench) -> None:
    bench.apply()
    grown(bench, 10 << 20)
    plan = bench.apply()
    assert size_of(bench.host, VDA) == 10 << 20
    assert "cannot shrink" in next(step.irreversible for stage in plan.stages for step in stage.steps)
    assert bench.plan().empty
    bench.undo(plan)
    assert size_of(bench.host, VDA) == 10 << 20


def test_a_volume_never_shrinks(bench: Bench) -> None:
    bench.apply()
    grown(bench, 1 << 20)
    plan = bench.plan()
    assert [r.code for r in plan.refusals] == ["shrink"]
    assert plan.changes == ()
    assert plan.undeclared == ()


def test_a_pool_elsewhere_is_refused(bench: Bench) -> None:
    bench.apply()
    key = ("p", POOL)
    bench.site = replace(bench.site, storage={key: replace(bench.site.storage[key], path="/mnt/other")})
    plan = bench.plan()
    assert "pool-moved" in {r.code for r in plan.refusals}
    assert plan.changes == ()


def test_a_pool_made_by_hand_is_taken_over_and_given_back(bench: Bench) -> None:
    bench.host.sh('mkdir -p "$1"', DISKS)
    bench.site = replace(bench.site, vms={})
    path = DISKS.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    document = f"<pool type='dir'><name>{POOL}</name><target><path>{path}</path></target></pool>"
    bench.host.virsh("pool-define", "/dev/stdin", stdin=document)
    before = bench.texts()
    assert [r.code for r in bench.plan().refusals] == ["adopt"]
    plan = bench.apply(ADOPT)
    assert [c.action for c in plan.changes] == [Action.ADOPT]
    assert bench.plan().empty
    for _ in range(2):
        bench.undo(plan)
        assert bench.texts() == before


def test_a_disk_from_an_image_is_a_copy_and_a_broken_off_copy_starts_anew(bench: Bench) -> None:
    image = "/mnt/image $(id).raw"
    bench.host.sh('head -c 1000000 /dev/urandom > "$1"', image)
    digest = bench.host.sh('sha256sum < "$1"', image)
    bench.site = replace(bench.site, vms={STORED_VM.name: replace(STORED_VM, boot=ImageBoot(image=image))})
    plan = bench.plan()
    bench.host.sh('mkdir -p "$1"', DISKS)
    make = next(c for script in bench.scripts(plan) for c in script if VDA in c.argv)
    part = f"{DISKS}/.grappe-part-{make.argv[-1].rpartition('/')[2]}"
    bench.host.sh('echo half > "$1"', part)
    bench.apply()
    assert bench.plan().empty
    assert size_of(bench.host, VDA) == 5_000_192
    bench.host.sh('qemu-img convert -O raw "$1" /mnt/image2; head -c 1000000 /mnt/image2 > /mnt/image3', VDA)
    assert bench.host.sh("sha256sum < /mnt/image3") == digest
    assert bench.host.sh('sha256sum < "$1"', image) == digest
    assert bench.host.sh('ls -A "$1"', DISKS) == "7-vda.qcow2\n"
