"""Cables: both ends, each port once, and what the declaration says twice about one port."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from grappe.check import places
from grappe.check.codes import cabling as codes
from grappe.check.codes import vlans as vlan_codes
from grappe.check.view import Link, View
from grappe.model.finding import Finding
from grappe.model.site import Host, Path, PortRef
from grappe.model.topology import Carriage, SwitchPortProfile
from grappe.model.units import VlanId, format_vlans


def findings(view: View) -> Iterator[Finding]:
    """All findings about cables and switch ports."""
    yield from _ports_used_twice(view)
    yield from _unknown_switches(view)
    yield from _one_sided(view)
    for host in view.site.hosts.values():
        yield from _nics(view, host)
    for claims in view.claims.values():
        yield from _claims(claims)
    for link in view.links:
        yield from _link(view, link)
    yield from _merged(view)


def _ends(view: View) -> Iterator[tuple[PortRef, Path, str]]:
    """Every cable end at a switch port: port, place of the cable, what is at the other end."""
    for host in view.site.hosts.values():
        for nic in host.nics.values():
            if nic.cable is not None:
                yield nic.cable, places.cable(host, nic.name), f"host {host.name} {nic.name}"
    for link in view.links:
        for here, there in ((link.a, link.b), (link.b, link.a)):
            place = places.port(here if _declares_to(view, here, there) else there, "to")
            yield here, place, f"switch {there}"


def _declares_to(view: View, here: PortRef, there: PortRef) -> bool:
    switch = view.site.switches.get(here.switch)
    port = switch.ports.get(here.port) if switch else None
    return port is not None and port.to == there


def _ports_used_twice(view: View) -> Iterator[Finding]:
    ends: defaultdict[PortRef, list[tuple[Path, str]]] = defaultdict(list)
    for port, place, label in _ends(view):
        ends[port].append((place, label))
    for port, found in ends.items():
        if len(found) > 1:
            (first, _), *_ = found = sorted(found, key=lambda end: places.show(end[0]))
            yield codes.PORT_CABLED_TWICE.at(
                found[-1][0],
                f"switch port {port} has {len(found)} cables: {places.listing(label for _, label in found)}",
                hint="look at the switch and correct the wrong line",
                related=[first, *(place for place, _ in found[1:-1])],
            )


def _unknown_switches(view: View) -> Iterator[Finding]:
    for port, place, label in _ends(view):
        if port.switch not in view.site.switches:
            yield codes.UNKNOWN_SWITCH.at(
                place,
                f"the cable of {label} goes to {port}, and there is no switch {port.switch}",
                hint=f"declare `switches: {{{port.switch}: {{platform: unmanaged}}}}` or correct the name",
            )


def _one_sided(view: View) -> Iterator[Finding]:
    for switch in view.site.switches.values():
        for port in switch.ports.values():
            here = PortRef(switch=switch.name, port=port.name)
            back = _leads_to(view, port.to) if port.to is not None else None
            if port.to == here or (back is not None and back != here):
                yield codes.CABLE_ENDS_DISAGREE.at(
                    places.port(here, "to"),
                    f"{here} leads to itself"
                    if port.to == here
                    else f"{here} leads to {port.to}, which leads to {back}",
                    hint="write the cable at one end only",
                    related=[places.port(port.to, "to")] if port.to is not None and port.to != here else (),
                )


def _leads_to(view: View, ref: PortRef) -> PortRef | None:
    switch = view.site.switches.get(ref.switch)
    port = switch.ports.get(ref.port) if switch else None
    return port.to if port else None


def _nics(view: View, host: Host) -> Iterator[Finding]:
    used: defaultdict[str, list[str]] = defaultdict(list)
    for attachment in host.attachments:
        if attachment.uplink is not None:
            used[attachment.uplink].append(f"the attachment to {attachment.fabric}")
        for nic in host.uplink_nics(attachment):
            if view.site.switches and nic in host.nics and host.nics[nic].cable is None:
                yield codes.NIC_WITHOUT_CABLE.at(
                    places.cable(host, nic),
                    f"{nic} of host {host.name} carries {attachment.fabric}, and its cable is not declared",
                    hint=f"write `cables: {{{nic}: SWITCH/PORT}}` at the host",
                )
    for bond in host.bonds.values():
        for member in bond.members:
            used[member].append(f"bond {bond.name}")
    for nic, users in used.items():
        if len(users) > 1:
            yield codes.NIC_USED_TWICE.at(
                places.host(host, "nics", nic),
                f"{nic} of host {host.name} is used by {places.listing(users)}",
                hint="let networks of one fabric share the attachment, or use another NIC",
            )


def _claims(claims: tuple[SwitchPortProfile, ...]) -> Iterator[Finding]:
    """What is declared by hand against what the cable needs. Two cables are another finding."""
    needed = claims[0]
    for declared in claims[1:]:
        if needed.faces.startswith("host ") and declared.faces.startswith("host "):
            continue
        if (needed.fabric, needed.carriage) != (declared.fabric, declared.carriage):
            yield codes.PORT_DECLARED_DIFFERENTLY.at(
                places.port(declared.port),
                f"{declared.port} is declared with {_shown(declared)}, "
                f"and {needed.faces} needs {_shown(needed)}",
                hint="remove the networks from the port; they follow from the cable",
                data={"port": str(declared.port), "faces": needed.faces},
            )
        if needed.carriage.native != declared.carriage.native:
            yield vlan_codes.NATIVE_MISMATCH.at(
                places.port(declared.port),
                f"untagged frames are {_native(declared.carriage.native)} at {declared.port} "
                f"and {_native(needed.carriage.native)} at {needed.faces}",
                hint="give both ends the same native network",
            )


def _shown(profile: SwitchPortProfile) -> str:
    return f"{carried(profile.carriage)} of {profile.fabric}"


def carried(carriage: Carriage) -> str:
    """Return what a port carries: `untagged and tagged 6,10`."""
    words = [] if carriage.native is None else [_untagged(carriage.native)]
    if carriage.tagged:
        words.append(f"tagged {format_vlans(carriage.tagged)}")
    return " and ".join(words) or "nothing"


def _untagged(native: VlanId) -> str:
    return f"untagged VLAN {native}" if native else "untagged"


def _link(view: View, link: Link) -> Iterator[Finding]:
    a, b = (view.profiles.get(end) for end in link.ends)
    if a is None or b is None:
        return
    place, related = places.port(link.a), [places.port(link.b)]
    if a.fabric != b.fabric or a.carriage.vlans != b.carriage.vlans:
        yield codes.LINK_ENDS_DIFFER.at(
            place,
            f"{link.a} carries {_shown(a)}, and the other end {link.b} {_shown(b)}",
            hint="declare the networks at one end only; the other end follows",
            related=related,
        )
    if a.carriage.native != b.carriage.native:
        ends = " and ".join(f"{p.port}: {_native(p.carriage.native)}" for p in (a, b))
        yield vlan_codes.NATIVE_MISMATCH.at(
            place,
            f"untagged frames change their network on the cable ({ends})",
            hint="give both ends the same native network",
            related=related,
        )


def _native(native: VlanId | None) -> str:
    if native is None:
        return "dropped"
    return f"VLAN {native}" if native else "the native segment"


def _merged(view: View) -> Iterator[Finding]:
    """Two fabrics on one switch with a VLAN id in common, one finding per switch and pair."""
    first: dict[tuple[str, VlanId], SwitchPortProfile] = {}
    clashes: defaultdict[tuple[str, str, str], dict[VlanId, PortRef]] = defaultdict(dict)
    for profile in sorted(view.profiles.values(), key=lambda p: (p.fabric, str(p.port))):
        for vlan in profile.carriage.vlans:
            other = first.setdefault((profile.port.switch, vlan), profile)
            if other.fabric != profile.fabric:
                a, b = sorted((other.fabric, profile.fabric))
                clashes[profile.port.switch, a, b].setdefault(vlan, profile.port)
    for (switch, a, b), vlans in clashes.items():
        tagged = [v for v in vlans if v]
        words = ([f"VLAN {format_vlans(tagged)}"] if tagged else []) + (
            ["untagged frames"] if 0 in vlans else []
        )
        yield codes.FABRICS_MERGED.at(
            places.switch(switch),
            f"fabrics {a} and {b} meet in switch {switch}: both have {' and '.join(words)} there",
            hint="use other VLAN ids, another switch, or one fabric",
            related=[places.fabric(a), places.fabric(b)],
        )
