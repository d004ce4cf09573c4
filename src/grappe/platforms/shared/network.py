"""The network part of a Debian machine: Open vSwitch, interfaces and ifupdown files in one script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from grappe.graph.change import Change
from grappe.graph.plan import Disruption, Level
from grappe.graph.resource import (
    Attributes,
    Desired,
    Key,
    KindRules,
    Observation,
    Refusal,
    Resource,
    Role,
    Value,
)
from grappe.model.script import Answer, Script, script
from grappe.model.site import Site
from grappe.model.units import format_vlans
from grappe.platforms.shared import links, ovs, stanzas
from grappe.platforms.shared.network_spec import NetworkSpec

Specify = Callable[[Site, str, Observation], NetworkSpec]
"""What a platform contributes: the network that a machine of the site shall have."""


class NetworkPart:
    """Kinds `ovs-bridge`, `ovs-port`, `vm-port`, `link` (running) and `stanza` (persistent)."""

    kinds: Mapping[str, KindRules] = {
        ovs.BRIDGE: KindRules(rank=0, batch="network"),
        ovs.PORT: KindRules(rank=10, batch="network"),
        links.LINK: KindRules(rank=20, batch="network"),
        stanzas.STANZA: KindRules(rank=30, batch="network"),
        ovs.GUEST: KindRules(rank=90, batch="guest-ports"),
    }

    def __init__(self, specify: Specify) -> None:
        self._specify = specify

    def questions(self) -> Script:
        """Open vSwitch's tables, interfaces, routes, IPv6 switches, interfaces files."""
        return (ovs.QUESTION, *links.QUESTIONS, stanzas.QUESTION)

    def understand(
        self, site: Site, scope: str, answers: Sequence[Answer]
    ) -> tuple[Iterable[Resource], Mapping[str, Value]]:
        """Read all answers; what the way to the device leads over is marked as path."""
        switch, *interfaces, files = answers
        guests = {str(nic.mac): vm.name for vm in site.vms_on(scope) for nic in vm.nics}
        found, facts = links.understand(scope, tuple(interfaces))
        switched = list(ovs.understand(scope, site.name, switch, guests))
        persisted, told = stanzas.understand(scope, site.name, files)
        ports = {r.key.name: r for r in switched if r.key.kind in (ovs.BRIDGE, ovs.PORT)}
        owned = [link for each in found if (link := _of_port(each, ports)) is not None]
        resources = [*switched, *owned, *persisted]
        way = _way_devices(resources, facts.get("way"))
        facts |= told | {"ovs": "up" if switch.ok else "down", "ovs-error": switch.err.strip()}
        return [replace(r, path=r.key.name in way) for r in resources], facts

    def lower(self, site: Site, scope: str, seen: Observation) -> Desired:
        """Resources of the machine's network."""
        spec = self._specify(site, scope, seen)
        if spec.bridges and seen.facts.get("ovs") == "down":
            error = Answer(1, "", str(seen.facts.get("ovs-error", "")))
            return Desired(
                resources=self._as_it_is(seen), refusals=(*spec.refusals, ovs.unavailable(scope, error))
            )
        wanted = tuple(_resources(site, scope, spec, seen))
        refusals = (*spec.refusals, *_unplugged(scope, spec, seen))
        if not seen.facts.get("interfaces.d", True) and any(r.key.kind == stanzas.STANZA for r in wanted):
            refusals += (_no_source(scope),)
        return Desired(resources=wanted, refusals=refusals)

    def _as_it_is(self, seen: Observation) -> tuple[Resource, ...]:
        """What is ours and can still be seen: silence of Open vSwitch is no reason to clear up around it."""
        return tuple(r for r in seen.resources.values() if r.key.kind in self.kinds and r.marked)

    def realise(self, changes: Sequence[Change]) -> Script:
        """Release, one OVSDB transaction, take, then the files of the next boot."""
        kind = {k: [c for c in changes if c.key.kind == k] for k in self.kinds}
        switched = kind[ovs.BRIDGE] + kind[ovs.PORT] + kind[ovs.GUEST]
        return script(
            links.releases(kind[links.LINK]),
            ovs.transaction(switched),
            links.takes(kind[links.LINK]),
            stanzas.commands(kind[stanzas.STANZA]),
        )

    def disruption(self, change: Change) -> Disruption:
        """Files disturb nothing; what moves, loses VLANs or changes MTU under traffic does."""
        before, after = change.before, change.after
        if change.key.kind == stanzas.STANZA or before is None:
            return Disruption()
        if after is None:
            used = bool(before.running.get("addresses")) or change.key.kind != links.LINK
            return Disruption(Level.BLIP, (str(change.key),)) if used else Disruption()
        if change.key.kind in (ovs.PORT, ovs.BRIDGE, ovs.GUEST):
            return _port_disruption(change, before.running, after.running)
        lost = sorted(_texts(before.running, "addresses") - _texts(after.running, "addresses"))
        mtu = before.running.get("up") and before.running.get("mtu") != after.running.get("mtu")
        return Disruption(Level.BLIP, tuple(lost)) if lost or mtu else Disruption()

    def irreversible(self, change: Change) -> str:
        """Everything here can be undone."""
        del change
        return ""


# --- what was seen -----------------------------------------------------------------------------------------


