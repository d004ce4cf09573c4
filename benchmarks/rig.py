"""What the programs that measure the twin share: a site, its twin, samples and how they are printed."""

from __future__ import annotations

import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from grappe.app import Cluster, twin
from grappe.document import load
from grappe.twin.bring_up import bring_up
from grappe.twin.errors import TwinError
from grappe.twin.lab import Lab

SWITCH = "sw1"


def declaration(hosts: int, networks: int) -> str:
    """A site of `hosts` and one switch; `networks` counts the untagged one of management.

    Every host has addresses on management and on storage (MTU 9000); the other VLANs are bridged only.
    """
    vlans = range(11, 11 + networks - 2)
    lines = [
        "site: bench",
        "networks:",
        "  office:  {fabric: office, subnet: 192.168.10.0/24, roles: [management]}",
        "  storage: {fabric: rack, vlan: 10, subnet: 192.168.110.0/24, mtu: 9000, roles: [storage]}",
        *(f"  net{v}: {{fabric: rack, vlan: {v}, subnet: 10.{v}.0.0/16}}" for v in vlans),
        "pools:",
        "  kvm:",
        "    platform: kvm",
        "    attach:",
        "      eth0: {networks: [office], bridge: false}",
        "      eth1: {fabric: rack}",
        "    hosts:",
        *(_host(number) for number in range(1, hosts + 1)),
        "switches:",
        f"  {SWITCH}: {{platform: ovs_switch, access: 192.168.10.241, mtu: 9000}}",
        "  desk: {platform: unmanaged}",
    ]
    return "\n".join(lines) + "\n"


def _host(number: int) -> str:
    addresses = f"office: .{10 + number}, storage: .{10 + number}"
    cables = f"eth0: desk/{number}, eth1: {SWITCH}/p{number}"
    return f"      h{number}: {{addresses: {{{addresses}}}, cables: {{{cables}}}}}"


@dataclass(frozen=True)
class Rig:
    """A running twin and the file it was made from."""

    file: Path
    name: str
    lab: Lab

    def cluster(self) -> Cluster:
        """The declaration loaded anew, with the ways to its devices."""
        return twin(self.file, self.name)

    def grappe(self, *words: str) -> str:
        """Run a verb in a process of its own; what it printed. Raises CalledProcessError."""
        command = [sys.executable, "-m", "grappe", "--file", str(self.file), "--twin-name", self.name, *words]
        # Compiled modules are kept, as wherever Grappe is installed, even if this shell forbids them.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": str(self.file.parent / "pycache")}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            done.check_returncode()
        return done.stdout

    def hang_up(self) -> None:
        """End all shared SSH connections, so that the next one is the first."""
        for way in self.cluster().transports.values():
            way.close()  # type: ignore[attr-defined] # OpenSsh only, which a twin always has


def fresh_name() -> str:
    """A twin's name that no other program uses."""
    return f"bench-{os.getpid()}-{secrets.token_hex(3)}"


@contextmanager
def rig(hosts: int, networks: int) -> Iterator[Rig]:
    """Bring up a twin under a name of its own; take it down whatever happens, SIGTERM too."""
    name = fresh_name()
    with ending_on_signals(), tempfile.TemporaryDirectory(prefix="grappe-bench-") as folder:
        file = Path(folder) / "site.yaml"
        file.write_text(declaration(hosts, networks))
        try:
            found = Rig(file, name, bring_up(load(file).site, name))
            try:
                yield found
            finally:
                found.hang_up()
        finally:
            take_down(name)


def take_down(name: str) -> None:
    """End a twin, or remove what is left of it."""
    try:
        Lab.attach(name).down()
    except TwinError:
        Lab.sweep(name)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the program as Ctrl-C does."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {which: signal.signal(which, leave) for which in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


# --- samples


@dataclass
class Samples:
    """Measured values by what was measured, in the order of the first measurement."""

    unit: str = "s"
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, value: float) -> None:
        """Keep one value."""
        self.values.setdefault(what, []).append(value)

    @contextmanager
    def timing(self, what: str) -> Iterator[None]:
        """Keep the seconds that the block takes; nothing when it raises."""
        started = time.perf_counter()
        yield
        self.add(what, time.perf_counter() - started)

    def median(self, what: str) -> float:
        """The median of what was kept."""
        return statistics.median(self.values[what])

    def rows(self, digits: int = 2) -> list[list[str]]:
        """For `table`: what, median, least, most, how many."""
        return [
            [what, *(f"{x:.{digits}f}" for x in (statistics.median(v), min(v), max(v))), str(len(v))]
            for what, v in self.values.items()
        ]

    def text(self, digits: int = 2) -> str:
        """All values as a table."""
        return table([[self.unit, "median", "min", "max", "runs"], *self.rows(digits)])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if at else text.ljust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def machine() -> str:
    """A line about this machine as it is now."""
    busy = " ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} CPUs, load {busy} (1, 5, 15 min)"
