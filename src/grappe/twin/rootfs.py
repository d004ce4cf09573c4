"""A node's own file system, made by its first process before anything else runs there.

The root is new at every power-on; what a disk would keep (factory.KEPT) is bound from the node's disk.
/usr is this machine's, read-only; /dev has only what a hypervisor needs; /proc and /sys are the node's own.
"""

from __future__ import annotations

import socket
from pathlib import Path

from grappe.twin import kernel
from grappe.twin.factory import KEPT
from grappe.twin.settings import Settings

ROOT = Path("/run/twin/root")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def enter(settings: Settings, disk: Path, images: Path | None, hostname: str) -> None:
    """Make the file system and enter it; the caller is alone in new mount, UTS and PID namespaces."""
    kernel.mount("none", "/", flags=kernel.REC | kernel.PRIVATE)
    ROOT.mkdir(exist_ok=True)
    kernel.mount("node", ROOT, "tmpfs", data="mode=755")
    _system(disk)
    if images is not None:
        kernel.bind(images, ROOT / "var/lib/libvirt/images")
    _devices(settings)
    for path, shown in settings.shares.items():
        _share(shown, ROOT / path.lstrip("/"))
    socket.sethostname(hostname)
    kernel.pivot_root(ROOT)


def _system(disk: Path) -> None:
    for name in ("usr", "run", "proc", "sys", "dev", "tmp", "mnt", "media", *KEPT):
        (ROOT / name).mkdir()
    (ROOT / "tmp").chmod(0o1777)
    for link in Path("/").iterdir():
        if link.is_symlink() and str(link.readlink()).lstrip("/").startswith("usr/"):
            (ROOT / link.name).symlink_to(link.readlink())
    kernel.bind("/usr", ROOT / "usr", read_only=True)
    for name in KEPT:
        kernel.bind(disk / name, ROOT / name)
    kernel.bind("/var/lib/dpkg", ROOT / "var/lib/dpkg", read_only=True)
    kernel.mount("proc", ROOT / "proc", "proc", kernel.NOSUID | kernel.NODEV | kernel.NOEXEC)
    kernel.mount("sysfs", ROOT / "sys", "sysfs", kernel.NOSUID | kernel.NODEV | kernel.NOEXEC)
    kernel.mount("run", ROOT / "run", "tmpfs", kernel.NOSUID | kernel.NODEV, "mode=755")


def _devices(settings: Settings) -> None:
    dev = ROOT / "dev"
    kernel.mount("dev", dev, "tmpfs", kernel.NOSUID, "mode=755")
    for name in ("pts", "shm", "net"):
        (dev / name).mkdir()
    for name in _DEVICES:
        _share(Path("/dev") / name, dev / name, read_only=False)
    _share(settings.tun, dev / "net/tun", read_only=False)
    if settings.kvm:
        _share(Path("/dev/kvm"), dev / "kvm", read_only=False)
    terminals = "newinstance,ptmxmode=0666,mode=0620" + ("" if settings.single_id else ",gid=5")
    kernel.mount("devpts", dev / "pts", "devpts", kernel.NOSUID | kernel.NOEXEC, terminals)
    kernel.mount("shm", dev / "shm", "tmpfs", kernel.NOSUID | kernel.NODEV, "mode=1777")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        (dev / name).symlink_to(target)


def _share(source: Path, target: Path, *, read_only: bool = True) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    kernel.bind(source, target, read_only=read_only)
