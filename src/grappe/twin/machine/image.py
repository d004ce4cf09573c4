"""The disk and the boot files of a Debian machine, built from packages once and kept.

mmdebstrap makes the tree (as root, or in a user namespace for anyone with a range in /etc/subuid), mkfs.ext4
copies it into a file system without mounting one. The kernel is the test guests' cloud kernel.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grappe.twin.guest import cpio
from grappe.twin.guest.cache import digest, ensure_folder
from grappe.twin.guest.kmodules import ModuleTree
from grappe.twin.guest.packages import fetch, resolve
from grappe.twin.guest.tools import require, run
from grappe.twin.machine import contents

# Raised when the recipe changes in a way that its inputs do not show.
_RECIPE, _SYSTEM_RECIPE = "1", "1"
_INIT = Path(__file__).with_name("rootfs") / "init"
# Sparse: what is not written takes no room on the user's disk.
_DISK_SIZE = "8G"
_FOLDERS = ("bin", "dev", "disk", "lib", "lib/modules", "proc", "seed", "sys")
_NO_DOCUMENTS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True, slots=True)
class MachineFiles:
    """What a machine boots: `kernel`, `initrd` (its seed is appended), `disk` (its own overlays it)."""

    kernel: Path
    initrd: Path
    disk: Path


def ensure_machine(cache_dir: Path, *, libvirt: bool = True) -> MachineFiles:
    """Return the files, built on the first call (about a minute and 100 to 250 MB of packages).

    Raises BuildError naming the program or package that lacks.
    """
    name = "machine-libvirt" if libvirt else "machine"

    def build(folder: Path) -> None:
        _build(folder, ensure_system(cache_dir, contents.packages(libvirt=libvirt)))

    folder = ensure_folder(cache_dir, name, _key(libvirt=libvirt), build)
    return MachineFiles(folder / "vmlinuz", folder / "initrd", folder / "disk.ext4")


def _key(*, libvirt: bool) -> str:
    settings = (contents.packages(libvirt=libvirt), contents.DROPPED_MODULES, contents.EARLY_MODULES)
    others = (contents.MASKED_UNITS, sorted(contents.files().items()))
    return digest([_RECIPE, _DISK_SIZE, contents.SUITE, repr((*settings, *others)), _INIT.read_bytes()])


def ensure_system(cache_dir: Path, packages: Sequence[str]) -> Path:
    """Return a tar archive of Debian with `packages`, as they come; fetching them is what takes long."""
    key = digest([_SYSTEM_RECIPE, contents.SUITE, *packages, *_NO_DOCUMENTS])

    def build(folder: Path) -> None:
        _bootstrap(folder / "system.tar", packages)

    return ensure_folder(cache_dir, "debian", key, build) / "system.tar"


def as_root(argv: Sequence[str]) -> list[str]:
    """The words that run a program over files of all owners: in a user namespace when not root."""
    if os.geteuid() == 0:
        return list(argv)
    return [require("unshare", "util-linux"), "--map-root-user", "--map-auto", "--", *argv]


def _build(folder: Path, system: Path) -> None:
    scratch = folder / "scratch"
    tree = scratch / "tree"
    tree.mkdir(parents=True)
    try:
        tar = ["tar", "-C", str(tree), "--xattrs-include=*", "--numeric-owner", "--exclude=./dev/*"]
        run(as_root([*tar, "-xpf", str(system)]))
        _boot_files(folder, scratch, tree)
        _configure(tree)
        _file_system(tree, folder / "disk.ext4")
    finally:
        run(as_root(["rm", "-rf", str(scratch)]))


def _bootstrap(archive: Path, packages: Sequence[str]) -> None:
    mode = "root" if os.geteuid() == 0 else "unshare"
    argv = [require("mmdebstrap", "mmdebstrap"), "--quiet", f"--mode={mode}", "--variant=minbase"]
    argv += ["--format=tar", f"--include={','.join(packages)}"]
    argv += ["--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Retries 5"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in _NO_DOCUMENTS]
    hint = "is a Debian mirror in reach? Without root, uidmap and a line in /etc/subuid are needed"
    run([*argv, contents.SUITE, str(archive)], hint=hint, timeout=1800)


def _boot_files(folder: Path, scratch: Path, tree: Path) -> None:
    kernel = fetch(resolve("linux-image-cloud-amd64"), scratch)
    busybox = fetch("busybox-static", scratch) / "bin/busybox"
    (image,) = (kernel / "boot").glob("vmlinuz-*")
    version = image.name.removeprefix("vmlinuz-")
    shutil.copyfile(image, folder / "vmlinuz")
    modules = kernel / "lib/modules" / version
    early = ModuleTree(modules).closure(contents.EARLY_MODULES)
    (folder / "initrd").write_bytes(_initramfs(busybox.read_bytes(), early))
    for dropped in contents.DROPPED_MODULES:
        shutil.rmtree(modules / "kernel" / dropped, ignore_errors=True)
    shutil.copytree(modules, tree / "usr/lib/modules" / version, symlinks=True)
    run([require("depmod", "kmod"), "-b", str(tree / "usr"), version])


def _initramfs(busybox: bytes, modules: dict[str, bytes]) -> bytes:
    entries = [cpio.folder(path) for path in _FOLDERS]
    entries += [
        cpio.character_device("dev/console", 5, 1),
        cpio.regular("bin/busybox", busybox, executable=True),
        cpio.regular("init", _INIT.read_bytes(), executable=True),
        cpio.regular("lib/modules/order", "".join(f"{name}\n" for name in modules).encode()),
    ]
    entries += [cpio.regular(f"lib/modules/{name}.ko", data) for name, data in modules.items()]
    return cpio.archive(entries)


def _configure(tree: Path) -> None:
    """Write the files. They are root's in the tree, and so this user's here, in either way of building."""
    for path, text in contents.files().items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    for unit in contents.MASKED_UNITS:
        masked = tree / "etc/systemd/system" / unit
        masked.unlink(missing_ok=True)
        masked.symlink_to("/dev/null")
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    _unlock_root(tree / "etc/shadow")


def _unlock_root(shadow: Path) -> None:
    """Give root an empty password: good at the machine's own console only, for sshd takes keys alone."""
    lines = shadow.read_text().splitlines()
    fields = [line.split(":") for line in lines]
    text = "\n".join(":".join([name, "" if name == "root" else word, *rest]) for name, word, *rest in fields)
    shadow.write_text(text + "\n")


def _file_system(tree: Path, disk: Path) -> None:
    run(["truncate", "-s", _DISK_SIZE, str(disk)])
    options = "lazy_itable_init=1,lazy_journal_init=1"
    mkfs = [
        require("mkfs.ext4", "e2fsprogs"),
        "-q",
        "-F",
        "-E",
        options,
        "-m",
        "0",
        "-d",
        str(tree),
        str(disk),
    ]
    run(as_root(mkfs))