def _of_port(link: Resource, ports: Mapping[str, Resource]) -> Resource | None:
    """A bridge's or internal port's interface is ours as the port is; unconfigured it counts as not there."""
    port = ports.get(link.key.name)
    internal = port is not None and (port.key.kind == ovs.BRIDGE or bool(port.running["internal"]))
    if port is None or not internal:
        return link
    if not link.running["up"] and not link.running["addresses"]:
        return None
    role = Role.OWNED if port.marked else Role.MANAGED
    return replace(link, role=role, needs=frozenset({port.key}))


def _way_devices(resources: Iterable[Resource], way: Value) -> frozenset[str]:
    """Devices the way to the machine leads over: the address's holder, its bridge, the bridge's uplinks."""
    everything = list(resources)
    holder = next(
        (
            r.key.name
            for r in everything
            if r.key.kind == links.LINK
            and any(a.split("/")[0] == way for a in _texts(r.running, "addresses"))
        ),
        None,
    )
    if holder is None:
        return frozenset()
    ports = {r.key.name: r for r in everything if r.key.kind == ovs.PORT}
    bridge = str(ports[holder].running["bridge"]) if holder in ports else holder
    devices = {holder, bridge}
    for port in ports.values():
        if port.running["bridge"] == bridge and not port.running["internal"]:
            devices |= {port.key.name, *_texts(port.running, "members")}
    return frozenset(devices)


# --- what is wanted ----------------------------------------------------------------------------------------


def _resources(site: Site, scope: str, spec: NetworkSpec, seen: Observation) -> Iterator[Resource]:
    bridges = {b.name: b for b in spec.bridges}
    ports = {p.name: p for p in spec.ports}
    members = {m: p for p in spec.ports for m in p.members}
    path = _path(spec, seen)
    for bridge in spec.bridges:
        yield ovs.bridge_resource(scope, site.name, bridge)
    for port in spec.ports:
        yield ovs.port_resource(scope, site.name, port, path=port.name in path)
    for link in spec.links:
        yield links.resource(scope, link, path=link.device in path)
        foreign = seen.resources.get(Key(scope, stanzas.STANZA, link.device))
        if link.device in bridges:
            lines = stanzas.bridge_lines(bridges[link.device], link, spec.ports)
        elif link.device in ports:
            lines = stanzas.port_lines(ports[link.device], link)
        elif link.device not in members and stanzas.adequate(foreign, link):
            if foreign is not None:
                yield replace(foreign, role=Role.MANAGED)
            continue
        else:
            lines = stanzas.plain_lines(link)
        yield stanzas.resource(scope, site.name, link.device, lines, path=link.device in path)
    for guest in spec.guests:
        if (found := ovs.guest_resource(scope, guest, seen.resources)) is not None:
            yield found


def _path(spec: NetworkSpec, seen: Observation) -> frozenset[str]:
    """Devices whose change may cut the way: those it leads over now, and those it shall lead over."""
    now = {k.name for k, r in seen.resources.items() if r.path}
    way = seen.facts.get("way")
    then = {x.device for x in spec.links if any(a.split("/")[0] == way for a in x.addresses or ())}
    return frozenset(now | then)


def _unplugged(scope: str, spec: NetworkSpec, seen: Observation) -> Iterator[Refusal]:
    """Guests' ports lost from a bridge that is there: libvirt plugs a NIC in once and never looks again.

    A NIC that a running guest gets at its next start only has no port yet.
    """
    for guest in spec.guests:
        port = Key(scope, ovs.GUEST, ovs.guest_name(guest.vm, guest.mac))
        vm = seen.resources.get(Key(scope, "vm", guest.vm))
        bridge = Key(scope, ovs.BRIDGE, guest.bridge)
        if vm is None or vm.running.get("state") != "running" or port in seen.resources:
            continue
        pending = vm.facts.get("pending")
        if bridge in seen.resources and not (isinstance(pending, tuple) and "nics" in pending):
            yield Refusal(
                "guest-unplugged",
                str(port),
                f"{guest.vm} runs, but its NIC is in no bridge: the guest is cut off",
                f"stop and start the VM: grappe vm stop {guest.vm}, then grappe vm start {guest.vm}",
            )


def _no_source(scope: str) -> Refusal:
    return Refusal(
        "no-interfaces.d",
        f"{scope}:/etc/network/interfaces",
        "does not source /etc/network/interfaces.d, so nothing written there would be there after a boot",
        "add the line: source /etc/network/interfaces.d/*",
    )


# --- what is disturbed -------------------------------------------------------------------------------------


def _port_disruption(change: Change, old: Attributes, new: Attributes) -> Disruption:
    moved = any(old.get(a) != new.get(a) for a in ("bridge", "internal", "members", "datapath", "lacp"))
    lost = _vlans(old) - _vlans(new)
    trees = any(old.get(a) != new.get(a) for a in ("stp", "rstp", "hwaddr", "native"))
    if not (moved or lost or trees or old.get("mtu_request") != new.get("mtu_request")):
        return Disruption()
    what = f"{change.key} VLAN {format_vlans(lost)}" if lost and not moved else str(change.key)
    return Disruption(Level.BLIP, (what,))


def _vlans(attributes: Attributes) -> frozenset[int]:
    tagged = attributes.get("tagged")
    return (
        frozenset(v for v in tagged if isinstance(v, int)) if isinstance(tagged, frozenset) else frozenset()
    )


def _texts(attributes: Attributes, name: str) -> frozenset[str]:
    value = attributes.get(name)
    return frozenset(map(str, value)) if isinstance(value, frozenset) else frozenset()
