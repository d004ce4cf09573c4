"""The lab's own process: PID 1 of its namespaces. It lays the cables, holds the power switches, and watches.

One thread, one loop; nothing here waits for a node. Whoever wants to wait asks again.
"""

from __future__ import annotations

import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grappe.twin import boot, control, factory, kernel, power, wiring
from grappe.twin.blueprint import Blueprint, End, Node
from grappe.twin.doors import Doors
from grappe.twin.netlink import Links
from grappe.twin.settings import Folder, Settings, settings

_PATTERN = Path("/run/twin/factory")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TICK = 0.5


@dataclass(slots=True)
class Powered:
    """What is known of one node: `state` is off, booting, ready or failed; `text` says why."""

    node: Node
    state: str = "off"
    text: str = ""
    pid: int = 0
    pipe: int = -1
    rest: bytes = field(default=b"", repr=False)


def ip(lines: Iterable[str], netns: str = "", *, force: bool = False) -> None:
    """Run lines of `ip` in one process. Raises OSError with what it said; `force` goes on after errors."""
    argv = ["ip", *(["-n", netns] if netns else []), *(["-force"] if force else []), "-batch", "-"]
    text = "".join(line + "\n" for line in lines)
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode and not force:
        raise OSError(f"ip: {done.stderr.strip()}")


