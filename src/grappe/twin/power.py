"""A node with power: its first process, from the fork to the last reaped child.

Everything here runs in a child of the lab's process. What happens is told through a pipe, a line each:
`pid N` (in the lab's PID namespace), then `ready` or `failed: what was seen`.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from grappe.twin import boot, kernel, rootfs
from grappe.twin.blueprint import Node, interfaces_file
from grappe.twin.factory import Identity
from grappe.twin.machine_api import CableEnd, Machine, MachinePlace, machine
from grappe.twin.netlink import Links
from grappe.twin.settings import Folder, Settings
from grappe.twin.wiring import NETNS, nic_mac, plug_name

DISKS = Path("/run/twin/disk")
_LIBVIRT_SOCKET = "/run/libvirt/libvirt-sock"
_LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a node's first process needs to know."""

    node: Node
    settings: Settings
    folder: Folder
    identity: Identity


def switch_on(plan: Plan, keep: int) -> tuple[int, int]:
    """Start a node; return its pid and the pipe that tells what becomes of it. `keep` is the lab's lock."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(lambda: _leave_for_new_namespaces(plan, write), keep, write)
    os.close(write)
    with os.fdopen(os.dup(read), buffering=1) as told:
        first = told.readline().strip()
    os.waitpid(child, 0)
    os.set_blocking(read, False)
    if not first.startswith("pid "):
        os.close(read)
        raise OSError(f"node {plan.node.name} did not start: {first or 'its process ended without a word'}")
    return int(first.removeprefix("pid ")), read


def _child(work: Callable[[], None], *keep: int) -> NoReturn:
    """Do `work` in a forked child that holds nothing of its parent's, then end."""
    told = keep[-1]
    try:
        _close_all_but(0, 1, 2, *keep)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        work()
        os._exit(0)
    except BaseException as error:
        traceback.print_exc()
        os.write(told, f"failed: {type(error).__name__}: {error}\n".encode())
        os._exit(1)


def _close_all_but(*keep: int) -> None:
    start = 0
    for number in sorted(keep):
        if start < number:  # closerange(0, 0) would close everything
            os.closerange(start, number)
        start = number + 1
    os.closerange(start, 4096)


def _leave_for_new_namespaces(plan: Plan, told: int) -> None:
    kernel.setns(NETNS / plan.node.name, kernel.NEWNET)
    kernel.unshare(kernel.NEWNS | kernel.NEWUTS | kernel.NEWIPC | kernel.NEWPID)
    child = os.fork()
    if child == 0:
        try:
            first = _namespace_node if plan.node.machine == "namespace" else _machine_node
            first(plan, told)
        except BaseException as error:
            traceback.print_exc()
            os.write(told, f"failed: {type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    os.write(told, f"pid {child}\n".encode())


def _namespace_node(plan: Plan, told: int) -> None:
    os.setsid()
    node = plan.node
    images = plan.folder.images(node.name) if node.libvirt else None
    rootfs.enter(plan.settings, DISKS / node.name, images, node.name.split(".")[0])
    starter = os.fork()
    if starter == 0:
        _run_boot(node)
    status = _wait_for(starter)
    if status != 0:
        os.write(told, f"failed: {_last_words()}\n".encode())
    else:
        missing = _libvirt_missing() if node.libvirt else ""
        os.write(told, f"failed: {missing}\n".encode() if missing else b"ready\n")
    os.close(told)
    _reap()


def _run_boot(node: Node) -> NoReturn:
    try:
        os.setsid()
        log = os.open(boot.LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        null = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.execve(  # noqa: S606 - a fixed script, no value of it comes from outside
            "/bin/sh", ["boot", "-c", boot.script(node)], {"PATH": os.defpath}
        )
    finally:
        os._exit(127)


def _wait_for(child: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def _last_words() -> str:
    return _tail(Path(boot.LOG)) or "the boot script ended without a word"


def _tail(log: Path) -> str:
    try:
        return "; ".join(log.read_text(errors="replace").splitlines()[-5:])
    except OSError:
        return ""


def _reap() -> NoReturn:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.2)


def _libvirt_missing() -> str:
    """Wait until libvirtd answers; return what is missing when it does not."""
    limit, seen = time.monotonic() + _LIMIT, "no socket"
    while time.monotonic() < limit:
        try:
            if _libvirt_answers():
                return ""
            seen = "an answer that is no success"
        except OSError as error:
            seen = str(error)
        time.sleep(0.02)
    said = _tail(Path("/var/log/libvirt/libvirtd.log")) or "its log is empty"
    return f"libvirtd does not answer at {_LIBVIRT_SOCKET} after {_LIMIT:.0f} s: {seen}; {said}"


def _libvirt_answers() -> bool:
    """Open qemu:///system with libvirt's own protocol (remote_protocol.x): a process for `virsh` is dear."""
    uri = b"qemu:///system"
    program, version, connect_open, call = 0x20008086, 1, 1, 0
    name = struct.pack(">II", 1, len(uri)) + uri + b"\0" * (-len(uri) % 4)
    message = struct.pack(">IiIiIi", program, version, connect_open, call, 1, 0) + name + struct.pack(">I", 0)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(_LIMIT)
        line.connect(_LIBVIRT_SOCKET)
        line.sendall(struct.pack(">I", len(message) + 4) + message)
        answer = line.recv(28, socket.MSG_WAITALL)
    return len(answer) == 28 and struct.unpack(">i", answer[24:])[0] == 0


def _machine_node(plan: Plan, told: int) -> None:
    os.setsid()
    kernel.mount("none", "/", flags=kernel.REC | kernel.PRIVATE)
    kernel.mount("proc", "/proc", "proc")
    kernel.mount("run", "/run", "tmpfs", data="mode=755")
    if plan.settings.tun != Path("/dev/net/tun"):
        kernel.bind(plan.settings.tun, "/dev/net/tun")
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    it = machine(plan.node.machine)
    it.start(_place(plan))
    os.write(told, b"started\n")
    _attend(plan.node, it, stopped)
    it.stop()


def _place(plan: Plan) -> MachinePlace:
    node = plan.node
    state = plan.folder.machine(node.name)
    state.mkdir(parents=True, exist_ok=True)
    return MachinePlace(
        node=node,
        netns=Path("/proc/self/ns/net"),
        nics=tuple(
            CableEnd(nic.name, nic_mac(node, nic), nic.mtu, plug_name(node, nic)) for nic in node.nics
        ),
        state_dir=state,
        cache=plan.settings.cache,
        interfaces=interfaces_file(node),
        host_key=plan.identity.keys / node.name,
        authorized_key=plan.identity.authorized_key,
        address=node.address,
    )


def _attend(node: Node, it: Machine, stopped: list[int]) -> None:
    """Tell the machine about its cables until it ends or power is cut."""
    links = Links()
    nics = {plug_name(node, nic): nic.name for nic in node.nics}
    told = dict.fromkeys(nics, True)
    while not stopped and it.alive():
        # Asked for, not listened for: the kernel may hold back the news of a carrier for a second.
        for link in links.all():
            if told.get(link.name, link.carrier) != link.carrier:
                told[link.name] = link.carrier
                it.carrier(nics[link.name], link.carrier)
        time.sleep(0.2)
