"""The twin's laboratory: a blueprint brought up, looked at, hurt and taken down.

>>> lab = Lab.up(blueprint)                # doctest: +SKIP
>>> lab.exec("h1", ["ovs-vsctl", "show"])  # doctest: +SKIP
>>> lab.pull_cable("h1", "eth1")           # doctest: +SKIP
>>> lab.down()                             # doctest: +SKIP

One outer process owns everything: when it dies, every process, link, mount and namespace goes with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grappe
from grappe.twin import control, keys, preflight
from grappe.twin.blueprint import Blueprint, Node
from grappe.twin.errors import TwinError
from grappe.twin.machine_api import machine
from grappe.twin.settings import Folder, Settings, cache_home, settings, state_home

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
}


@dataclass(frozen=True, slots=True)
class CableStatus:
    """A cable: its ends, whether it is plugged in, and whether both NICs have carrier by it."""

    a: str
    b: str
    plugged: bool
    carrier: bool


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node: `state` is off, booting, ready or failed (`text` says why); services that should run, and do.

    `addresses` are "link address/prefix". A machine with its own kernel tells neither services nor addresses.
    """

    name: str
    kind: str
    machine: str
    state: str
    text: str
    ssh: str
    services: Mapping[str, bool]
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabStatus:
    """A running lab."""

    name: str
    state_dir: Path
    rootless: bool
    nodes: tuple[NodeStatus, ...]
    cables: tuple[CableStatus, ...]


