"""Names that become interfaces: their length, their characters, and each once on a device."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from grappe.check import places
from grappe.check.codes import naming as codes
from grappe.check.view import View
from grappe.model.finding import Finding
from grappe.model.site import Host, Path, Platform, Switch

LONGEST_NAME = 15
"""IFNAMSIZ is 16 with the closing zero byte (linux/if.h)."""

_SOUND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*")

Use = tuple[str, Path, str]
"""Name, place, what it is for."""


def findings(view: View) -> Iterator[Finding]:
    """All findings about names of interfaces."""
    for host in view.site.hosts.values():
        uses = tuple(_host_uses(host))
        yield from _forms(uses, f"host {host.name}")
        yield from _collisions(uses, f"host {host.name}")
    for switch in view.site.switches.values():
        if switch.platform is Platform.OVS_SWITCH:
            uses = tuple(_switch_uses(view, switch))
            yield from _forms(uses, f"switch {switch.name}")
            yield from _collisions(uses, f"switch {switch.name}")
    yield from _libvirt_networks(view)


def _host_uses(host: Host) -> Iterator[Use]:
    for nic in host.nics.values():
        yield nic.name, places.host(host, "nics", nic.name), "NIC"
    for bond in host.bonds.values():
        yield bond.name, places.host(host, "bonds", bond.name), "bond"
    for attachment in host.attachments:
        if attachment.bridge is not None:
            place = places.attachment(host, attachment)
            yield attachment.bridge, place, f"bridge of {attachment.fabric}"
    plain = {a.uplink for a in host.attachments if a.bridge is None}
    for held in host.addresses:
        if held.port not in plain and not _own_bridge(host, held.network, held.port):
            yield held.port, places.address(host, held.network), f"port on {held.network}"


def _own_bridge(host: Host, network: str, port: str) -> bool:
    """Whether a port is the local port of the bridge that its network is on."""
    return any(a.bridge == port and (network in a.networks or network == a.native) for a in host.attachments)


def _switch_uses(view: View, switch: Switch) -> Iterator[Use]:
    yield switch.bridge, places.switch(switch.name, "bridge"), "bridge"
    bonds: dict[tuple[str, ...], str] = {}
    for profile in view.profiles_of(switch.name):
        yield profile.port.port, places.port(profile.port), "port"
        if profile.bond is not None:
            bonds[profile.bond.members] = profile.bond.name
    for members, name in bonds.items():
        yield name, places.switch(switch.name, "bonds", name), f"bond of {', '.join(members)}"


def _forms(uses: tuple[Use, ...], device: str) -> Iterator[Finding]:
    for name, place, what in dict.fromkeys(uses):
        size = len(name.encode())
        if size > LONGEST_NAME:
            yield codes.NAME_TOO_LONG.at(
                place,
                f"{what} {name} of {device} has {size} characters, "
                f"and an interface name {LONGEST_NAME} at most",
                hint=f"for example {name[:LONGEST_NAME]}",
            )
        if _SOUND.fullmatch(name) is None:
            yield codes.NAME_REFUSED.at(
                place,
                f"{name!r} cannot be the name of a {what} of {device}",
                hint="use letters, digits, `-`, `_` and `.`, and start with a letter or a digit",
            )


def _collisions(uses: tuple[Use, ...], device: str) -> Iterator[Finding]:
    by_name: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for name, place, what in sorted(uses, key=lambda use: places.show(use[1])):
        by_name[name].setdefault(what, place)
    for name, found in by_name.items():
        if len(found) > 1:
            (_, first), *others = sorted(found.items())
            yield codes.NAME_COLLIDES.at(
                others[-1][1],
                f"{name} of {device} would be {places.listing(found)} at once",
                hint="name one of them differently",
                related=[first, *(place for _, place in others[:-1])],
            )


def _libvirt_networks(view: View) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for fabric in sorted(view.site.fabrics.values(), key=lambda f: f.name):
        other = first.setdefault(fabric.libvirt_network, fabric.name)
        if other != fabric.name:
            yield codes.NAME_COLLIDES.at(
                places.fabric(fabric.name, "libvirt_network"),
                f"fabrics {other} and {fabric.name} both have the libvirt network {fabric.libvirt_network}",
                hint="name one of them differently",
                related=[places.fabric(other, "libvirt_network")],
            )
