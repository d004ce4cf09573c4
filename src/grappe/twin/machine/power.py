"""A Debian machine under QEMU: power on, power cut, power button, reset, cables."""

from __future__ import annotations

import subprocess
from pathlib import Path

from grappe.twin.guest.accel import decide
from grappe.twin.guest.tools import BuildError, require, run
from grappe.twin.machine import qemu
from grappe.twin.machine.image import MachineFiles
from grappe.twin.machine.qmp import Monitor, QmpError, listen
from grappe.twin.machine.seed import Identity, joined, seed
from grappe.twin.machine.wiring import join


class Vm:
    """One machine and its state folder. What it wrote to its disk is there again at the next `power_on`.

    `cables` gives for each card's name the link in this network namespace that its cable ends in. The disk is
    cached by this kernel (writeback) and flushed when the machine says so: killing QEMU is a power cut, after
    which everything the machine had synced is there.
    """

    def __init__(
        self, hardware: qemu.Hardware, identity: Identity, cables: dict[str, str], state_dir: Path
    ) -> None:
        self.hardware, self.identity, self.cables, self.state_dir = hardware, identity, cables, state_dir
        self._process: subprocess.Popen[bytes] | None = None

    def power_on(self, files: MachineFiles, cache_dir: Path) -> None:
        """Start QEMU, lay its cables, let it run. Raises BuildError with QEMU's own words."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._make_disk(files)
        more = seed(self.identity, self.hardware.cards)
        initrd = self.state_dir / qemu.INITRD
        initrd.touch(mode=0o600)
        initrd.write_bytes(joined(files.initrd.read_bytes(), more))
        self._launch(files, cache_dir)
        try:
            for card in self.hardware.cards:
                if card.name in self.cables:
                    join(self.hardware.tap(card), self.cables[card.name])
            self.execute("cont")
        except BaseException:
            self.power_off()
            raise

    def running(self) -> bool:
        """Whether QEMU runs; it also ends when the machine powers itself off."""
        return self._process is not None and self._process.poll() is None

    def power_off(self) -> None:
        """Cut the power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def press_power_button(self) -> None:
        """Ask the machine to shut down (ACPI)."""
        self.execute("system_powerdown")

    def reset(self) -> None:
        """Press the reset button: the machine starts again without having been asked."""
        self.execute("system_reset")

    def plug(self, card_name: str, *, up: bool) -> None:
        """Show the machine a carrier on a card, or none. Raises KeyError when there is no such card."""
        card = next((one for one in self.hardware.cards if one.name == card_name), None)
        if card is None:
            known = ", ".join(one.name for one in self.hardware.cards) or "none"
            raise KeyError(f"{self.hardware.name} has no NIC {card_name!r}; it has: {known}")
        self.execute("set_link", name=self.hardware.device(card), up=up)

    def execute(self, command: str, **arguments: object) -> object:
        """One command to QEMU's monitor; QmpError when it refuses."""
        with Monitor(self.state_dir / qemu.MONITOR) as monitor:
            answer: object = monitor.execute(command, **arguments)
            return answer

    def _make_disk(self, files: MachineFiles) -> None:
        disk = self.state_dir / qemu.DISK
        if not disk.exists():
            fresh = disk.with_suffix(".new")
            backing = ["-b", str(files.disk.resolve()), "-F", "raw"]
            run([require("qemu-img", "qemu-utils"), "create", "-q", "-f", "qcow2", *backing, str(fresh)])
            fresh.rename(disk)

    def _launch(self, files: MachineFiles, cache_dir: Path) -> None:
        program = require("qemu-system-x86_64", "qemu-system-x86")
        errors = self.state_dir / "qemu.log"
        with listen(self.state_dir / qemu.MONITOR) as line, errors.open("wb") as log:
            words = qemu.argv(
                self.hardware,
                qemu=program,
                kernel=files.kernel,
                monitor_fd=line.fileno(),
                accel=decide(cache_dir),
            )
            self._process = subprocess.Popen(
                words,
                cwd=self.state_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[line.fileno()],
            )
        try:
            self.execute("query-status")
        except QmpError as error:
            self.power_off()
            said = "; ".join(errors.read_text(errors="replace").strip().splitlines()[-3:])
            raise BuildError(
                f"QEMU does not start {self.hardware.name}: {said or error}",
                "without root, /dev/net/tun must be open to all (chmod 0666, as Debian's udev does)",
            ) from error
