"""The whole path as an ordinary user with everything in his own home, with and without a range of sub-ids."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import grappe
from grappe.twin.guest import default_cache_dir, ensure_guest

ROOT = os.geteuid() == 0
pytestmark = [
    pytest.mark.xdist_group("rootless"),
    pytest.mark.skipif(not ROOT, reason="makes a user; run as an ordinary one, every other test shows it"),
]

SITE = """
site: small
networks:
  office: {fabric: office, subnet: 192.168.10.0/24, gateway: .253, roles: [management]}
  front:  {fabric: rack, vlan: 10, subnet: 10.10.1.0/24}
  store:  {fabric: rack, vlan: 12, subnet: 10.12.1.0/24, mtu: 9000, roles: [storage]}
pools:
  kvm:
    platform: kvm
    storage: {images: /var/lib/libvirt/images}
    attach:
      eth0: {networks: [office], bridge: false}
      eth1: {fabric: rack}
    hosts:
      h1: {addresses: {office: .11, store: .11}, cables: {eth0: desk/1, eth1: sw1/p1}}
      h2: {addresses: {office: .12, store: .12}, cables: {eth0: desk/2, eth1: sw1/p2}}
switches:
  sw1: {platform: ovs_switch, access: 192.168.10.241}
  desk: {platform: unmanaged}
vms:
  web1: {memory: 96M, boot: test-guest, host: h1, nics: [{network: front, address: .21}]}
