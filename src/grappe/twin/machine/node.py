"""The laboratory's view of a QEMU machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grappe.twin.blueprint import Node
from grappe.twin.errors import TwinError
from grappe.twin.guest.accel import decide
from grappe.twin.guest.console import ConsoleError
from grappe.twin.guest.tools import BuildError
from grappe.twin.machine.frozen import ensure_frozen, thaw
from grappe.twin.machine.image import ensure_machine
from grappe.twin.machine.power import Vm
from grappe.twin.machine.qemu import SLOTS, Hardware
from grappe.twin.machine.qmp import QmpError
from grappe.twin.machine.seed import Card, Identity
from grappe.twin.machine_api import MachinePlace


class QemuMachine:
    """A Debian host with its own kernel, systemd and ifupdown (a `grappe.twin.machine_api.Machine`)."""

    def __init__(self) -> None:
        self._vm: Vm | None = None

    def prepare(self, node: Node, cache: Path, say: Callable[[str], None]) -> None:
        """Build the image and boot one machine of this size, unless the cache has both."""
        say(f"{node.name}: a Debian machine under QEMU; the first of its kind takes one or two minutes")
        try:
            image = ensure_machine(cache, libvirt=node.libvirt)
            ensure_frozen(cache, image, memory_mib=node.memory_mib, cpus=node.cpus)
            say(f"{node.name}: runs with {decide(cache)}")
        except (BuildError, ConsoleError, QmpError) as error:
            raise TwinError(f"{node.name}: the machine cannot be made ready: {error}") from error

    def start(self, place: MachinePlace) -> None:
        """Switch the power on. Raises BuildError, QmpError or ConsoleError with what was seen.

        The first time it goes on from the frozen machine; after a power cut it boots from its own disk.
        """
        cables = {end.nic: end.link for end in place.nics}
        vm = self._vm = Vm(hardware(place), identity(place), cables, place.state_dir)
        image = ensure_machine(place.cache, libvirt=place.node.libvirt)
        if vm.disk.exists() or len(place.nics) > SLOTS:
            vm.power_on(image, place.cache)
        else:
            size = vm.hardware
            frozen = ensure_frozen(place.cache, image, memory_mib=size.memory_mib, cpus=size.cpus)
            thaw(vm, frozen, image, place.cache)

    def alive(self) -> bool:
        """Whether the machine runs."""
        return self._vm is not None and self._vm.running()

    def carrier(self, nic: str, up: bool) -> None:
        """Show the machine a carrier on `nic`, or none."""
        if self._vm is not None:
            self._vm.plug(nic, up=up)

    def stop(self) -> None:
        """Cut the power."""
        if self._vm is not None:
            self._vm.power_off()


def hardware(place: MachinePlace) -> Hardware:
    """What QEMU is to make for a place: the cards in the order of the cables' ends."""
    cards = tuple(Card(end.nic, end.mac, end.mtu) for end in place.nics)
    return Hardware(place.node.name, place.node.memory_mib, place.node.cpus, cards)


def identity(place: MachinePlace) -> Identity:
    """Who the machine in a place is, with the keys read from their files."""
    public = place.host_key.with_name(place.host_key.name + ".pub")
    return Identity(
        hostname=place.node.name,
        interfaces=place.interfaces,
        host_key=place.host_key.read_text(),
        host_key_public=public.read_text(),
        authorized_key=place.authorized_key,
    )
