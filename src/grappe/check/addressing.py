"""Addresses, subnets, gateways: who has which, and whether they fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from grappe.check import places
from grappe.check.codes import addressing as codes
from grappe.check.view import View
from grappe.model.finding import Finding
from grappe.model.site import Host, IPAddress, IPInterface, IPNetwork, Network, Path, Role

NEEDS_ADDRESSES = (Role.MANAGEMENT, Role.STORAGE, Role.MIGRATION)
"""Roles of networks on which every host of a pool has to be reachable."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who holds an address."""

    place: Path
    label: str
    address: IPInterface
    network: Network
    is_vm: bool


def findings(view: View) -> Iterator[Finding]:
    """All findings about addresses."""
    yield from _overlaps(view)
    holders = tuple(_holders(view))
    yield from _duplicates(holders)
    for holder in holders:
        yield from _fit(holder)
    for network in view.site.networks.values():
        yield from _gateways(network)
    for host in view.site.hosts.values():
        yield from _default_gateways(view, host)
        yield from _unattached(host)
    yield from _missing(view)


def _overlaps(view: View) -> Iterator[Finding]:
    """Sweep over the subnets in order: CIDR blocks nest or are apart, so a stack holds what is open."""
    blocks = sorted(
        ((subnet, network) for network in view.site.networks.values() for subnet in network.subnets),
        key=lambda block: (
            block[0].version,
            int(block[0].network_address),
            block[0].prefixlen,
            block[1].name,
        ),
    )
    anywhere: list[tuple[IPNetwork, Network]] = []
    by_fabric: defaultdict[str, list[tuple[IPNetwork, Network]]] = defaultdict(list)
    for subnet, network in blocks:
        here = by_fabric[network.fabric]
        near, far = _enclosing(here, subnet), _enclosing(anywhere, subnet)
        yield from _overlap(near or far, subnet, network)
        here.append((subnet, network))
        anywhere.append((subnet, network))


def _enclosing(stack: list[tuple[IPNetwork, Network]], subnet: IPNetwork) -> tuple[IPNetwork, Network] | None:
    """Drop the blocks that end before a subnet; the last one left contains it."""
    while stack and not _contains(stack[-1][0], subnet):
        stack.pop()
    return stack[-1] if stack else None