class Lab:
    """A lab at work."""

    def __init__(self, folder: Folder, plan: Settings, lock: int, told: int) -> None:
        self.folder, self.settings, self.lock, self.told = folder, plan, lock, told
        self.blueprint: Blueprint = plan.blueprint
        self.nodes = {one.name: Powered(one) for one in plan.blueprint.nodes}
        public = folder.identity.with_suffix(".pub").read_text().strip()
        self.identity = factory.Identity(str(folder.path), folder.keys, public)
        self.watched = selectors.DefaultSelector()
        self.doors = Doors(self.watched)

    def start(self) -> None:
        """Lay everything and switch every node on."""
        self._wake_on_children()
        make_namespaces(self.blueprint.nodes)
        ip(wiring.laying(self.blueprint))
        self.panel = wiring.Panel(self.blueprint, self._watch_links)
        factory.build(_PATTERN, self.settings.capabilities, single_id=self.settings.single_id)
        for one in self.nodes.values():
            if one.node.machine == "namespace":
                factory.install(_PATTERN, power.DISKS / one.node.name, one.node, self.identity)
        for one in self.nodes.values():
            self._power_on(one)
        listener = control.listen(self.folder.control)
        self.watched.register(listener, selectors.EVENT_READ, lambda: self._answer(listener))

    def run(self) -> None:
        """Serve until killed."""
        while True:
            for key, _ in self.watched.select(_TICK):
                try:
                    key.data()
                except OSError:  # one node's trouble is not the lab's end
                    traceback.print_exc()
            self._knock()
            self._report()

    # -- what happens by itself

    def _wake_on_children(self) -> None:
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.watched.register(read, selectors.EVENT_READ, lambda: self._children(read))

    def _watch_links(self, links: Links, node: str) -> None:
        self.watched.register(links, selectors.EVENT_READ, lambda: self.panel.heard(node))

    def _children(self, read: int) -> None:
        os.read(read, 4096)
        # Only the nodes' first processes: others are waited for where they were started.
        for one in self.nodes.values():
            if one.pid and os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                _, status = os.waitpid(one.pid, 0)
                self._told(one)
                self._ended(one, status)

    def _ended(self, one: Powered, status: int) -> None:
        """A node went down by itself: reboot(2) in a PID namespace ends it by SIGHUP, power-off by SIGINT."""
        one.pid = 0
        by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        failed, text = one.state in ("failed", "booting"), one.text
        self._without_power(one)
        if by == signal.SIGHUP:
            self._power_on(one)
        elif failed:
            one.state, one.text = "failed", text or "its first process ended while it booted"

    def _told(self, one: Powered) -> None:
        if one.pipe < 0:  # it went away together with this event
            return
        try:
            data = os.read(one.pipe, 4096)
        except BlockingIOError:
            return
        one.rest += data
        while b"\n" in one.rest:
            line, _, one.rest = one.rest.partition(b"\n")
            state, _, text = line.decode(errors="replace").partition(": ")
            if state == "started":
                one.text = "started"
            else:
                one.state, one.text = state, text
            if state == "ready" and one.node.libvirt:
                self._keep_capabilities(one)
        if not data:
            self._hang_up(one)

    def _keep_capabilities(self, one: Powered) -> None:
        found = power.DISKS / one.node.name / "var/cache/libvirt/qemu/capabilities"
        try:
            factory.keep_capabilities(found, self.settings.capabilities)
        except OSError as error:  # a cache that cannot be written costs time only
            print(f"cache {self.settings.capabilities}: {error}", flush=True)

    def _hang_up(self, one: Powered) -> None:
        if one.pipe >= 0:
            self.watched.unregister(one.pipe)
            os.close(one.pipe)
            one.pipe = -1

    def _knock(self) -> None:
        """A machine with its own kernel is ready when its sshd answers the operator."""
        for one in self.nodes.values():
            if one.state == "booting" and one.text == "started" and self.doors.answers(one.node.address):
                one.state, one.text = "ready", ""

    def _report(self) -> None:
        """Tell the command that started the lab, once, how that went; end when it failed or is alone."""
        if self.told < 0:
            return
        states = {one.state for one in self.nodes.values()}
        if "booting" not in states:
            heard = tell(self.told, self._states())
            self.told = -1
            if not heard or "failed" in states:
                sys.exit(1)
        elif _nobody_listens(self.told):
            sys.exit(1)

    # -- power

    def _power_on(self, one: Powered) -> None:
        plan = power.Plan(one.node, self.settings, self.folder, self.identity)
        one.state, one.text = "booting", ""
        if one.node.machine != "namespace":
            self.panel.raise_plugs(one.node.name)
        try:
            one.pid, one.pipe = power.switch_on(plan, self.lock)
        except OSError as error:
            one.state, one.text = "failed", str(error)
            return
        self.watched.register(one.pipe, selectors.EVENT_READ, lambda: self._told(one))

    def _power_off(self, one: Powered) -> None:
        self.panel.darken(one.node.name)
        if one.pid:
            os.kill(one.pid, signal.SIGKILL)
            os.waitpid(one.pid, 0)
            one.pid = 0
        self._without_power(one)

    def _without_power(self, one: Powered) -> None:
        self._hang_up(one)
        one.state, one.text, one.rest = "off", "", b""
        self.panel.darken(one.node.name)
        name = one.node.name
        ip(wiring.resetting(one.node, self.panel.links(name), self.panel.factory(name)), name, force=True)

    # -- questions

    def _answer(self, listener: socket.socket) -> None:
        line, _ = listener.accept()
        line.settimeout(5.0)
        try:
            with line, line.makefile() as lines:
                text = lines.readline()
                if text:  # whoever only wants our process id says nothing
                    line.sendall(json.dumps(self._reply(text)).encode() + b"\n")
        except OSError:  # whoever asked has gone
            traceback.print_exc()

    def _reply(self, text: str) -> dict[str, Any]:
        try:
            return self._do(json.loads(text))
        except (KeyError, ValueError) as error:
            return {"error": str(error.args[0] if error.args else error)}
        except OSError as error:
            traceback.print_exc()
            return {"error": str(error)}

    def _do(self, request: dict[str, str]) -> dict[str, Any]:
        verbs: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
            "status": lambda _: self._status(),
            "states": lambda _: self._states(),
            "off": self._do_off,
            "on": self._do_on,
            "pull": lambda about: self._do_cable(about, self.panel.pull),
            "plug": lambda about: self._do_cable(about, self.panel.plug),
        }
        return verbs[request["verb"]](request)

    def _one(self, about: dict[str, str]) -> Powered:
        return self.nodes[self.blueprint.node(about["node"]).name]

    def _do_off(self, about: dict[str, str]) -> dict[str, Any]:
        self._power_off(self._one(about))
        return {}

    def _do_on(self, about: dict[str, str]) -> dict[str, Any]:
        one = self._one(about)
        if one.pid == 0:
            self._power_on(one)
        return {}

    def _do_cable(self, about: dict[str, str], do: Callable[[End], None]) -> dict[str, Any]:
        do(End(about["node"], about["nic"]))
        return {}

    def _states(self) -> dict[str, Any]:
        return {
            name: {"state": one.state, "text": one.text, "pid": one.pid} for name, one in self.nodes.items()
        }

    def _status(self) -> dict[str, Any]:
        cables = [
            {
                "a": str(one.a),
                "b": str(one.b),
                "plugged": one not in self.panel.pulled,
                "carrier": self.panel.lit(one.a),
            }
            for one in self.blueprint.cables
        ]
        return {"nodes": [self._node_status(one) for one in self.nodes.values()], "cables": cables}

    def _node_status(self, one: Powered) -> dict[str, Any]:
        return {
            "name": one.node.name,
            "kind": one.node.kind,
            "machine": one.node.machine,
            "state": one.state,
            "text": one.text,
            "ssh": one.node.address,
            "services": services(one) if one.node.machine == "namespace" else {},
            "addresses": addresses(one.node.name) if one.node.machine == "namespace" else [],
        }


