"""Bring a site's twin up: its wiring, and what its hosts need so that test guests can start at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from grappe.model.site import Site, TestGuest
from grappe.twin.blueprint import Node
from grappe.twin.errors import TwinError
from grappe.twin.from_site import blueprint
from grappe.twin.guest.accel import decide
from grappe.twin.guest.image import ensure_guest
from grappe.twin.guest.tools import BuildError
from grappe.twin.lab import Lab
from grappe.twin.settings import cache_home

GUEST_FOLDER = "/var/lib/grappe/guest"
"""Where a host has the test guest's kernel and initramfs."""

ACCELERATION = "/var/lib/grappe/accel"
"""Where a host has the word `kvm` or `tcg`: what really works there."""


def bring_up(
    site: Site,
    name: str,
    machines: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Lab:
    """Bring up the twin of a site and return when every machine answers. Raises TwinError."""
    wiring = blueprint(site, name, machines)
    if not any(isinstance(vm.boot, TestGuest) for vm in site.vms.values()):
        return Lab.up(wiring, say=say)
    try:
        say("test guest: kernel and initramfs from Debian's packages (built once, then cached)")
        files = ensure_guest(cache_home())
        acceleration = decide(cache_home())
    except BuildError as error:
        raise TwinError(f"the test guest cannot be built: {error}") from error
    shares: dict[str, Path] = {GUEST_FOLDER: files.kernel.parent}
    lab = Lab.up(wiring, shares=shares, kvm=acceleration == "kvm", say=say)
    for node in wiring.nodes:
        if node.libvirt and node.machine == "namespace":
            _tell_acceleration(lab, node, acceleration)
    return lab


def _tell_acceleration(lab: Lab, node: Node, word: str) -> None:
    write = 'mkdir -p "${1%/*}" && cat > "$1"'
    done = lab.exec(node.name, ["sh", "-c", write, "sh", ACCELERATION], input=word + "\n")
    if done.returncode:
        raise TwinError(f"{node.name}: cannot write {ACCELERATION}: {done.stderr.strip()}")