def _contains(outer: IPNetwork, inner: IPNetwork) -> bool:
    return (
        outer.version == inner.version
        and int(outer.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(outer.broadcast_address)
    )


def _overlap(
    other: tuple[IPNetwork, Network] | None, subnet: IPNetwork, network: Network
) -> Iterator[Finding]:
    if other is None:
        return
    block, first = other
    if first.fabric == network.fabric:
        if first.name == network.name and block == subnet:
            what = f"subnet {subnet} is declared twice for {network.name}"
        else:
            what = f"subnet {subnet} of {network.name} overlaps {block} of {first.name} on {network.fabric}"
        code, hint = codes.OVERLAPPING_SUBNETS, "give each network of a fabric its own subnet"
    else:
        what = (
            f"subnet {subnet} is on two fabrics: {network.name} on {network.fabric} "
            f"and {first.name} on {first.fabric}" + ("" if block == subnet else f" ({block})")
        )
        code = codes.SAME_SUBNET_TWO_PATHS
        hint = "number one of them anew, or accept it with the reason"
    yield code.at(
        places.network(network.name, "subnet"),
        what,
        hint=hint,
        related=[places.network(first.name, "subnet")],
        data={"subnet": str(subnet), "other": first.name},
    )


def _holders(view: View) -> Iterator[Holder]:
    networks = view.site.networks
    for host in view.site.hosts.values():
        for held in host.addresses:
            if held.network in networks:
                place = places.address(host, held.network)
                yield Holder(place, f"host {host.name}", held.address, networks[held.network], False)
    for vm in view.site.vms.values():
        for index, nic in enumerate(vm.nics):
            network = networks.get(nic.network or "")
            if network is not None:
                for address in nic.addresses:
                    yield Holder(places.vm_nic(vm, index), f"VM {vm.name}", address, network, True)


def _duplicates(holders: tuple[Holder, ...]) -> Iterator[Finding]:
    first: dict[tuple[str, IPAddress], Holder] = {}
    for holder in sorted(holders, key=lambda h: (h.is_vm, places.show(h.place))):
        other = first.setdefault((holder.network.name, holder.address.ip), holder)
        if other is not holder:
            yield codes.DUPLICATE_ADDRESS.at(
                holder.place,
                f"{holder.label} and {other.label} both have {holder.address.ip} on {holder.network.name}",
                hint="give one of them another address",
                related=[other.place],
                data={"address": str(holder.address.ip), "network": holder.network.name},
            )


def _fit(holder: Holder) -> Iterator[Finding]:
    """One address against its network's subnets."""
    address, network = holder.address, holder.network
    subnets = [s for s in network.subnets if s.version == address.version]
    around = next((s for s in subnets if address.ip in s), None)
    alone = address.network.prefixlen == address.max_prefixlen
    if subnets and around is None:
        yield _outside(holder, subnets)
    elif alone and (around is None or around.prefixlen < around.max_prefixlen):
        yield codes.ADDRESS_WITHOUT_PREFIX.at(
            holder.place,
            f"{holder.label} has {address} on {network.name}: alone, without neighbours",
            hint=f"write {address.ip}/{around.prefixlen}" if around else "write the prefix, such as /24",
        )
    elif around is not None and address.network.prefixlen != around.prefixlen:
        yield codes.ADDRESS_PREFIX_DIFFERS.at(
            holder.place,
            f"{holder.label} has {address} on {network.name}, whose subnet is {around}",
            hint=f"write {address.ip}/{around.prefixlen}",
        )
    within = around or address.network
    if (reserved := _reserved(address.ip, within)) is not None:
        yield codes.RESERVED_ADDRESS.at(
            holder.place,
            f"{holder.label} has {address.ip}, the {reserved} address of {within}",
            hint=f"take an address inside {within}",
        )


def _outside(holder: Holder, subnets: list[IPNetwork]) -> Finding:
    code = codes.VM_ADDRESS_OUTSIDE_SUBNET if holder.is_vm else codes.ADDRESS_OUTSIDE_SUBNET
    return code.at(
        holder.place,
        f"{holder.label} has {holder.address.ip} on {holder.network.name}, "
        f"whose subnet is {places.listing(str(s) for s in subnets)}",
        hint="correct the address, or the network it is on",
        related=[places.network(holder.network.name, "subnet")],
    )


def _reserved(address: IPAddress, subnet: IPNetwork) -> str | None:
    """`network` or `broadcast`, when an IPv4 address is one of these in its subnet."""
    if subnet.version != 4 or subnet.prefixlen >= 31:
        return None
    if address == subnet.network_address:
        return "network"
    return "broadcast" if address == subnet.broadcast_address else None


def _gateways(network: Network) -> Iterator[Finding]:
    place = places.network(network.name, "gateway")
    for gateway in network.gateways:
        subnets = [s for s in network.subnets if s.version == gateway.version]
        around = next((s for s in subnets if gateway in s), None)
        if around is None and not gateway.is_link_local:
            where = places.listing(str(s) for s in subnets) or f"no IPv{gateway.version} subnet"
            yield codes.GATEWAY_OUTSIDE_SUBNET.at(
                place,
                f"gateway {gateway} of {network.name} is outside its subnet ({where})",
                hint="a gateway is a neighbour: take an address of the subnet",
            )
        elif around is not None and (reserved := _reserved(gateway, around)) is not None:
            yield codes.RESERVED_ADDRESS.at(place, f"gateway {gateway} is the {reserved} address of {around}")
        if Role.STORAGE in network.roles:
            yield codes.GATEWAY_ON_STORAGE.at(
                place,
                f"storage network {network.name} has the gateway {gateway}",
                hint="remove the gateway",
            )


def _default_gateways(view: View, host: Host) -> Iterator[Finding]:
    networks: Mapping[str, Network] = view.site.networks
    for version in (4, 6):
        routed = [
            held.network
            for held in host.addresses
            if held.address.version == version
            and held.network in networks
            and any(g.version == version for g in networks[held.network].gateways)
        ]
        routed = sorted(set(routed), key=places.natural)
        if len(routed) > 1:
            yield codes.TWO_DEFAULT_GATEWAYS.at(
                places.address(host, routed[1]),
                f"host {host.name} would have {len(routed)} default gateways for IPv{version}: "
                f"on {places.listing(routed)}",
                hint="leave out the address, or the gateway, on all but one",
                related=[places.address(host, routed[0])],
            )


def _unattached(host: Host) -> Iterator[Finding]:
    carried = {name for attachment in host.attachments for name in attachment.networks}
    carried |= {a.native for a in host.attachments if a.native is not None}
    for held in host.addresses:
        if held.network not in carried:
            yield codes.ADDRESS_NOT_ATTACHED.at(
                places.address(host, held.network),
                f"host {host.name} has {held.address} on {held.network}, "
                "which none of its attachments carries",
                hint=f"add {held.network} to an attachment of the host",
            )


def _missing(view: View) -> Iterator[Finding]:
    """Hosts without an address on a network that their pool needs, one finding per pool and network."""
    for pool, hosts in view.pool_hosts.items():
        attached: dict[str, None] = {}
        for host in hosts:
            for attachment in host.attachments:
                attached.update(dict.fromkeys(attachment.networks))
        held = {host.name: {a.network for a in host.addresses} for host in hosts}
        for name in attached:
            yield from _without(view, pool, name, [h for h in hosts if name not in held[h.name]])


def _without(view: View, pool: str, name: str, hosts: list[Host]) -> Iterator[Finding]:
    network = view.site.networks.get(name)
    needed = [r for r in NEEDS_ADDRESSES if network is not None and r in network.roles]
    if pool not in view.multi_host_pools:
        needed = [role for role in needed if role is not Role.MIGRATION]
    if not needed or not hosts:
        return
    yield codes.HOST_WITHOUT_ADDRESS.at(
        places.host(hosts[0]) if len(hosts) == 1 else places.pool(pool),
        f"{places.listing(h.name for h in hosts)} of pool {pool} "
        f"{'has' if len(hosts) == 1 else 'have'} no address on {name}, "
        f"whose roles need one: {places.listing(str(r) for r in needed)}",
        hint=f"write `{name}: ADDRESS` at each of these hosts",
        related=[places.network(name, "roles"), *(places.host(h) for h in hosts)],
        data={"network": name, "hosts": ",".join(h.name for h in hosts)},
    )
