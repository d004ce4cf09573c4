"""Bonds, and what keeps a ring of cables from becoming a loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from grappe.check import places
from grappe.check.codes import bonds as codes
from grappe.check.view import Link, View
from grappe.model.finding import Finding
from grappe.model.site import Attachment, Bond, BondMode, Host, Path, Platform, SpanningTree, Switch

_OVS_HOSTS = (Platform.KVM, Platform.PROXMOX, Platform.XCP_NG)
"""Hosts whose bridges are Open vSwitch."""


def findings(view: View) -> Iterator[Finding]:
    """All findings about bonds and their other ends. Loops are in `loops`."""
    for host in view.site.hosts.values():
        for attachment in host.attachments:
            yield from _tree_on_host_bond(host, attachment)
            yield from _unknown_uplink(host, attachment)
        for bond in host.bonds.values():
            yield from _host_bond(host, bond)
            yield from _other_ends(view, host, bond)
    for switch in view.site.switches.values():
        yield from _tree_on_switch_bond(view, switch)
        for bond in switch.bonds.values():
            yield from _switch_bond(view, switch, bond)
    for link in view.links:
        yield from _link(view, link)


def _tree_on_host_bond(host: Host, attachment: Attachment) -> Iterator[Finding]:
    bonded = attachment.uplink in host.bonds
    if bonded and attachment.spanning_tree is not SpanningTree.NONE and host.platform in _OVS_HOSTS:
        yield _refused(
            places.attachment(host, attachment),
            f"bridge {attachment.bridge} of host {host.name}",
            attachment.spanning_tree,
            attachment.uplink or "",
        )


def _tree_on_switch_bond(view: View, switch: Switch) -> Iterator[Finding]:
    if switch.platform is not Platform.OVS_SWITCH or switch.spanning_tree is SpanningTree.NONE:
        return
    names = set(switch.bonds)
    names |= {p.bond.name for p in view.profiles_of(switch.name) if p.bond is not None}
    for name in sorted(names):
        place = places.switch(switch.name, "spanning_tree")
        yield _refused(place, f"bridge {switch.bridge} of switch {switch.name}", switch.spanning_tree, name)


def _refused(place: Path, bridge: str, tree: SpanningTree, bond: str) -> Finding:
    return codes.SPANNING_TREE_ON_BOND.at(
        place,
        f"{bridge} has {tree.upper()} on, and Open vSwitch refuses it on its bond {bond}",
        hint="turn spanning tree off there, or use an active-backup bond at the host alone",
    )


def _unknown_uplink(host: Host, attachment: Attachment) -> Iterator[Finding]:
    name = attachment.uplink
    if name is not None and name not in host.bonds and name not in host.nics:
        yield codes.BOND_MEMBER_UNKNOWN.at(
            places.attachment(host, attachment), f"host {host.name} has no NIC or bond {name}"
        )


def _host_bond(host: Host, bond: Bond) -> Iterator[Finding]:
    place = places.host(host, "bonds", bond.name)
    yield from _single(place, bond, f"host {host.name}")
    for member in bond.members:
        if member not in host.nics:
            yield codes.BOND_MEMBER_UNKNOWN.at(
                place, f"bond {bond.name} of host {host.name} names {member}, which is not one of its NICs"
            )
    cables = {nic: host.nics[nic].cable for nic in bond.members if nic in host.nics}
    switches = {cable.switch for cable in cables.values() if cable is not None}
    if bond.mode is BondMode.LACP and len(switches) > 1:
        yield codes.LACP_ACROSS_SWITCHES.at(
            place,
            f"LACP bond {bond.name} of host {host.name} ends in {places.listing(switches)}",
            hint="use `mode: active-backup`, or one switch for both cables",
            related=[places.cable(host, nic) for nic in cables],
        )


def _single(place: Path, bond: Bond, device: str) -> Iterator[Finding]:
    if len(set(bond.members)) < 2:
        yield codes.BOND_SINGLE_MEMBER.at(
            place,
            f"bond {bond.name} of {device} has {len(set(bond.members))} member",
            hint="add a second one, or use the NIC without a bond",
        )


def _other_ends(view: View, host: Host, bond: Bond) -> Iterator[Finding]:
    """A bond that is not LACP, on switch ports that are bonded."""
    if bond.mode is BondMode.LACP:
        return
    for nic in bond.members:
        cable = host.nics[nic].cable if nic in host.nics else None
        if cable is None or cable.switch not in view.site.switches:
            continue
        for facing in view.site.switches[cable.switch].bonds.values():
            if cable.port in facing.members and facing.mode is BondMode.LACP:
                yield codes.BOND_ONE_SIDED.at(
                    places.switch(cable.switch, "bonds", facing.name),
                    f"{cable} is in the LACP bond {facing.name}, and {nic} of host {host.name} "
                    f"in a bond of mode {bond.mode}",
                    hint=f"use `mode: lacp` for {bond.name}, or remove the switch's bond",
                    related=[places.host(host, "bonds", bond.name)],
                )


def _link(view: View, link: Link) -> Iterator[Finding]:
    bonds = [view.bond_at(end) for end in link.ends]
    modes = [bond is not None and bond.mode is BondMode.LACP for bond in bonds]
    managed = [
        end.switch in view.site.switches and view.site.switches[end.switch].managed for end in link.ends
    ]
    if modes[0] != modes[1] and managed[modes.index(False)]:
        with_bond, without = link.ends if modes[0] else (link.b, link.a)
        yield codes.BOND_ONE_SIDED.at(
            places.port(with_bond),
            f"{with_bond} is in an LACP bond, and the other end {without} is not",
            hint=f"declare the bond at switch {without.switch} too",
            related=[places.port(without)],
        )


def _switch_bond(view: View, switch: Switch, bond: Bond) -> Iterator[Finding]:
    """Members of one switch bond that lead to several switches."""
    place = places.switch(switch.name, "bonds", bond.name)
    yield from _single(place, bond, f"switch {switch.name}")
    ends: defaultdict[str, list[str]] = defaultdict(list)
    for port in bond.members:
        for other in view.peers.get((switch.name, port), ()):
            ends[other.switch].append(port)
    if len(ends) > 1 and bond.mode is BondMode.LACP:
        yield codes.LACP_ACROSS_SWITCHES.at(
            place,
            f"LACP bond {bond.name} of switch {switch.name} ends in {places.listing(_named(ends))}",
            hint="make one bond for each of these switches",
        )


def _named(ends: Mapping[str, list[str]]) -> list[str]:
    return [f"{switch} ({', '.join(sorted(ports))})" for switch, ports in ends.items()]
