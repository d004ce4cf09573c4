"""QEMU's command line for a machine (pure)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grappe.twin.machine.seed import Card, machine_id

# Relative to the machine's state folder, which is QEMU's working directory: a socket's path stays short.
MONITOR, CONSOLE, CONSOLE_LOG, DISK, INITRD = "monitor", "console", "console.log", "disk.qcow2", "initrd"

# Slots for cards, and one besides; a frozen machine has as many, whatever is put in later.
SLOTS, SPARE = 8, "spare"
_KERNEL_LINE = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off quiet panic=-1 systemd.firstboot=no"
)


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine as QEMU makes it; `cards` in the order of their slots."""

    name: str
    memory_mib: int
    cpus: int
    cards: tuple[Card, ...]

    def tap(self, card: Card) -> str:
        """The name of the tap behind a card, on the machine's outside."""
        return f"tap{self.cards.index(card)}"

    def device(self, card: Card) -> str:
        """The card's name in QEMU's monitor."""
        return f"nic{self.cards.index(card)}"


def argv(
    hardware: Hardware, *, qemu: str, kernel: Path, monitor_fd: int, accel: Literal["kvm", "tcg"]
) -> list[str]:
    """The words that start QEMU, paused and without cards, in the state folder.

    `monitor_fd` is a listening socket.
    """
    words = [qemu, "-name", hardware.name, "-uuid", str(uuid.UUID(machine_id(hardware.name, hardware.cards)))]
    words += ["-S", "-nodefaults", "-display", "none", "-no-user-config"]
    words += ["-machine", "q35,usb=off,vmport=off", *_processor(accel), "-smp", str(hardware.cpus)]
    words += ["-m", str(hardware.memory_mib), "-rtc", "base=utc"]
    words += ["-kernel", str(kernel), "-initrd", INITRD, "-append", _KERNEL_LINE]
    words += ["-chardev", f"socket,id=monitor,fd={monitor_fd},server=on,wait=off"]
    words += ["-mon", "chardev=monitor,mode=control"]
    words += ["-chardev", f"socket,id=console,path={CONSOLE},server=on,wait=off,logfile={CONSOLE_LOG}"]
    words += ["-serial", "chardev:console", "-device", "virtio-rng-pci"]
    words += ["-drive", f"if=none,id=disk,file={DISK},format=qcow2,cache=writeback,discard=unmap"]
    words += ["-device", "virtio-blk-pci,drive=disk"]
    for number in range(max(SLOTS, len(hardware.cards))):
        words += ["-device", f"pcie-root-port,id=slot{number},chassis={number + 1}"]
    return [*words, "-device", f"pcie-root-port,id={SPARE},chassis=255"]


def _processor(accel: Literal["kvm", "tcg"]) -> Sequence[str]:
    # Not "max": QEMU 7.2 was seen to emulate parts of it wrongly, so that programs aborted.
    if accel == "kvm":
        return ("-accel", "kvm", "-cpu", "host")
    return ("-accel", "tcg,tb-size=256", "-cpu", "qemu64")


def netdev(hardware: Hardware, card: Card) -> dict[str, str | bool]:
    """The tap behind a card, in the terms of QMP's netdev_add."""
    tap = hardware.tap(card)
    return {"type": "tap", "id": tap, "ifname": tap, "script": "no", "downscript": "no"}


def device(hardware: Hardware, card: Card) -> dict[str, str | int | bool]:
    """A card in its slot, in the terms of QMP's device_add."""
    # Frames on the tap are whole and checksummed: whoever reads them behind tc gets no notes about offloads.
    offloads = ("csum", "gso", "guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo")
    return {
        "driver": "virtio-net-pci",
        "id": hardware.device(card),
        "netdev": hardware.tap(card),
        "bus": f"slot{hardware.cards.index(card)}",
        "mac": card.mac,
        "romfile": "",
        "speed": 1000,
        "duplex": "full",
        **dict.fromkeys(offloads, False),
    }


def option(terms: Mapping[str, str | int | bool], first: str) -> str:
    """QMP's terms as a word of the command line, which begins with the value of `first`."""
    rest = (f"{name}={_word(value)}" for name, value in terms.items() if name != first)
    return ",".join([str(terms[first]), *rest])


def _word(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value).replace(",", ",,")


def cards(hardware: Hardware) -> list[str]:
    """The words that put all cards in at power-on."""
    words: list[str] = []
    for card in hardware.cards:
        words += ["-netdev", option(netdev(hardware, card), "type")]
        words += ["-device", option(device(hardware, card), "driver")]
    return words
