"""What several checks ask about a site, computed once and only when asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from grappe.check.places import natural
from grappe.model.site import Attachment, Bond, Host, Nic, PortGroup, PortRef, Site, Vm, VmNic
from grappe.model.topology import SwitchPortProfile, port_claims


@dataclass(frozen=True, slots=True)
class Uplink:
    """A NIC in use, with the switch port that its cable goes to."""

    host: Host
    attachment: Attachment
    nic: str
    port: PortRef


@dataclass(frozen=True, slots=True)
class Link:
    """A cable between two switches; `a` sorts before `b`."""

    a: PortRef
    b: PortRef

    @property
    def ends(self) -> tuple[PortRef, PortRef]:
        """Both ports."""
        return (self.a, self.b)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where VMs may run: on one host, or on any host of a pool."""

    pool: str
    host: str | None


@dataclass(frozen=True, slots=True)
class Plug:
    """One NIC of one VM."""

    vm: Vm
    index: int
    nic: VmNic


PlugKey = tuple[Scope, str, str]
"""Scope, fabric, port group: plugs with the same key need the same networks on the same hosts."""


class View:
    """A site with its derived facts. Sizes are linear in the site; nothing is computed twice."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @cached_property
    def claims(self) -> Mapping[PortRef, tuple[SwitchPortProfile, ...]]:
        """Everything said about each switch port, what faces hosts first."""
        found: defaultdict[PortRef, list[SwitchPortProfile]] = defaultdict(list)
        for claim in port_claims(self.site):
            found[claim.port].append(claim)
        return {port: tuple(sorted(found[port], key=_rank)) for port in sorted(found, key=str)}

    @cached_property
    def profiles(self) -> Mapping[PortRef, SwitchPortProfile]:
        """The profile that each switch port gets: its first claim."""
        return {port: claims[0] for port, claims in self.claims.items()}

    @cached_property
    def uplinks(self) -> tuple[Uplink, ...]:
        """Every NIC behind an attachment that has a cable."""
        return tuple(self._uplinks())

    def _uplinks(self) -> Iterator[Uplink]:
        for host in self.site.hosts.values():
            for attachment in host.attachments:
                for name in host.uplink_nics(attachment):
                    nic: Nic | None = host.nics.get(name)
                    if nic is not None and nic.cable is not None:
                        yield Uplink(host, attachment, name, nic.cable)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Every cable between switches, once, sorted."""
        pairs = {
            tuple(sorted((PortRef(switch=switch.name, port=port.name), port.to), key=str))
            for switch in self.site.switches.values()
            for port in switch.ports.values()
            if port.to is not None
        }
        return tuple(Link(a, b) for a, b in sorted(pairs, key=lambda pair: (str(pair[0]), str(pair[1]))))

    def profiles_of(self, switch: str) -> tuple[SwitchPortProfile, ...]:
        """Profiles of a switch's ports."""
        return self._by_switch.get(switch, ())

    @cached_property
    def _by_switch(self) -> Mapping[str, tuple[SwitchPortProfile, ...]]:
        found: defaultdict[str, list[SwitchPortProfile]] = defaultdict(list)
        for profile in self.profiles.values():
            found[profile.port.switch].append(profile)
        return {switch: tuple(profiles) for switch, profiles in found.items()}

    @cached_property
    def peers(self) -> Mapping[tuple[str, str], tuple[PortRef, ...]]:
        """Ports at the other ends of a switch port's cables, by switch and port."""
        found: defaultdict[tuple[str, str], list[PortRef]] = defaultdict(list)
        for link in self.links:
            found[link.a.switch, link.a.port].append(link.b)
            found[link.b.switch, link.b.port].append(link.a)
        return {port: tuple(others) for port, others in found.items()}

    def bond_at(self, ref: PortRef) -> Bond | None:
        """The declared bond of a switch that a port is a member of."""
        return self._switch_bonds.get((ref.switch, ref.port))

    @cached_property
    def _switch_bonds(self) -> Mapping[tuple[str, str], Bond]:
        return {
            (switch.name, member): bond
            for switch in self.site.switches.values()
            for bond in sorted(switch.bonds.values(), key=lambda b: b.name, reverse=True)
            for member in bond.members
        }

    @cached_property
    def plugs(self) -> Mapping[PlugKey, tuple[Plug, ...]]:
        """All VM NICs, grouped by what they ask of which hosts."""
        found: defaultdict[PlugKey, list[Plug]] = defaultdict(list)
        for vm in self.site.vms.values():
            scope = Scope(vm.pool, vm.host)
            for index, nic in enumerate(vm.nics):
                found[scope, nic.fabric, nic.port_group].append(Plug(vm, index, nic))
        return {key: tuple(plugs) for key, plugs in found.items()}

    def hosts_of(self, scope: Scope) -> tuple[Host, ...]:
        """Hosts on which VMs of a scope may run."""
        if scope.host is not None:
            host = self.site.hosts.get(scope.host)
            return (host,) if host else ()
        return self.pool_hosts.get(scope.pool, ())

    @cached_property
    def pool_hosts(self) -> Mapping[str, tuple[Host, ...]]:
        """Hosts by pool, sorted by name."""
        found: defaultdict[str, list[Host]] = defaultdict(list)
        for host in sorted(self.site.hosts.values(), key=lambda h: natural(h.name)):
            found[host.pool].append(host)
        return {pool: tuple(hosts) for pool, hosts in found.items()}

    def networks_of(self, plug: Plug) -> tuple[str, ...]:
        """Names of the networks that a VM's NIC is on."""
        group = self.site.port_groups.get((plug.nic.fabric, plug.nic.port_group))
        return group_networks(group) if group else (plug.nic.network,) if plug.nic.network else ()

    def carried(self, host: Host) -> frozenset[str]:
        """Networks that a host is attached to."""
        return self._attached[host.name][0]

    def bridged(self, host: Host) -> frozenset[str]:
        """Networks that a VM on a host can be plugged into."""
        return self._attached[host.name][1]

    def internal(self, host: Host) -> frozenset[str]:
        """Networks that end at a host: attached without an uplink."""
        return self._attached[host.name][2]

    @cached_property
    def _attached(self) -> Mapping[str, tuple[frozenset[str], frozenset[str], frozenset[str]]]:
        return {name: _attached(host) for name, host in self.site.hosts.items()}

    @cached_property
    def multi_host_pools(self) -> frozenset[str]:
        """Pools of two hosts or more."""
        return frozenset(name for name, hosts in self.pool_hosts.items() if len(hosts) > 1)


def _attached(host: Host) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    def names(attachments: Iterable[Attachment]) -> frozenset[str]:
        return frozenset(n for a in attachments for n in (*a.networks, a.native) if n is not None)

    every = host.attachments
    return names(every), names(a for a in every if a.bridge), names(a for a in every if a.uplink is None)


def _rank(claim: SwitchPortProfile) -> tuple[object, ...]:
    """Key that puts what faces hosts first; the rest only makes the order the same every time."""
    native = -1 if claim.carriage.native is None else int(claim.carriage.native)
    tagged = tuple(sorted(claim.carriage.tagged))
    return (not claim.faces.startswith("host "), claim.faces, claim.fabric, claim.mtu, native, tagged)


def group_networks(group: PortGroup) -> tuple[str, ...]:
    """Names of a port group's networks, the native one first."""
    return ((group.native,) if group.native else ()) + group.tagged
