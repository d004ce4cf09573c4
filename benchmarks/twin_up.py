"""Bring the twin up and down: seconds until every libvirtd answers, memory of a host, and what is left.

    python benchmarks/twin_up.py [--runs 5] [--hosts 3 10]

Every libvirtd is asked (`virsh version` on each host, all at once) before a twin counts as up. Memory is the
proportional set size of all the twin's processes, over its machines: what a host more would cost here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from rig import Samples, declaration, ending_on_signals, fresh_name, machine, table, take_down

from grappe.document import load
from grappe.model.site import Site
from grappe.twin import control
from grappe.twin.bring_up import bring_up
from grappe.twin.lab import Lab


def libvirt_answers(lab: Lab) -> None:
    """Ask every host's libvirtd at once. Raises RuntimeError when one does not answer."""
    hosts = [node.name for node in lab.blueprint.nodes if node.libvirt]
    with ThreadPoolExecutor(len(hosts)) as threads:
        for name, done in zip(
            hosts, threads.map(lambda h: lab.exec(h, ["virsh", "version"]), hosts), strict=True
        ):
            if done.returncode:
                raise RuntimeError(f"{name}: virsh version: {done.stderr.strip()}")


def processes(first: int) -> Iterator[int]:
    """The process and all its descendants."""
    yield first
    for task in Path(f"/proc/{first}/task").iterdir():
        with suppress(OSError):
            for child in task.joinpath("children").read_text().split():
                with suppress(OSError):
                    yield from processes(int(child))


def memory(lab: Lab) -> float:
    """Proportional set size of the twin's processes in MiB."""
    total = 0
    for pid in processes(control.lab_pid(lab.folder)):
        with suppress(OSError):  # it has just ended
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def things() -> dict[str, set[str]]:
    """What a twin could leave behind on this machine: interfaces, named namespaces, mounts."""
    spaces = Path("/run/netns")
    return {
        "interface": {one.name for one in Path("/sys/class/net").iterdir()},
        "namespace": {one.name for one in spaces.iterdir()} if spaces.is_dir() else set(),
        "mount": set(Path("/proc/self/mounts").read_text().splitlines()),
    }


def left(lab: Lab, pids: set[int], before: dict[str, set[str]]) -> list[str]:
    """What is still there of a twin: its processes, its folder, and what is new on this machine since.

    Others who work on this machine at the same time may have made the latter.
    """
    found = [f"process {pid}" for pid in sorted(pids) if _runs(pid)]
    found += [str(lab.folder.path)] if lab.folder.path.exists() else []
    return found + [
        f"{kind} {one}" for kind, those in things().items() for one in sorted(those - before[kind])
    ]


def _runs(pid: int) -> bool:
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


def once(site: Site, name: str, seconds: Samples, megabytes: Samples) -> list[str]:
    """One twin up and down; what it left."""
    what, nodes = f"{len(site.hosts)} hosts", len(site.hosts) + 1
    before = things()
    started = time.perf_counter()
    try:
        lab = bring_up(site, name)
        seconds.add(f"{what}: up, SSH greets everywhere", time.perf_counter() - started)
        libvirt_answers(lab)
        seconds.add(f"{what}: every libvirtd has answered", time.perf_counter() - started)
        pids = set(processes(control.lab_pid(lab.folder)))
        megabytes.add(f"{what} and a switch, a machine", memory(lab) / nodes)
        with seconds.timing(f"{what}: down"):
            lab.down()
    finally:
        take_down(name)
    return left(lab, pids, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--hosts", type=int, nargs="+", default=[3, 10])
    parser.add_argument("--networks", type=int, default=8)
    wanted = parser.parse_args()
    seconds, megabytes, leftovers = Samples("s"), Samples("MiB (PSS)"), list[str]()
    with ending_on_signals(), tempfile.TemporaryDirectory(prefix="grappe-bench-") as folder:
        for number in range(wanted.runs):
            print(f"round {number + 1} of {wanted.runs}, {machine()}", flush=True)
            for hosts in wanted.hosts:
                file = Path(folder) / f"{hosts}.yaml"
                file.write_text(declaration(hosts, wanted.networks))
                leftovers += once(load(file).site, fresh_name(), seconds, megabytes)
    print(f"\n{seconds.text()}\n\n{megabytes.text(1)}\n")
    print("aims: 2 s for 3 hosts and 5 s for 10 to libvirtd ready")
    print("left behind: " + ("nothing" if not leftovers else "\n" + table([[one] for one in leftovers])))
    print(f"{machine()}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
