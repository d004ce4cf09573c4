"""Whether guests run with KVM here: shown by a short real boot, not by the presence of /dev/kvm.

A device that opens proves little: under some nested hypervisors a guest then spins for ever.
"""

from __future__ import annotations

import json
import os
import platform
import select
import subprocess
import time
from pathlib import Path
from typing import Literal

from grappe.twin.guest.cache import locked
from grappe.twin.guest.cmdline import cmdline
from grappe.twin.guest.image import GuestFiles, ensure_guest
from grappe.twin.guest.tools import require, run

Accel = Literal["kvm", "tcg"]

_QEMU = "qemu-system-x86_64"
_READY = b"grappe: guest kvm-trial ready"


def decide(cache_dir: Path, *, limit: float = 6.0) -> Accel:
    """Return "kvm" when a tiny guest really boots with it within `limit` seconds, else "tcg".

    The answer of a boot is kept in `cache_dir/accel.json`, by kernel release and QEMU version. A /dev/kvm
    that this user may not open means "tcg" and is not kept. BuildError when QEMU is not installed.
    """
    qemu = require(_QEMU, "qemu-system-x86")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    store = cache_dir / "accel.json"
    key = f"{platform.release()} {qemu_version(run([qemu, '--version']))}"
    with locked(cache_dir / ".accel.lock"):
        answers = known_answers(store)
        if key not in answers:
            answers[key] = "kvm" if boots(qemu, ensure_guest(cache_dir), limit) else "tcg"
            _keep(store, answers)
    return answers[key]


def qemu_version(text: str) -> str:
    """The version in the first line of `qemu-system-x86_64 --version`, with the distribution's part."""
    return text.strip().splitlines()[0].removeprefix("QEMU emulator version ")


def known_answers(store: Path) -> dict[str, Accel]:
    """The kept answers; a missing or damaged file holds none."""
    try:
        kept = json.loads(store.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {key: answer for key, answer in kept.items() if answer in ("kvm", "tcg")}


def _keep(store: Path, answers: dict[str, Accel]) -> None:
    fresh = store.with_suffix(".new")
    fresh.write_text(json.dumps(answers, indent=1) + "\n")
    fresh.rename(store)


def boots(qemu: str, guest: GuestFiles, limit: float, accel: Accel = "kvm") -> bool:
    """Whether the guest says that it is ready within `limit` seconds; QEMU is killed in any case."""
    argv = [qemu, "-accel", accel, "-m", "128", "-display", "none", "-nodefaults", "-no-reboot"]
    argv += ["-serial", "stdio", "-kernel", str(guest.kernel), "-initrd", str(guest.initrd)]
    argv += ["-append", cmdline("kvm-trial", [])]
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        return _says_ready(process, time.monotonic() + limit)
    finally:
        process.kill()
        process.communicate()


def _says_ready(process: subprocess.Popen[bytes], deadline: float) -> bool:
    assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
    seen = b""
    while _READY not in seen:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            return False
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            return False
        seen += data
    return True
