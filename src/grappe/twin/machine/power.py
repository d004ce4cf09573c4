"""A Debian machine under QEMU: power on, power cut, power button, reset, cables."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from grappe.twin.guest.accel import decide
from grappe.twin.guest.tools import BuildError, require, run
from grappe.twin.machine import qemu
from grappe.twin.machine.image import MachineFiles
from grappe.twin.machine.qmp import Monitor, QmpError, listen
from grappe.twin.machine.seed import Card, Identity, joined, seed
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
        self.make_disk(files.disk, "raw")
        self.launch(files, cache_dir, qemu.cards(self.hardware))
        with self.powered_off_on_error():
            for card in self.hardware.cards:
                self.lay(card)
            self.execute("cont")

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
        self.execute("set_link", {"name": self.hardware.device(card), "up": up})

    def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        """One command to QEMU's monitor; QmpError when it refuses."""
        with Monitor(self.state_dir / qemu.MONITOR) as monitor:
            answer: object = monitor.execute(command, arguments)
            return answer

    # -- the parts of a power-on

    def lay(self, card: Card) -> None:
        """Join a card's tap, which QEMU has made, to its cable."""
        if card.name in self.cables:
            join(self.hardware.tap(card), self.cables[card.name])

    @property
    def disk(self) -> Path:
        """The machine's own disk; it is there once the machine had power."""
        return self.state_dir / qemu.DISK

    def make_disk(self, backing: Path, kind: str) -> None:
        """Make the machine's own disk over another one (`kind` raw or qcow2), unless it has one."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        if not self.disk.exists():
            fresh = self.disk.with_suffix(".new")
            words = ["create", "-q", "-f", "qcow2", "-b", str(backing.resolve()), "-F", kind, str(fresh)]
            run([require("qemu-img", "qemu-utils"), *words])
            fresh.rename(self.disk)

    def launch(self, files: MachineFiles, cache_dir: Path, more: Sequence[str] = ()) -> None:
        """Start QEMU, paused, with `more` words. Raises BuildError with what it said."""
        initrd = self.state_dir / qemu.INITRD
        initrd.touch(mode=0o600)
        initrd.write_bytes(joined(files.initrd.read_bytes(), seed(self.identity, self.hardware.cards)))
        program, log = require("qemu-system-x86_64", "qemu-system-x86"), self.state_dir / "qemu.log"
        accel = decide(cache_dir)
        with listen(self.state_dir / qemu.MONITOR) as line, log.open("wb") as said:
            number = line.fileno()
            words = qemu.argv(
                self.hardware, qemu=program, kernel=files.kernel, monitor_fd=number, accel=accel
            )
            self._process = subprocess.Popen(
                [*words, *more],
                cwd=self.state_dir,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=[number],
            )
        with self.powered_off_on_error():
            self._first_word(log)

    def _first_word(self, log: Path) -> None:
        try:
            self.execute("query-status")
        except QmpError as error:
            said = "; ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
            raise BuildError(
                f"QEMU does not start {self.hardware.name}: {said or error}",
                "without root, /dev/net/tun must be open to all (chmod 0666, as Debian's udev does)",
            ) from error

    @contextmanager
    def powered_off_on_error(self) -> Iterator[None]:
        """Cut the power when what is done here fails."""
        try:
            yield
        except BaseException:
            self.power_off()
            raise
