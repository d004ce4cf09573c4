import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

from grappe.twin.guest import decide, default_cache_dir, ensure_guest
from grappe.twin.guest.accel import boots, qemu_version

QEMU = "qemu-system-x86_64"


def test_a_guest_that_boots_in_time_counts_and_one_that_does_not_is_given_up() -> None:
    guest = ensure_guest(default_cache_dir())
    assert boots(QEMU, guest, 60, accel="tcg")
    assert not boots(QEMU, guest, 0.1, accel="tcg")


def test_a_qemu_that_ends_at_once_counts_as_no_boot() -> None:
    assert not boots("false", ensure_guest(default_cache_dir()), 60)


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="/dev/kvm cannot be opened here")
@pytest.mark.parametrize("answer", ["kvm", "tcg"])
def test_a_kept_answer_is_taken_without_a_boot(tmp_path: Path, answer: str) -> None:
    version = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "accel.json").write_text(
        json.dumps({f"{platform.release()} {qemu_version(version)}": answer})
    )
    assert decide(tmp_path) == answer
    assert not list(tmp_path.glob("guest-*"))


def test_the_answer_is_kept_and_the_same_again() -> None:
    assert decide(default_cache_dir()) == decide(default_cache_dir())
