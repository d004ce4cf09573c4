"""MAC addresses: each once, each a sender, each known to the provider where the provider counts them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from grappe.check import places
from grappe.check.codes import addressing as codes
from grappe.check.view import View
from grappe.model.finding import Finding
from grappe.model.site import Path, Vm
from grappe.model.units import Mac, is_multicast


def findings(view: View) -> Iterator[Finding]:
    """All findings about MAC addresses as such."""
    owners = sorted(_owners(view), key=lambda owner: (owner[3], places.show(owner[1])))
    yield from _duplicates(owners)
    for mac, place, label, _ in owners:
        if is_multicast(mac):
            yield codes.MULTICAST_MAC.at(
                place, f"{mac} of {label} is a group address", hint=f"for example {_unicast(mac)}"
            )
    for vm in view.site.vms.values():
        yield from _scheme(view, vm)


Owner = tuple[Mac, Path, str, bool]
"""MAC, place, label, whether it is a VM's."""


def _owners(view: View) -> Iterator[Owner]:
    for host in view.site.hosts.values():
        for nic in host.nics.values():
            if nic.mac is not None:
                yield nic.mac, places.host(host, "nics", nic.name), f"host {host.name} {nic.name}", False
    for vm in view.site.vms.values():
        for index, vm_nic in enumerate(vm.nics):
            yield vm_nic.mac, places.vm_nic(vm, index), f"VM {vm.name} NIC {index}", True


def _duplicates(owners: list[Owner]) -> Iterator[Finding]:
    first: dict[Mac, Owner] = {}
    for owner in owners:
        mac, place, label, _ = owner
        other = first.setdefault(mac, owner)
        if other is not owner:
            yield codes.DUPLICATE_MAC.at(
                place,
                f"{label} and {other[2]} both have the MAC {mac}",
                hint="leave a VM's MAC out: it is then derived and unique",
                related=[other[1]],
                data={"mac": mac},
            )


def _unicast(mac: Mac) -> str:
    return f"{int(mac[:2], 16) & 0xFE:02x}{mac[2:]}"


def _scheme(view: View, vm: Vm) -> Iterator[Finding]:
    """MACs of one VM that are alike but for the fourth byte are meant to spell VLANs."""
    groups: defaultdict[str, list[tuple[int, Mac, int]]] = defaultdict(list)
    for index, nic in enumerate(vm.nics):
        network = view.site.networks.get(nic.network or "")
        if network is not None and network.vlan is not None:
            groups[nic.mac[:9] + nic.mac[12:]].append((index, nic.mac, network.vlan))
    for group in groups.values():
        spelt = [entry for entry in group if _spells(entry[1], entry[2])]
        if len(group) < 2 or not spelt:
            continue
        for index, mac, vlan in group:
            if not _spells(mac, vlan):
                yield codes.MAC_SCHEME_BROKEN.at(
                    places.vm_nic(vm, index),
                    f"{mac} of VM {vm.name} should spell VLAN {vlan} in its fourth byte like {spelt[0][1]}",
                    hint=_scheme_hint(vlan, mac),
                )


def _spells(mac: Mac, vlan: int) -> bool:
    byte = mac[9:11]
    return byte == f"{vlan:02d}" or int(byte, 16) == vlan


def _scheme_hint(vlan: int, mac: Mac) -> str:
    if vlan > 255:
        return f"VLAN {vlan} does not fit one byte: leave the MAC out, it is then derived"
    return f"write {mac[:9]}{vlan:02d}{mac[11:]}" if vlan <= 99 else f"write {mac[:9]}{vlan:02x}{mac[11:]}"
