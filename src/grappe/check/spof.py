"""Single points of failure: one cable, one switch, one disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from grappe.check import places
from grappe.check.code import Code
from grappe.check.codes import spof as codes
from grappe.check.view import View
from grappe.model.finding import Finding
from grappe.model.site import Host, Network, Path, Role, Vm

_VITAL = frozenset({Role.MANAGEMENT, Role.STORAGE, Role.MIGRATION})
_LOCAL_KINDS = frozenset({"dir"})
"""Kinds of storage that exist on one host only."""


def findings(view: View) -> Iterator[Finding]:
    """All findings about single points of failure, grouped by pool so that a reason is given once."""
    yield from _single_links(view, Role.MANAGEMENT, codes.SINGLE_MANAGEMENT_LINK)
    yield from _single_links(view, Role.STORAGE, codes.SINGLE_STORAGE_LINK)
    yield from _single_switches(view)
    yield from _local_disks(view)


def _single_links(view: View, role: Role, code: Code) -> Iterator[Finding]:
    for pool, hosts in view.pool_hosts.items():
        single: dict[str, str] = {}
        networks: set[str] = set()
        for host in hosts:
            names = [n.name for n in _networks(view, host, role)]
            nics = {nic for name in names for nic in _nics(host, name)}
            if len(nics) == 1:
                single[host.name] = nics.pop()
                networks.update(names)
        if single:
            yield code.at(
                places.pool(pool),
                f"{places.listing(networks)} crosses a single NIC of "
                f"{places.listing(f'host {host} ({nic})' for host, nic in single.items())}",
                hint="use a bond of two NICs, or accept it with the reason",
                related=[places.host(h) for h in hosts if h.name in single],
                data={"pool": pool, "hosts": ",".join(single)},
            )


def _networks(view: View, host: Host, role: Role) -> list[Network]:
    """Networks of a role that a host uses itself."""
    held = dict.fromkeys(address.network for address in host.addresses)
    networks = view.site.networks
    return [networks[name] for name in held if name in networks and role in networks[name].roles]


def _nics(host: Host, network: str) -> Iterator[str]:
    for attachment in host.attachments:
        if network in attachment.networks or network == attachment.native:
            yield from host.uplink_nics(attachment)


def _single_switches(view: View) -> Iterator[Finding]:
    switches: defaultdict[str, set[str]] = defaultdict(set)
    hosts: defaultdict[str, set[str]] = defaultdict(set)
    networks: defaultdict[str, set[str]] = defaultdict(set)
    for uplink in view.uplinks:
        fabric = uplink.attachment.fabric
        switches[fabric].add(uplink.port.switch)
        hosts[fabric].add(uplink.host.name)
        networks[fabric].update(uplink.attachment.networks)
    alone: defaultdict[str, set[str]] = defaultdict(set)
    for fabric, some in switches.items():
        vital = {n for n in networks[fabric] if _VITAL & view.site.networks[n].roles}
        if len(some) == 1 and len(hosts[fabric]) > 1 and vital:
            alone[next(iter(some))] |= vital
    for switch, names in alone.items():
        yield codes.SINGLE_SWITCH.at(
            places.switch(switch),
            f"{places.listing(names)} of all hosts depends on switch {switch} alone",
            hint="use a second switch and active-backup bonds, or accept it with the reason",
            related=[places.network(name) for name in sorted(names)],
        )


def _local_disks(view: View) -> Iterator[Finding]:
    on: defaultdict[tuple[str, str], list[Vm]] = defaultdict(list)
    for vm in view.site.vms.values():
        if vm.pool in view.multi_host_pools:
            for name in sorted({disk.storage for disk in vm.disks}):
                storage = view.site.storage.get((vm.pool, name))
                if storage is not None and storage.kind in _LOCAL_KINDS:
                    on[vm.pool, name].append(vm)
    managing = _management_vms(view)
    for (pool, name), vms in on.items():
        place = places.storage(pool, name)
        yield codes.VM_ON_LOCAL_DISK.at(
            place,
            f"{len(vms)} VM{'s' if len(vms) > 1 else ''} of pool {pool} live on {name}, "
            "which every host has for itself",
            related=[places.vm(vm) for vm in vms],
            data={"storage": name, "vms": len(vms)},
        )
        for vm in vms:
            if vm.name in managing:
                yield _management_vm(vm, name, place)


def _management_vms(view: View) -> set[str]:
    networks = view.site.networks
    return {
        plug.vm.name
        for plugs in view.plugs.values()
        for plug in plugs
        if any(n in networks and Role.MANAGEMENT in networks[n].roles for n in view.networks_of(plug))
    }


def _management_vm(vm: Vm, storage: str, place: Path) -> Finding:
    where = f"of host {vm.host}" if vm.host else "of whichever host it is on"
    return codes.MANAGEMENT_VM_ON_LOCAL_DISK.at(
        places.vm(vm),
        f"VM {vm.name} is on the management network and lives on {storage} {where}",
        hint="keep it on shared storage, or accept it with the reason",
        related=[place],
    )
