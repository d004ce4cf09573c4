"""What is said when this machine cannot carry a lab: what is missing, and how to get it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grappe.twin import preflight
from grappe.twin.blueprint import Blueprint, Nic, Node, Stanza
from grappe.twin.errors import TwinError
from grappe.twin.lab import Lab

HOST = Node("h1", nics=(Nic("eth0"),), installer=(Stanza("eth0", "192.0.2.1/24"),))
PLAN = Blueprint("none", (HOST,))
TUN = Path("/dev/net/tun")


def told(caught: pytest.ExceptionInfo[TwinError]) -> tuple[str, str]:
    return caught.value.reason, caught.value.hint


def test_missing_programs_are_named_with_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ip", "unshare", "nsenter", "sysctl", "ifup", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(preflight, "_PATH", str(tmp_path))
    with pytest.raises(TwinError) as caught:
        preflight.check(PLAN, tmp_path / "state", TUN)
    assert told(caught) == (
        "the twin needs programs that are not installed: libvirtd, qemu-img, ssh, ssh-keygen, sshd, virsh",
        "On Debian: apt install --no-install-recommends"
        " libvirt-clients libvirt-daemon openssh-client openssh-server qemu-utils",
    )


def test_a_state_directory_that_the_lab_would_hide_is_refused() -> None:
    with pytest.raises(TwinError, match="below /run"):
        Lab.up(PLAN, Path("/run/lab"))


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").touch()
    with pytest.raises(TwinError, match="is not empty and no twin's"):
        Lab.up(PLAN, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["letters"]


def test_what_is_to_be_shown_must_exist(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match="nowhere does not exist"):
        Lab.up(PLAN, tmp_path / "state", shares={"/srv": tmp_path / "nowhere"})


@pytest.fixture
def ordinary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ordinary user, and a folder of programs that go before the real ones."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_forbidden_user_namespaces_are_told_with_the_setting_that_forbids_them(
    ordinary: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, remedy: str
) -> None:
    refusing = ordinary / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(preflight, "_content", lambda path: value if path == setting else "")
    with pytest.raises(TwinError) as caught:
        preflight.check(PLAN, ordinary / "state", TUN)
    reason, hint = told(caught)
    assert reason == (
        "this user cannot make user namespaces: unshare: unshare failed: Operation not permitted"
    )
    assert hint == f"{setting} is {value}. As root: {remedy} (or run the twin as root)."


def test_a_missing_tun_device_is_told_with_its_remedy(ordinary: Path) -> None:
    with pytest.raises(TwinError) as caught:
        preflight.check(PLAN, ordinary / "state", ordinary / "tun")
    assert told(caught) == (f"{ordinary}/tun does not exist", "As root: modprobe tun")


def test_a_switch_alone_needs_tun_too_for_its_bridges_are_taps(ordinary: Path) -> None:
    switch = Node("sw", "switch", (Nic("mgmt"),), (Stanza("mgmt", "192.0.2.2/24"),), libvirt=False)
    with pytest.raises(TwinError, match="tun does not exist"):
        preflight.check(Blueprint("none", (switch,)), ordinary / "state", ordinary / "tun")
