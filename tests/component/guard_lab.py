"""A device in namespaces of its own, reached by a real sshd over a veth cable: cutting it really cuts.

Also a program (`python -m component.guard_lab …`) that applies a plan from the operator's end, so that it
can be killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from component.ssh_lab import keygen
from grappe.apply import events
from grappe.apply.events import Event
from grappe.apply.journal import Journal
from grappe.apply.observe import Endpoint
from grappe.apply.run import Options
from grappe.apply.runner import apply
from grappe.graph.change import Change
from grappe.graph.plan import Disruption, Plan, Stage, Step
from grappe.graph.resource import Desired, Key, KindRules, Observation, Resource, Value
from grappe.model.script import Answer, Script, command
from grappe.model.site import Guard, Site
from grappe.platforms.base import Platform
from grappe.transport.ssh import OpenSsh

SRC = Path(__file__).parents[2] / "src"
HERE, THERE, MOVED, WRONG = "10.71.0.1/24", "10.71.0.2/24", "10.71.0.3/24", "10.72.0.2/24"
KEY = Key("d", "address", "d0")


class AddressPart:
    """The part of a platform that knows the address on the device's only cable."""

    kinds: Mapping[str, KindRules] = {"address": KindRules(rank=1, batch="address")}

    def questions(self) -> Script:
        return (command("ip", "-j", "-4", "addr", "show", "dev", "d0"),)

    def understand(
        self, _site: Site, _scope: str, answers: Sequence[Answer]
    ) -> tuple[Iterable[Resource], Mapping[str, Value]]:
        return [address(addresses(answers[0].out))], {}

    def lower(self, _site: Site, _scope: str, _seen: Observation) -> Desired:
        return Desired()

    def realise(self, changes: Sequence[Change]) -> Script:
        wanted = [str(c.after.running["address"]) for c in changes if c.after]
        flush = command("ip", "addr", "flush", "dev", "d0")
        return tuple(c for a in wanted for c in (flush, command("ip", "addr", "add", a, "dev", "d0")))

    def disruption(self, _change: Change) -> Disruption:
        return Disruption()

    def irreversible(self, _change: Change) -> str:
        return ""


def addresses(told: str) -> str:
    """What `ip -j addr` told: an interface without addresses may be missing, or be an empty object."""
    found = (a for link in json.loads(told) for a in link.get("addr_info", ()))
    return " ".join(f"{a['local']}/{a['prefixlen']}" for a in found)


PLATFORM = Platform(AddressPart())


def address(value: str) -> Resource:
    return Resource(KEY, running={"address": value}, path=True)


def plan(new: str) -> Plan:
    change = Change(KEY, address(THERE), address(new))
    step = Step("d", (change,), PLATFORM.realise([change]), PLATFORM.realise([change.reverse()]))
    return Plan("guard", "x", (Stage((step,), guarded=True),))