class Lab:
    """A lab that runs, in this process or left by another."""

    def __init__(self, folder: Folder, plan: Settings) -> None:
        """For `up` and `attach`."""
        self.folder, self.settings = folder, plan

    # -- life

    @classmethod
    def up(
        cls,
        blueprint: Blueprint,
        state_dir: Path | None = None,
        *,
        cache_dir: Path | None = None,
        shares: Mapping[str, Path] | None = None,
        kvm: bool = False,
        tun: Path = Path("/dev/net/tun"),
        timeout: float = 120.0,
        say: Callable[[str], None] = lambda _: None,
    ) -> Lab:
        """Bring a blueprint up and return when every node is ready. The lab survives this process.

        `shares` maps paths in the nodes to paths of this machine, read-only; `kvm` shows /dev/kvm to the
        nodes; `tun` stands in for /dev/net/tun where that is closed to this user. Raises BlueprintError when
        it cannot be wired, TwinError when this machine lacks something, the name is up already, or a node
        does not come up within `timeout` seconds (nothing is left then).
        """
        blueprint.check()
        folder = Folder((state_dir or state_home() / blueprint.name).absolute())
        preflight.check(blueprint, folder.path, tun, (shares or {}).values())
        options, single = preflight.mapping()
        cache = (cache_dir or cache_home()).absolute()
        plan = Settings(blueprint, cache, bool(options), single, kvm, tun, dict(shares or {}))
        try:
            with _locked(folder, blueprint.name) as lock:
                _prepare(folder, plan, options, say)
                _start(folder, options, lock, timeout)
        except _NotUpError as error:
            _wait_ended(folder, 20.0)
            raise TwinError(error.reason, error.hint) from None
        return cls(folder, plan)

    @classmethod
    def attach(cls, where: str | Path) -> Lab:
        """Return the running lab of a name or a state directory. Raises TwinError when there is none."""
        folder = _folder(where)
        if not is_up(folder):
            others = ", ".join(cls.names())
            hint = f" These are up: {others} (--twin-name)." if others else ""
            raise TwinError(f"no twin {str(where)!r} is up", "`grappe twin up` starts it." + hint)
        return cls(folder, settings(folder.settings.read_text()))

    @staticmethod
    def sweep(where: str | Path) -> bool:
        """Remove what a killed lab left on disk; False when there is nothing, or the lab is up."""
        folder = _folder(where)
        if is_up(folder) or not folder.lock.exists():
            return False
        _remove(folder, preflight.mapping()[0])
        return True

    @staticmethod
    def names() -> tuple[str, ...]:
        """Names of this user's running labs."""
        home = state_home()
        found = sorted(home.iterdir()) if home.is_dir() else []
        return tuple(one.name for one in found if is_up(Folder(one)))

    def down(self, *, timeout: float = 20.0) -> None:
        """End every process of the lab and remove what it left on disk. Raises TwinError when one stays."""
        with suppress(TwinError, ProcessLookupError):  # it may be dying already
            os.kill(control.lab_pid(self.folder), signal.SIGKILL)
        _wait_ended(self.folder, timeout)
        _remove(self.folder, preflight.mapping()[0])

    # -- look

    @property
    def blueprint(self) -> Blueprint:
        """What was wired."""
        return self.settings.blueprint

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F`: a host per node name."""
        return self.folder.ssh_config

    def status(self) -> LabStatus:
        """What runs, what is plugged, who has which address."""
        told = control.ask(self.folder, "status")
        return LabStatus(
            name=self.blueprint.name,
            state_dir=self.folder.path,
            rootless=self.settings.rootless,
            nodes=tuple(NodeStatus(**{**one, "addresses": tuple(one["addresses"])}) for one in told["nodes"]),
            cables=tuple(CableStatus(**one) for one in told["cables"]),
        )

    # -- inside, past the network

    def exec(
        self,
        node: str,
        argv: Sequence[str],
        input: str | None = None,
        *,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on a node's console, as root, whatever its network does.

        The caller looks at the exit status. Raises TwinError when the node has no power, or when the program
        does not end within `timeout` seconds.
        """
        try:
            return subprocess.run(
                self.shell_argv(node, argv),
                input=input if input is not None else "",
                capture_output=True,
                text=True,
                errors="backslashreplace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TwinError(f"{node}: {shlex.join(argv)} did not end in {timeout:g} s") from None

    def shell_argv(self, node: str, argv: Sequence[str] = ("/bin/bash", "-l")) -> list[str]:
        """Words to execute here for a shell, or `argv`, on a node's console; good until power-off."""
        kept = self._node(node)
        if kept.machine != "namespace":
            raise TwinError(f"{node} is a machine with its own kernel", "Use ssh, or its serial console.")
        pid = control.ask(self.folder, "states")[node]["pid"]
        if not pid:
            raise TwinError(f"{node} has no power", f"`grappe twin fault power-on {node}` gives it power.")
        term = os.environ.get("TERM", "dumb")
        environment = [f"{name}={value}" for name, value in {**_ENVIRONMENT, "TERM": term}.items()]
        inner = ["nsenter", "-t", str(pid), "-n", "-m", "-u", "-i", "-p", "--", "env", "-i", *environment]
        return [*self._enter("-m", "-n", "-p", "-u", "-i"), *inner, *argv]

    def operator_argv(self, argv: Sequence[str]) -> list[str]:
        """Words to execute here so that `argv` runs with this machine's files on the operator's network."""
        return [*self._enter("-n"), *argv]

    def _enter(self, *spaces: str) -> list[str]:
        user = ["-U", "--preserve-credentials"] if self.settings.rootless else []
        return ["nsenter", "-t", str(control.lab_pid(self.folder)), *user, *spaces, "--"]

    # -- faults

    def pull_cable(self, node: str, nic: str) -> None:
        """Pull the cable out of a NIC: both ends lose carrier."""
        control.ask(self.folder, "pull", node=node, nic=nic)

    def plug_cable(self, node: str, nic: str) -> None:
        """Plug the cable in again."""
        control.ask(self.folder, "plug", node=node, nic=nic)

    def cut_management(self, node: str) -> None:
        """Pull the cable that a node's management address came with."""
        self.pull_cable(node, self._node(node).management)

    def restore_management(self, node: str) -> None:
        """Plug it in again."""
        self.plug_cable(node, self._node(node).management)

    def power_off(self, node: str) -> None:
        """Cut a node's power: what was in memory is gone, what was on disk stays."""
        self._node(node)
        control.ask(self.folder, "off", node=node)

    def power_on(self, node: str, *, wait: bool = True, timeout: float = 120.0) -> None:
        """Give a node power and wait until it is ready. Raises TwinError when it fails or takes too long."""
        self._node(node)
        control.ask(self.folder, "on", node=node)
        if wait:
            self.wait_ready(node, timeout=timeout)

    def wait_ready(self, node: str, *, timeout: float = 120.0) -> None:
        """Wait until a node is ready. Raises TwinError with its last state when it is not in time."""
        limit = time.monotonic() + timeout
        while True:
            one = control.ask(self.folder, "states")[node]
            if one["state"] == "ready":
                return
            if one["state"] == "failed" or time.monotonic() > limit:
                raise TwinError(f"{node} is {one['state']}: {one['text'] or f'not ready in {timeout:.0f} s'}")
            time.sleep(0.05)

    def _node(self, name: str) -> Node:
        try:
            return self.blueprint.node(name)
        except KeyError as error:
            raise TwinError(str(error.args[0])) from None


def _folder(where: str | Path) -> Folder:
    return Folder(where.absolute() if isinstance(where, Path) else state_home() / where)


class _NotUpError(TwinError):
    """The lab was started and is ending by itself."""


def _wait_ended(folder: Folder, timeout: float) -> None:
    limit = time.monotonic() + timeout
    while is_up(folder):
        if time.monotonic() > limit:
            raise TwinError(f"processes of the twin in {folder.path} did not end", "`lsns` shows them.")
        time.sleep(0.01)


def is_up(folder: Folder) -> bool:
    """Whether a process of the lab lives."""
    try:
        with folder.lock.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def _locked(folder: Folder, name: str) -> Iterator[int]:
    """Hold the lab's lock; its processes inherit it, so that it is free only when all of them have ended."""
    folder.path.mkdir(parents=True, exist_ok=True)
    if any(folder.path.iterdir()) and not folder.lock.exists():
        raise TwinError(
            f"{folder.path} is not empty and no twin's", "A lab clears its directory: name another."
        )
    folder.path.chmod(0o700)
    lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TwinError(f"the twin {name!r} is up already", "`grappe twin down` ends it.") from None
        yield lock
    finally:
        os.close(lock)


def _prepare(folder: Folder, plan: Settings, options: Sequence[str], say: Callable[[str], None]) -> None:
    for left in folder.path.iterdir():
        if left != folder.lock:
            _forget(left, options)
    for kind in dict.fromkeys(one.machine for one in plan.blueprint.nodes if one.machine != "namespace"):
        for node in plan.blueprint.nodes:
            if node.machine == kind:
                machine(kind).prepare(node, plan.cache, say)
    keys.make(folder, plan.blueprint.nodes)
    keys.write_ssh(folder, plan.blueprint)
    for node in plan.blueprint.nodes:
        folder.images(node.name).mkdir(parents=True)
    folder.settings.write_text(plan.to_json())


def _forget(path: Path, options: Sequence[str]) -> None:
    if path.is_dir() and not path.is_symlink():
        preflight.remove_tree(path, options)
    else:
        path.unlink(missing_ok=True)


def _start(folder: Folder, options: Sequence[str], lock: int, timeout: float) -> None:
    read, write = os.pipe()
    with folder.log.open("wb") as log:
        source = str(Path(grappe.__file__).parent.parent)
        inside = (
            f"import sys; sys.path.insert(0, {source!r});"
            f" from grappe.twin.inside import main; main({str(folder.path)!r}, '{lock}', '{write}')"
        )
        spaces = [
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child=SIGKILL",
            "--mount-proc",
        ]
        # A child of nobody here: the lab outlives this process, and ends by itself when `read` closes early.
        subprocess.run(
            ["setsid", "--fork", "unshare", *options, *spaces, sys.executable, "-S", "-c", inside],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=(lock, write),
            check=True,
        )
    os.close(write)
    try:
        _wait_up(folder, read, timeout)
    finally:
        os.close(read)


def _wait_up(folder: Folder, read: int, timeout: float) -> None:
    if not select.select([read], [], [], timeout)[0]:
        raise _NotUpError(f"the twin was not ready after {timeout:.0f} s", _tail(folder.log))
    told: dict[str, Any] = json.loads(os.read(read, 1 << 20) or '{"error": "its process ended"}')
    if "error" in told:
        raise _NotUpError(f"the twin did not start: {told['error']}", _tail(folder.log))
    failed = [f"{name}: {one['text']}" for name, one in told.items() if one["state"] != "ready"]
    if failed:
        raise _NotUpError("nodes of the twin did not come up:\n" + "\n".join(failed), _tail(folder.log))


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-15:]
    return "\n".join([f"The end of {log}:", *lines]) if lines else ""


def _remove(folder: Folder, options: Sequence[str]) -> None:
    preflight.remove_tree(folder.path, options)
