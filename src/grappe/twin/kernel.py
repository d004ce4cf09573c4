"""The Linux system calls that Python 3.11 does not offer: namespaces, mounts, and one seccomp filter.

Numbers are from the kernel's user headers (linux/sched.h, linux/mount.h, linux/prctl.h, linux/seccomp.h).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
# What a mount in a user namespace may not lose when it is made read-only: statvfs's flag -> mount's flag.
_LOCKED = {2: NOSUID, 4: NODEV, 8: NOEXEC, 1024: 1024, 2048: 2048, 4096: 1 << 21}

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, result: int, about: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", about)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; NEWPID counts for later children."""
    _call("unshare", _libc.unshare(flags), hex(flags))


def setns(path: str | Path, kind: int) -> None:
    """Enter the namespace that a file stands for."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", _libc.setns(handle, kind), str(path))
    finally:
        os.close(handle)


@contextmanager
def inside_netns(path: str | Path) -> Iterator[None]:
    """Be in the network namespace that a file stands for; for processes with one thread."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(path, NEWNET)
        yield
    finally:
        _call("setns", _libc.setns(own, NEWNET), "the own network namespace")
        os.close(own)


def mount(source: str, target: str | Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); `kind` and `data` empty are given as NULL."""
    result = _libc.mount(
        source.encode(),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _call("mount", result, str(target))


def bind(source: str | Path, target: str | Path, *, read_only: bool = False) -> None:
    """Bind a file or a tree; the target must exist."""
    mount(os.fspath(source), target, flags=BIND | REC)
    if read_only:
        have = os.statvfs(target).f_flag
        locked = sum(flag for seen, flag in _LOCKED.items() if have & seen)
        mount("none", target, flags=REMOUNT | BIND | RDONLY | locked)


def pivot_root(root: Path) -> None:
    """Make `root` (a mount point) the root and let the old one go: pivot_root(2), `pivot_root(".", ".")`."""
    os.chdir(root)
    _call("pivot_root", _libc.pivot_root(b".", b"."), str(root))
    _call("umount2", _libc.umount2(b".", _DETACH), "the old root")
    os.chdir("/")


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def pretend_setgroups() -> None:
    """Let setgroups(2) succeed without effect for this process and all that come from it.

    A user namespace with one user id forbids setgroups, and sshd and libvirtd refuse to go on without it.
    """
    arch = {"x86_64": (0xC000003E, 116), "aarch64": (0xC00000B7, 159)}.get(platform.machine())
    if arch is None:
        raise OSError(f"no seccomp filter known for {platform.machine()}")
    load, jump_equal, leave = 0x20, 0x15, 0x06
    allow, pretend = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with errno 0
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 4),  # seccomp_data.arch
            (jump_equal, 0, 3, arch[0]),
            (load, 0, 0, 0),  # seccomp_data.nr
            (jump_equal, 0, 1, arch[1]),
            (leave, 0, 0, pretend),
            (leave, 0, 0, allow),
        )
    )
    memory = ctypes.create_string_buffer(program, len(program))
    prog = _SockFprog(len(program) // 8, ctypes.addressof(memory))
    no_new_privs, set_seccomp, mode_filter = 38, 22, 2
    _call("prctl", _libc.prctl(no_new_privs, 1, 0, 0, 0), "no new privileges")
    _call("prctl", _libc.prctl(set_seccomp, mode_filter, ctypes.byref(prog), 0, 0), "seccomp")