def tell(told: int, what: dict[str, Any]) -> bool:
    """Write the one line that the command waits for; whether it was still there."""
    try:
        os.write(told, json.dumps(what).encode())
    except OSError:
        return False
    finally:
        os.close(told)
    return True


def _nobody_listens(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def services(one: Powered) -> dict[str, bool]:
    """Which of a node's services run."""
    root = Path(f"/proc/{one.pid}/root")
    return {name: one.pid > 0 and _runs(root, pidfile) for name, pidfile in boot.services(one.node).items()}


def _runs(root: Path, pidfile: str) -> bool:
    try:
        return (root / "proc" / (root / pidfile.lstrip("/")).read_text().strip()).exists()
    except OSError:
        return False


def addresses(netns: str) -> list[str]:
    """Every address in a namespace, as "link address/prefix"."""
    argv = ["ip", "-n", netns, "-j", "addr", "show"]
    found = json.loads(subprocess.run(argv, capture_output=True, check=True, text=True).stdout or "[]")
    return [
        f"{link['ifname']} {info['local']}/{info['prefixlen']}"
        for link in found
        for info in link.get("addr_info", ())
        if link.get("ifname") != "lo"
    ]


def make_namespaces(nodes: Iterable[Node]) -> None:
    """Make a silent network namespace per node, under the names that `ip -n` knows."""
    wiring.NETNS.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for node in nodes:
                target = wiring.NETNS / node.name
                target.touch()
                kernel.unshare(kernel.NEWNET)
                quieten()
                kernel.mount("/proc/self/ns/net", target, flags=kernel.BIND)
            status = 0
        except OSError:
            traceback.print_exc()
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        raise OSError("the network namespaces could not be made")


def quieten() -> None:
    """Keep the caller's network namespace from speaking unasked, and bridges from being filtered."""
    wanted = {
        "ipv6/conf/all/disable_ipv6": "1",
        "ipv6/conf/default/disable_ipv6": "1",
        "ipv4/conf/all/arp_ignore": "1",
        "bridge/bridge-nf-call-iptables": "0",
        "bridge/bridge-nf-call-ip6tables": "0",
        "bridge/bridge-nf-call-arptables": "0",
    }
    for name, value in wanted.items():
        path = Path("/proc/sys/net") / name
        if path.exists():
            path.write_text(value)


def prepare_place() -> None:
    """Give the lab its own /run (so names of namespaces stay inside), /sys and operator's network."""
    os.environ["PATH"] = _PATH
    kernel.mount("none", "/", flags=kernel.REC | kernel.PRIVATE)
    kernel.mount("run", "/run", "tmpfs", kernel.NOSUID | kernel.NODEV, "mode=755,size=75%")
    power.DISKS.mkdir(parents=True)
    try:
        kernel.mount("sysfs", "/sys", "sysfs", kernel.NOSUID | kernel.NODEV | kernel.NOEXEC)
    except OSError:  # only for people who look around in the lab
        traceback.print_exc()
    quieten()
    ip(["link set lo up"])


def main(path: str, lock: str, told: str) -> None:
    """Be the lab in the state directory `path`; `lock` and `told` are open files."""
    folder = Folder(Path(path))
    for number in (int(lock), int(told)):
        os.set_inheritable(number, False)
    plan = settings(folder.settings.read_text())
    lab = Lab(folder, plan, int(lock), int(told))
    try:
        if plan.single_id:
            kernel.pretend_setgroups()
        prepare_place()
        socket.sethostname(plan.blueprint.name)
        lab.start()
    except Exception as error:
        traceback.print_exc()
        sys.stdout.flush()
        tell(lab.told, {"error": f"{type(error).__name__}: {error}"})
        return
    lab.run()