removed: {libvirt_networks: [default]}
"""

# Ids of this run alone: what they own afterwards is ours.
NAME, UID = "newcomer", 40000 + os.getpid() % 20000
FIRST_SUB, SUBS = 1_000_000 + os.getpid() % 20000 * 65536, 65536

# In a mount namespace of its own: the user's account, the code and the interpreter where he can read them,
# and a /dev/net/tun as Debian's udev leaves it. Nothing of it is seen outside.
PREPARE = """
place=$1; shift
for file in passwd group subuid subgid; do mount --bind "$place/etc/$file" "/etc/$file"; done
mount --bind "$CODE" "$place/home/grappe/src"
mount --bind "$SITE_PACKAGES" "$place/home/.venv/lib/$PYTHON/site-packages"
[ "$BASE" = /usr ] || mount --bind "$BASE" "$place/python"
[ ! -e "$place/tun" ] || mount --bind "$place/tun" /dev/net/tun
exec "$@"
"""


@dataclass(frozen=True)
class User:
    """A throw-away user: his home with a checkout, a virtual environment and a declaration."""

    place: Path

    @property
    def home(self) -> Path:
        return self.place / "home"

    def run(self, *argv: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a program as he would, in his home, with nothing of our own environment."""
        become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--reset-env"]
        path = f"{self.home}/.venv/bin:/usr/local/bin:/usr/bin:/bin"
        clean = ["env", f"HOME={self.home}", f"PATH={path}", "PYTHONDONTWRITEBYTECODE=1", f"USER={NAME}"]
        clean += [f"XDG_RUNTIME_DIR={self.place}/run", f"PYTHONPATH={self.home}/grappe/src"]
        return subprocess.run(
            ["unshare", "--mount", "sh", "-ec", PREPARE, "sh", str(self.place), *become, *clean, *argv],
            cwd=self.home,
            env={**os.environ, **self._shown()},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def _shown(self) -> dict[str, str]:
        return {
            "CODE": str(Path(grappe.__file__).parents[1]),
            "SITE_PACKAGES": sysconfig.get_path("purelib"),
            "PYTHON": _python(),
            "BASE": sys.base_prefix,
        }

    def grappe(self, *words: str, status: int = 0) -> str:
        """Run a verb; the output, once the exit status is as expected."""
        done = self.run(f"{self.home}/.venv/bin/python", "-m", "grappe", *words)
        assert done.returncode == status, f"$ grappe {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def _python() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def make_user(place: Path, *, sub_ids: bool) -> User:
    """Lay out his files below `place`, which only he and root can change."""
    user = User(place)
    for folder in ("etc", "home/grappe/src", f"home/.venv/lib/{_python()}/site-packages", "home/.venv/bin"):
        (place / folder).mkdir(parents=True)
    (place / "run").mkdir(mode=0o700)
    (place / "python").mkdir()
    base = "/usr" if sys.base_prefix == "/usr" else str(place / "python")
    (user.home / ".venv/pyvenv.cfg").write_text(f"home = {base}/bin\ninclude-system-site-packages = false\n")
    (user.home / ".venv/bin/python").symlink_to(f"{base}/bin/{_python()}")
    entries = {"passwd": f"{NAME}:x:{UID}:{UID}::{user.home}:/bin/sh", "group": f"{NAME}:x:{UID}:"}
    for file, line in entries.items():
        (place / "etc" / file).write_text(Path("/etc", file).read_text() + line + "\n")
    for file in ("subuid", "subgid"):
        (place / "etc" / file).write_text(f"{NAME}:{FIRST_SUB}:{SUBS}\n" if sub_ids else "")
    (user.home / "site.yaml").write_text(SITE)
    guest = ensure_guest(default_cache_dir()).kernel.parent  # built without root just so, only slower
    shutil.copytree(guest, user.home / ".cache/grappe" / guest.name)
    for path in (user.home, place / "run", *user.home.rglob("*")):
        os.chown(path, UID, UID, follow_symlinks=False)
    user.home.chmod(0o700)
    return user


def make_tun(user: User, mode: int) -> None:
    """A device node with the mode that /dev/net/tun shall have for him."""
    node = user.place / "tun"
    node.unlink(missing_ok=True)
    os.mknod(node, 0o020000 | mode, os.makedev(10, 200))
    node.chmod(mode)


def processes() -> dict[int, str]:
    """Processes of the user or of one of his sub-ids; his namespaces and mounts live no longer than they."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = (folder / "status").read_text().splitlines()
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            ids = {int(number) for number in status["Uid"].split()}
            if any(uid == UID or FIRST_SUB <= uid < FIRST_SUB + SUBS for uid in ids):
                found[int(folder.name)] = status["Name"]
    return found


@pytest.fixture(params=["many ids", "one id"])
def user(request: pytest.FixtureRequest) -> Iterator[User]:
    place = Path(tempfile.mkdtemp(prefix="grappe-rootless-"))
    place.chmod(0o755)
    user = make_user(place, sub_ids=request.param == "many ids")
    make_tun(user, 0o666)
    try:
        yield user
    finally:
        for pid in processes():  # only when the test failed
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(place)


def test_an_ordinary_user_walks_the_whole_path_and_leaves_nothing(
    user: User, request: pytest.FixtureRequest
) -> None:
    make_tun(user, 0o600)
    refused = user.grappe("twin", "up", status=1)
    assert "/dev/net/tun is not usable by this user (its mode is 0600, needed is 0666)" in refused
    assert "chmod 0666 /dev/net/tun" in refused
    assert not list((user.home / ".local/state/grappe/twin").glob("*"))
    make_tun(user, 0o666)
    assert "as an ordinary user" in user.grappe("twin", "up")
    ids = user.grappe("twin", "shell", "h1", "--", "cat", "/proc/self/uid_map").splitlines()
    assert len(ids) == (2 if "many ids" in request.node.name else 1), ids
    user.grappe("--twin", "apply", "--yes", "--adopt", "h*/libvirt-network/default")
    assert "nothing to do" in user.grappe("--twin", "apply", "--yes")
    assert json.loads(user.grappe("--twin", "verify", "--json"))["ok"]
    assert json.loads(user.grappe("--twin", "status", "--json"))["drift"] == []
    vms = json.loads(user.grappe("--twin", "vm", "list", "--json"))["vms"]
    assert [(vm["name"], vm["state"]) for vm in vms] == [("web1", "running")]
    assert processes()
    user.grappe("twin", "down")
    limit = time.monotonic() + 10
    while (left := processes()) and time.monotonic() < limit:
        time.sleep(0.05)
    assert left == {}
    assert list((user.home / ".local/state/grappe/twin").iterdir()) == []
    assert list(user.place.glob("run/grappe/*")) == []