class GuardLab:
    """The operator's network namespace, the device's namespaces, and the cable between them."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self.place = place
        self.control = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="grappe-c")))
        stack.callback(self._hang_up)
        self._keys()
        self.operator = self._hold(stack, "--net", "--", "sleep", "infinity")
        run = (
            "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && mount -t tmpfs none /var/lib || exit 1\n"
            f"{self._sshd()} &\nwhile :; do wait; sleep 1; done"
        )
        words = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-c", run)
        outer = self._hold(stack, *words)
        self.device = self._child(outer)
        self._cable()

    def _keys(self) -> None:
        host, user = keygen(self.place / "host"), keygen(self.place / "user")
        shutil.copy(user.with_suffix(".pub"), self.place / "authorized")
        (self.place / "known").write_text(f"device {host.with_suffix('.pub').read_text()}")
        (self.place / "config").write_text(
            f"Host *\n  IdentityFile {user}\n  IdentityAgent none\n  UserKnownHostsFile {self.place}/known\n"
        )

    def _hang_up(self) -> None:
        """End shared connections that a killed operator left behind."""
        for socket in self.control.iterdir():
            words = ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "device"]
            subprocess.run(words, capture_output=True, check=False)

    def _sshd(self) -> str:
        options = (
            f"HostKey={self.place}/host",
            f"AuthorizedKeysFile={self.place}/authorized",
            "StrictModes=no",
            "UsePAM=no",
            "UseDNS=no",
            "PermitRootLogin=yes",
        )
        words = " ".join(f"-o {option}" for option in options)
        return f"/usr/sbin/sshd -D -f /dev/null -E {self.place}/log {words}"

    def _hold(self, stack: contextlib.ExitStack, *words: str) -> int:
        process = subprocess.Popen(["unshare", *words], start_new_session=True)

        def end() -> None:
            process.kill()
            process.wait(10)

        stack.callback(end)
        own = Path("/proc/self/ns/net").readlink()
        wait_for(lambda: self._apart(process.pid, own), "a namespace of its own")
        return process.pid

    @staticmethod
    def _apart(pid: int, own: Path) -> bool:
        return Path(f"/proc/{pid}/ns/net").readlink() != own

    @staticmethod
    def _child(pid: int) -> int:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        wait_for(lambda: bool(children.read_text().split()), "the device's first process")
        return int(children.read_text().split()[0])

    def _cable(self) -> None:
        o, d = str(self.operator), str(self.device)
        ip = ["ip", "link", "add", "o0", "netns", o, "type", "veth", "peer", "name", "d0", "netns", d]
        subprocess.run(ip, check=True)
        for pid, name, address_ in ((o, "o0", HERE), (d, "d0", THERE)):
            for words in (
                f"link set {name} up",
                "link set lo up",
                f"addr add {address_} dev {name}",
            ):
                subprocess.run(["nsenter", "-t", pid, "-n", "--", "ip", *words.split()], check=True)

    def on_device(self, *argv: str) -> str:
        """Run a program on the device's console: no network in it."""
        words = ["nsenter", "-t", str(self.device), "-n", "-m", "-p", "--", *argv]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30).stdout

    def address(self) -> str:
        """The device's address on the cable, empty for none."""
        return addresses(self.on_device("ip", "-j", "-4", "addr", "show", "dev", "d0"))

    def guards(self) -> str:
        """What the guards of the device have written."""
        return self.on_device("sh", "-c", "cat /var/lib/grappe/journal")

    def operate(self, new: str, seconds: int, arrival: str = "") -> subprocess.Popen[str]:
        """Start the operator's program: events come out of it, a line each, and the result last."""
        words = [sys.executable, "-m", "component.guard_lab", str(self.place), str(self.control)]
        return subprocess.Popen(
            ["nsenter", "-t", str(self.operator), "-n", "--", *words, new, str(seconds), arrival],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": f"{SRC}:{Path(__file__).parents[1]}"},
            start_new_session=True,
        )


def wait_for(what: Callable[[], bool], words: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if what():
                return
        assert time.monotonic() < end, f"not within {seconds:g} s: {words}"
        time.sleep(0.02)


@contextlib.contextmanager
def guard_lab(place: Path) -> Iterator[GuardLab]:
    with contextlib.ExitStack() as stack:
        yield GuardLab(place, stack)


def main(place: Path, control: Path, new: str, seconds: int, arrival: str) -> None:
    """Apply a plan that gives the device the address `new`."""

    def way(to: str) -> OpenSsh:
        host = to.split("/")[0]
        config = place / "config"
        return OpenSsh("d", host, config_file=config, control_dir=control, alias="device", connect_timeout=2)

    def tell(event: Event) -> None:
        print(events.kind(type(event)), getattr(event, "reason", ""), flush=True)

    endpoint = Endpoint(PLATFORM, way(THERE), way(arrival) if arrival else None)
    site = Site(name="guard", guard=Guard(timeout=seconds))
    # A first conversation, so that a shared connection exists that proves nothing.
    endpoint.transport.run((command("true"),))
    with Journal(place / "journal.jsonl") as journal:
        options = Options(settle=3, attempt=10)
        got = apply(plan(new), site, {"d": endpoint}, journal, run_id="r", options=options, tell=tell)
    for one in (endpoint.transport, endpoint.arrival):
        if isinstance(one, OpenSsh):
            one.close()
    print("result", got.outcome.value, got.reason, *got.broken, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5])
