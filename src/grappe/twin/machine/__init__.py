"""Machines with their own kernel in the twin: Debian under QEMU."""

from grappe.twin.machine.frozen import Frozen, ensure_frozen, thaw
from grappe.twin.machine.image import MachineFiles, ensure_machine
from grappe.twin.machine.node import QemuMachine
from grappe.twin.machine.power import Vm
from grappe.twin.machine.qemu import Hardware
from grappe.twin.machine.seed import Card, Identity

__all__ = [
    "Card",
    "Frozen",
    "Hardware",
    "Identity",
    "MachineFiles",
    "QemuMachine",
    "Vm",
    "ensure_frozen",
    "ensure_machine",
    "thaw",
]
