"""A machine that has booted once, kept as memory and disk: later ones go on from there instead of booting.

It was frozen without cards and as nobody. What makes it one machine comes after the thaw: its files over the
console, its cards into free slots, where udev and ifupdown take them up as they would on any Debian host.
"""

from __future__ import annotations

import io
import platform
import re
import shlex
import shutil
import socket
import tarfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grappe.model.script import Answer
from grappe.twin.guest.accel import decide, qemu_version
from grappe.twin.guest.cache import digest, ensure_folder
from grappe.twin.guest.console import Console
from grappe.twin.guest.tools import BuildError, require, run
from grappe.twin.machine import qemu
from grappe.twin.machine.image import MachineFiles
from grappe.twin.machine.power import Vm
from grappe.twin.machine.qmp import reachable
from grappe.twin.machine.seed import Card, Identity, files, machine_id

# Raised when what is done before freezing changes in a way that the image does not show.
_RECIPE = "1"
_KERNEL_NAME = re.compile(r"eth\d+")
_BOOT_LIMIT, _MOVE_LIMIT = 300.0, 120.0

# libvirtd finds out once what QEMU can do; it is started again when the machine knows its own UUID.
_BEFORE = """\
systemctl is-system-running --wait || { systemctl --failed --no-legend; exit 1; }
udevadm settle
if command -v virsh; then virsh -c qemu:///system capabilities >/dev/null && systemctl stop libvirtd; fi
sync
"""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A frozen machine: the `disk` at that moment (qcow2) and the `memory` (QEMU's migration stream)."""

    disk: Path
    memory: Path


def ensure_frozen(cache_dir: Path, image: MachineFiles, *, memory_mib: int, cpus: int) -> Frozen:
    """Return the frozen machine of this size, booting one on the first call (20 s to 60 s emulated).

    Raises BuildError or ConsoleError with what was seen when it does not come up.
    """
    version = qemu_version(run([require("qemu-system-x86_64", "qemu-system-x86"), "--version"]))
    sizes = f"{memory_mib} {cpus} {decide(cache_dir)} {platform.release()} {version}"
    words = qemu.argv(_nobody(memory_mib, cpus), qemu="", kernel=Path(), monitor_fd=0, accel="tcg")
    key = digest([_RECIPE, _BEFORE, image.disk.parent.name, sizes, repr(words)])

    def build(folder: Path) -> None:
        _freeze(folder, cache_dir, image, _nobody(memory_mib, cpus))

    folder = ensure_folder(cache_dir, "frozen", key, build)
    return Frozen(folder / qemu.DISK, folder / "memory")


def _nobody(memory_mib: int, cpus: int) -> qemu.Hardware:
    return qemu.Hardware("machine", memory_mib, cpus, ())


def _freeze(folder: Path, cache_dir: Path, image: MachineFiles, hardware: qemu.Hardware) -> None:
    key = folder / "key"
    run([require("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    public = key.with_suffix(".pub").read_text()
    alone = "auto lo\niface lo inet loopback\n"
    vm = Vm(hardware, Identity("machine", alone, key.read_text(), public, public), {}, folder / "state")
    vm.power_on(image, cache_dir)
    try:
        _on_console(vm, _BEFORE, _BOOT_LIMIT)
        vm.execute("stop")
        vm.execute("migrate-set-parameters", {"max-bandwidth": 1 << 40})
        vm.execute("migrate", {"uri": f"exec:cat >{shlex.quote(str(folder / 'memory'))}"})
        _wait(lambda: _migrated(vm), f"{folder.name}: its memory is not on disk")
    finally:
        vm.power_off()
    vm.disk.rename(folder / qemu.DISK)
    shutil.rmtree(folder / "state")
    for half in (key, key.with_suffix(".pub")):
        half.unlink()


def thaw(vm: Vm, frozen: Frozen, image: MachineFiles, cache_dir: Path) -> None:
    """Power `vm` on for the first time, as if it had booted; its disk must not be there yet.

    Raises BuildError, QmpError or ConsoleError with what was seen; the power is off then.
    """
    vm.make_disk(frozen.disk, "qcow2")
    vm.launch(image, cache_dir, ["-incoming", "defer"])
    with vm.powered_off_on_error():
        vm.execute("migrate-incoming", {"uri": f"exec:cat {shlex.quote(str(frozen.memory))}"})
        _wait(lambda: _migrated(vm), f"{vm.hardware.name}: its memory is not back")
        vm.execute("cont")
        _become(vm)
        for batch in batches(vm.hardware.cards):
            for card in batch:
                vm.execute("netdev_add", qemu.netdev(vm.hardware, card))
                vm.lay(card)
                vm.execute("device_add", qemu.device(vm.hardware, card))
            _on_console(vm, wait_for(batch), 60)
        if brought_up_at_boot(vm.identity.interfaces) & {card.name for card in vm.hardware.cards}:
            _on_console(vm, "ifup -a", 60)


def brought_up_at_boot(interfaces: str) -> set[str]:
    """The interfaces that /etc/network/interfaces calls auto; others come with their cards or not at all."""
    lines = (line.split() for line in interfaces.splitlines())
    return {name for words in lines if words and words[0] in ("auto", "allow-auto") for name in words[1:]}


def batches(cards: Sequence[Card]) -> list[list[Card]]:
    """The cards in the order in which they go in, those together that may come at once.

    The kernel calls a new card eth0, eth1, … until udev gives it its name. A card whose own name is of that
    kind goes in alone and before all others, else another card might hold its name for a moment.
    """
    alone = sorted((card for card in cards if _KERNEL_NAME.fullmatch(card.name)), key=lambda card: card.name)
    others = [card for card in cards if card not in alone]
    return [*([card] for card in alone), *([others] if others else [])]


def _become(vm: Vm) -> None:
    """Bring the files on a disk that is plugged in for a moment: what is typed on a console is logged."""
    archive = vm.state_dir / "seed.tar"
    archive.touch(mode=0o600)
    archive.write_bytes(tar(files(vm.identity, vm.hardware.cards)))
    block = {"driver": "file", "filename": str(archive), "node-name": "seed", "read-only": True}
    vm.execute("blockdev-add", block)
    vm.execute("device_add", {"driver": "virtio-blk-pci", "drive": "seed", "id": "seed", "bus": qemu.SPARE})
    _on_console(vm, become(vm.identity, vm.hardware.cards, time.time()), 60)
    vm.execute("device_del", {"id": "seed"})


def tar(found: Mapping[str, tuple[int, str]]) -> bytes:
    """An archive of files given as mode and text by path; all belong to root."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for path, (mode, text) in found.items():
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = mode, len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return memory.getvalue()


def become(identity: Identity, cards: tuple[Card, ...], now: float) -> str:
    """The script that makes a thawed machine the one it shall be; `now` is the time since the epoch.

    Its files are an archive on the second disk. Units that read them at boot are told to do so again.
    """
    host, number = shlex.quote(identity.hostname), uuid.UUID(machine_id(identity.hostname, cards))
    conf = "/etc/libvirt/libvirtd.conf"
    lines = [
        "set -e",
        "for turn in $(seq 200); do [ ! -b /dev/vdb ] || break; sleep 0.05; done",
        "mkdir -p -m 700 /root/.ssh",
        "tar -x -C / --no-overwrite-dir -f /dev/vdb",
        f"hostname {host}",
        f"date -s @{now:.3f}",
        f"ovs-vsctl set Open_vSwitch . external_ids:system-id={number} external_ids:hostname={host}",
        "udevadm control --reload",
        "kill -HUP $(cat /run/sshd.pid)",
        f"[ -e {conf} ] || exit 0",
        f"echo 'host_uuid = \"{number}\"' >>{conf}",
        "systemctl start --no-block libvirtd",
    ]
    return "\n".join(lines) + "\n"


def wait_for(cards: Sequence[Card]) -> str:
    """The script that waits until cards have their names and udev, so ifupdown too, is done with them."""
    there = " && ".join(f"[ -e /sys/class/net/{shlex.quote(card.name)} ]" for card in cards)
    return f"for turn in $(seq 400); do {there} && break; sleep 0.05; done; udevadm settle; {there}"


def _on_console(vm: Vm, script: str, limit: float) -> Answer:
    with socket.socket(socket.AF_UNIX) as line:
        with reachable(vm.state_dir / qemu.CONSOLE) as name:
            line.connect(name)
        console = Console(line, line)
        console.wait_ready(limit)
        answer = console.run(script, limit)
    if not answer.ok:
        raise BuildError(
            f"{vm.hardware.name}: {script.splitlines()[-1]!r} on its console failed: {answer.out}"
        )
    return answer


def _migrated(vm: Vm) -> bool:
    """Whether a migration has ended well; BuildError when it has failed."""
    told = vm.execute("query-migrate")
    state = told.get("status", "") if isinstance(told, dict) else ""
    if state in ("failed", "cancelled"):
        raise BuildError(f"{vm.hardware.name}: QEMU's migration {state}: {told}")
    return state == "completed"


def _wait(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _MOVE_LIMIT
    while not done():
        if time.monotonic() > deadline:
            raise BuildError(f"{what} after {_MOVE_LIMIT:.0f} s")
        time.sleep(0.02)
