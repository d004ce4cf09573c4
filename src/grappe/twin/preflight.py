"""What this machine must offer before a lab can be laid, and how to get it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from grappe.twin.blueprint import Blueprint
from grappe.twin.errors import TwinError

# Program -> Debian package, for every node and for those with libvirt.
_EVERYWHERE = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "ifup": "ifupdown",
    "ovsdb-server": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
    "ovs-vsctl": "openvswitch-common",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
}
_LIBVIRT = {
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "qemu-img": "qemu-utils",
}
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))


def check(blueprint: Blueprint, state: Path, tun: Path, shares: Iterable[Path] = ()) -> None:
    """Raise TwinError with the first thing that is missing and how to get it."""
    _packages(blueprint)
    _layout()
    if state.is_relative_to("/run") or state.is_relative_to("/var/run"):
        raise TwinError(
            f"the twin's state directory {state} is below /run", "A lab hides /run: choose another."
        )
    for path in shares:
        if not path.exists():
            raise TwinError(f"{path} does not exist, so no node can be shown it")
    if os.geteuid() != 0:
        _user_namespaces()
        _tun(tun)  # bridges of a userspace Open vSwitch are taps too


def _packages(blueprint: Blueprint) -> None:
    wanted = dict(_EVERYWHERE)
    if any(one.libvirt for one in blueprint.nodes):
        wanted |= _LIBVIRT
    missing = {
        program: package for program, package in wanted.items() if not shutil.which(program, path=_PATH)
    }
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise TwinError(
            f"the twin needs programs that are not installed: {', '.join(sorted(missing))}",
            f"On Debian: apt install --no-install-recommends {packages}",
        )


def _layout() -> None:
    split = [name for name in ("bin", "sbin", "lib") if not Path("/", name).is_symlink()]
    if split:
        raise TwinError(
            f"/{split[0]} is not a link into /usr",
            "The twin shows /usr to its hosts; a system with merged /usr (Debian 12 and later) is needed.",
        )


def _user_namespaces() -> None:
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "--mount", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reasons = list(_why_no_user_namespaces()) or ["Ask the administrator why, or run as root."]
        raise TwinError(f"this user cannot make user namespaces: {done.stderr.strip()}", "\n".join(reasons))


def _why_no_user_namespaces() -> Iterator[str]:
    for path, bad, setting in (
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ):
        if _content(path) == bad:
            yield f"{path} is {bad}. As root: sysctl -w {setting} (or run the twin as root)."


def _content(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _tun(tun: Path) -> None:
    if not tun.exists():
        raise TwinError(f"{tun} does not exist", "As root: modprobe tun")
    if not os.access(tun, os.R_OK | os.W_OK):
        mode = tun.stat().st_mode & 0o777
        raise TwinError(
            f"{tun} is not usable by this user (its mode is {mode:04o}, needed is 0666)",
            f"As root: chmod 0666 {tun} (Debian's udev does; making interfaces still needs privileges).",
        )


def mapping() -> tuple[list[str], bool]:
    """Return the options of unshare(1) for this user's ids, and whether only one id can be mapped."""
    if os.geteuid() == 0:
        return [], False
    for options in (["--map-auto", "--map-root-user"], ["--map-root-user"]):
        done = subprocess.run(["unshare", "--user", *options, "true"], capture_output=True, check=False)
        if done.returncode == 0:
            return ["--user", *options], options == ["--map-root-user"]
    raise TwinError(
        "this user cannot map its own id into a user namespace", "\n".join(_why_no_user_namespaces())
    )


def remove_tree(path: Path, options: Iterable[str]) -> None:
    """Remove a tree in which other mapped ids may own something."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except PermissionError:
        subprocess.run(["unshare", *options, "rm", "-rf", "--", str(path)], check=True)
