"""The test guest: Debian's cloud kernel and a small busybox initramfs, built once without root and kept."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from grappe.twin.guest import cpio
from grappe.twin.guest.cache import digest, ensure_folder
from grappe.twin.guest.kmodules import ModuleTree
from grappe.twin.guest.packages import fetch, resolve
from grappe.twin.guest.tools import BuildError

# Raised when the recipe below changes in a way that its files do not show.
_RECIPE = "1"
_ROOTFS = Path(__file__).with_name("rootfs")
_KERNEL = "linux-image-cloud-amd64"
_MODULES = ("virtio_pci", "virtio_net", "virtio_blk", "button", "evdev", "8021q")
_OPTIONAL = ("virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_balloon", "virtio_rng")
_FOLDERS = ("bin", "dev", "lib", "lib/modules", "proc", "root", "sys", "tmp", "www", "www/cgi-bin")
_ERRANDS = ("tcp", "ping", "fetch")


@dataclass(frozen=True, slots=True)
class GuestFiles:
    """What QEMU boots: `kernel` (bzImage), `initrd` (cpio), and the kernel's `version`."""

    kernel: Path
    initrd: Path
    version: str


def ensure_guest(cache_dir: Path) -> GuestFiles:
    """Return the guest's files, built on the first call (about 5 s and 30 MB of downloads through apt).

    The folder's name is a digest of the recipe; the kernel is the newest that apt knew when it was built.
    Raises BuildError when a package or a program is missing.
    """
    folder = ensure_folder(cache_dir, "guest", _key(), _build)
    return GuestFiles(folder / "vmlinuz", folder / "initrd", (folder / "version").read_text().strip())


def _key() -> str:
    scripts = sorted(path for path in _ROOTFS.rglob("*") if path.is_file())
    return digest([_RECIPE, *_MODULES, *_OPTIONAL, *(path.read_bytes() for path in scripts)])


def _build(folder: Path) -> None:
    if platform.machine() != "x86_64":
        raise BuildError(f"test guests are built for x86_64, this machine is {platform.machine()}")
    scratch = folder / "unpacked"
    kernel = fetch(resolve(_KERNEL), scratch)
    busybox = fetch("busybox-static", scratch) / "bin/busybox"
    (image,) = (kernel / "boot").glob("vmlinuz-*")
    version = image.name.removeprefix("vmlinuz-")
    shutil.copyfile(image, folder / "vmlinuz")
    modules = ModuleTree(kernel / "lib/modules" / version).closure(_MODULES, optional=_OPTIONAL)
    (folder / "initrd").write_bytes(initramfs(busybox.read_bytes(), modules))
    (folder / "version").write_text(version + "\n")
    shutil.rmtree(scratch)


def initramfs(busybox: bytes, modules: dict[str, bytes]) -> bytes:
    """The archive: busybox, the modules in load order, init and the errands.

    It is not compressed: an emulated processor unpacks more slowly than QEMU copies.
    """
    entries = [cpio.folder(path) for path in _FOLDERS]
    entries += [
        cpio.character_device("dev/console", 5, 1),
        cpio.regular("bin/busybox", busybox, executable=True),
        cpio.regular("init", (_ROOTFS / "init").read_bytes(), executable=True),
        cpio.regular("lib/modules/order", "".join(f"{name}\n" for name in modules).encode()),
        cpio.regular("www/blob", bytes(262144)),
        cpio.regular("www/cgi-bin/ask", (_ROOTFS / "cgi-bin/ask").read_bytes(), executable=True),
    ]
    entries += [cpio.link(f"www/cgi-bin/{errand}", "ask") for errand in _ERRANDS]
    entries += [cpio.regular(f"lib/modules/{name}.ko", data) for name, data in modules.items()]
    return cpio.archive(entries)
