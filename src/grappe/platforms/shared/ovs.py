"""Open vSwitch over `ovs-vsctl`: bridges and ports read from one query, changed in one transaction.

What was seen of version 3.1 and shapes this module: `add-port` of a missing device exits 0 and says so only
in the Interface's `error` column, so that column is an attribute; a bridge without a pinned `hwaddr` takes
the MAC of any port; a bridge follows its ports' MTU downwards only, so every MTU is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from grappe.graph.change import Change
from grappe.graph.resource import Attributes, Key, Refusal, Resource, Role, Value
from grappe.model.script import Answer, Command, command
from grappe.platforms.shared import ovs_values as values
from grappe.platforms.shared.network_spec import BridgeSpec, GuestPortSpec, PortSpec

BRIDGE, PORT, GUEST = "ovs-bridge", "ovs-port", "vm-port"
MARK = "grappe"

QUESTION = command(
    *("ovs-vsctl", "--timeout=5", "--format=json", "--"),
    "--columns=name,ports,datapath_type,other_config,external_ids,rstp_enable,stp_enable",
    *("list", "Bridge", "--"),
    "--columns=_uuid,name,interfaces,tag,trunks,vlan_mode,bond_mode,lacp,external_ids",
    *("list", "Port", "--"),
    "--columns=_uuid,name,type,mtu_request,mac,error,external_ids",
    *("list", "Interface"),
    check=False,
)


def traffic(device: str) -> str:
    """The claim on what a physical device receives: its own addresses or a bridge can have it, not both."""
    return f"traffic:{device}"


# --- reading -----------------------------------------------------------------------------------------------


def understand(scope: str, site: str, answer: Answer, guests: Mapping[str, str]) -> Iterator[Resource]:
    """Resources of the answer to QUESTION. `guests` names the VM of a MAC address.

    What another site's Grappe has made is as foreign as what a person made.
    """
    if not answer.ok:
        return
    bridges, ports, interfaces = values.tables(answer.out)
    port_rows = {row["_uuid"]: row for row in ports}
    interface_rows = {row["_uuid"]: row for row in interfaces}
    for bridge in bridges:
        rows = [port_rows[u] for u in values.several(bridge["ports"]) if u in port_rows]
        for port in rows:
            members = [interface_rows[u] for u in values.several(port["interfaces"]) if u in interface_rows]
            if port["name"] == bridge["name"]:
                yield _bridge(scope, site, bridge, port, members)
            elif "attached-mac" in port["external_ids"] | members[0]["external_ids"]:
                yield _guest_port(scope, bridge["name"], port, members[0], guests)
            else:
                yield _port(scope, site, bridge["name"], port, members)


def _bridge(
    scope: str, site: str, bridge: values.Row, port: values.Row, interfaces: list[values.Row]
) -> Resource:
    native, tagged = values.carried(*_vlan_columns(port))
    return Resource(
        Key(scope, BRIDGE, bridge["name"]),
        running={
            "datapath": bridge["datapath_type"] or "system",
            "hwaddr": bridge["other_config"].get("hwaddr"),
            "stp": bridge["stp_enable"],
            "rstp": bridge["rstp_enable"],
            "native": native,
            "tagged": tagged,
            "mtu_request": values.optional(interfaces[0]["mtu_request"]) if interfaces else None,
            "error": _errors(interfaces),
        },
        marked=bridge["external_ids"].get(MARK) == site,
        facts=_raw(port) | _site(bridge),
    )


def _port(scope: str, site: str, bridge: str, port: values.Row, interfaces: list[values.Row]) -> Resource:
    native, tagged = values.carried(*_vlan_columns(port))
    internal = interfaces[0]["type"] == "internal"
    bonded = len(interfaces) > 1
    devices = () if internal else tuple(i["name"] for i in interfaces)
    return Resource(
        Key(scope, PORT, port["name"]),
        running={
            "bridge": bridge,
            "native": native,
            "tagged": tagged,
            "internal": internal,
            "mtu_request": values.optional(interfaces[0]["mtu_request"]),
            "mac": values.optional(interfaces[0]["mac"]) if internal else None,
            "members": frozenset(devices) if bonded else frozenset(),
            "bond_mode": (values.optional(port["bond_mode"]) or "active-backup") if bonded else "",
            "lacp": (values.optional(port["lacp"]) or "off") if bonded else "",
            "error": _errors(interfaces),
        },
        needs=frozenset({Key(scope, BRIDGE, bridge)}),
        claims=frozenset(traffic(d) for d in devices),
        marked=port["external_ids"].get(MARK) == site,
        facts=_raw(port) | _site(port),
    )


def _guest_port(
    scope: str, bridge: str, port: values.Row, interface: values.Row, guests: Mapping[str, str]
) -> Resource:
    native, tagged = values.carried(*_vlan_columns(port))
    mac = (interface["external_ids"] | port["external_ids"])["attached-mac"]
    return Resource(
        Key(scope, GUEST, guest_name(guests.get(mac, port["name"]), mac)),
        running={"bridge": bridge, "native": native, "tagged": tagged},
        role=Role.DERIVED,
        needs=frozenset({Key(scope, BRIDGE, bridge)}),
        facts={**_raw(port), "device": port["name"], "mac": mac},
    )


def guest_name(vm: str, mac: str) -> str:
    """Name of a guest port's resource: the VM and the NIC's MAC."""
    return f"{vm}/{mac}"


def _vlan_columns(port: values.Row) -> tuple[str | None, int | None, list[int]]:
    return values.optional(port["vlan_mode"]), values.optional(port["tag"]), values.several(port["trunks"])


def _raw(port: values.Row) -> dict[str, Value]:
    """The VLAN columns as they stand, so that undo restores their very spelling."""
    mode, tag, trunks = _vlan_columns(port)
    spelled = ",".join(str(t) for t in trunks)
    return {"vlan_mode": mode or "", "tag": "" if tag is None else str(tag), "trunks": spelled}


def _site(row: values.Row) -> dict[str, Value]:
    return {"site": row["external_ids"][MARK]} if MARK in row["external_ids"] else {}


def _errors(interfaces: Iterable[values.Row]) -> str:
    return "; ".join(e for i in interfaces if (e := values.optional(i["error"])))


# --- wanting -----------------------------------------------------------------------------------------------


def bridge_resource(scope: str, site: str, spec: BridgeSpec) -> Resource:
    """The resource of a bridge."""
    return Resource(
        Key(scope, BRIDGE, spec.name),
        running={
            "datapath": spec.datapath,
            "hwaddr": spec.hwaddr,
            "stp": spec.stp,
            "rstp": spec.rstp,
            "native": spec.local.native,
            "tagged": frozenset(map(int, spec.local.tagged)),
            "mtu_request": spec.mtu,
            "error": "",
        },
        facts={"site": site, **dict(values.columns(spec.local.native, frozenset(spec.local.tagged)))},
    )


def port_resource(scope: str, site: str, spec: PortSpec, *, path: bool) -> Resource:
    """The resource of a port."""
    tagged = frozenset(map(int, spec.carriage.tagged))
    return Resource(
        Key(scope, PORT, spec.name),
        running={
            "bridge": spec.bridge,
            "native": spec.carriage.native,
            "tagged": tagged,
            "internal": spec.internal,
            "mtu_request": spec.mtu,
            "mac": spec.mac,
            "members": frozenset(spec.members),
            "bond_mode": spec.bond_mode,
            "lacp": spec.lacp,
            "error": "",
        },
        needs=frozenset({Key(scope, BRIDGE, spec.bridge)}),
        claims=frozenset(traffic(d) for d in spec.devices),
        path=path,
        facts={"site": site, **dict(values.columns(spec.carriage.native, tagged))},
    )


def guest_resource(scope: str, spec: GuestPortSpec, seen: Mapping[Key, Resource]) -> Resource | None:
    """What a guest's port shall carry, if the guest runs; libvirt makes the port, so it is only managed."""
    key = Key(scope, GUEST, guest_name(spec.vm, spec.mac))
    found = seen.get(key)
    if found is None:
        return None
    tagged = frozenset(map(int, spec.carriage.tagged))
    running: Attributes = {"bridge": spec.bridge, "native": spec.carriage.native, "tagged": tagged}
    columns = dict(values.columns(spec.carriage.native, tagged))
    return replace(found, running=running, role=Role.MANAGED, facts={**found.facts, **columns})


# --- changing ----------------------------------------------------------------------------------------------


def transaction(changes: Iterable[Change]) -> tuple[Command, ...]:
    """One `ovs-vsctl` call for all changes; none when there is nothing to do.

    Ports that go or are made anew are let go of first: a device that moves from one port to another must be
    free when the other port is made. Then bridges, ports, and at last the bridges that go.
    """
    ordered = sorted(changes, key=_bridges_first)
    gone = [c.key.name for c in ordered if c.key.kind == PORT and _let_go(c)]
    verbs: list[tuple[str, ...]] = [("--if-exists", "del-port", name) for name in gone]
    verbs += [verb for change in ordered for verb in _verbs(change)]
    words = [word for verb in verbs for word in ("--", *verb)]
    return (command("ovs-vsctl", "--timeout=20", *words),) if words else ()


def _bridges_first(change: Change) -> tuple[int, Key]:
    """Bridges are made before their ports and removed after them."""
    is_bridge = change.key.kind == BRIDGE
    return ((2 if is_bridge else 1) if change.after is None else (0 if is_bridge else 1), change.key)


def _verbs(change: Change) -> Iterator[tuple[str, ...]]:
    if change.key.kind == BRIDGE:
        return _bridge_verbs(change)
    return _port_verbs(change) if change.key.kind == PORT else _guest_verbs(change)


def _bridge_verbs(change: Change) -> Iterator[tuple[str, ...]]:
    name, after = change.key.name, change.after
    if after is None:
        yield "--if-exists", "del-br", name
        return
    running = after.running
    yield "--may-exist", "add-br", name
    datapath = "" if running["datapath"] == "system" else str(running["datapath"])
    settings = [f'datapath_type="{datapath}"', f"stp_enable={_bool(running['stp'])}"]
    yield "set", "Bridge", name, *settings, f"rstp_enable={_bool(running['rstp'])}"
    yield from _map_entry("Bridge", name, "other_config", "hwaddr", running["hwaddr"])
    yield from _mark("Bridge", name, after)
    yield from _vlan_verbs(name, after)
    yield from _column("Interface", name, "mtu_request", running["mtu_request"])


def _port_verbs(change: Change) -> Iterator[tuple[str, ...]]:
    name, after = change.key.name, change.after
    if after is None:
        return
    running, bridge = after.running, str(after.running["bridge"])
    members = sorted(map(str, _set(running["members"])))
    if members:
        yield "--may-exist", "add-bond", bridge, name, *members
        yield "set", "Port", name, f"bond_mode={running['bond_mode']}", f"lacp={running['lacp']}"
    else:
        yield "--may-exist", "add-port", bridge, name
        yield "set", "Interface", name, f'type="{"internal" if running["internal"] else ""}"'
        yield from _column("Interface", name, "mac", running["mac"])
    yield from _mark("Port", name, after)
    yield from _vlan_verbs(name, after)
    for interface in members or [name]:
        yield from _column("Interface", interface, "mtu_request", running["mtu_request"])


def _guest_verbs(change: Change) -> Iterator[tuple[str, ...]]:
    if change.after is not None:
        yield from _vlan_verbs(str(change.after.facts["device"]), change.after)


def _let_go(change: Change) -> bool:
    """Whether a port goes or must be made anew: another bridge, other members."""
    if change.after is None:
        return True
    if change.before is None:
        return False
    old, new = change.before.running, change.after.running
    return any(old.get(a) != new.get(a) for a in ("bridge", "members", "internal"))


def _vlan_verbs(port: str, resource: Resource) -> Iterator[tuple[str, ...]]:
    for name in ("vlan_mode", "tag", "trunks"):
        yield from _column("Port", port, name, resource.facts[name] or None, quote=False)


def _mark(table: str, name: str, resource: Resource) -> Iterator[tuple[str, ...]]:
    yield from _map_entry(table, name, "external_ids", MARK, resource.facts.get("site"))


def _map_entry(table: str, name: str, column: str, key: str, value: Value) -> Iterator[tuple[str, ...]]:
    if value is None:
        yield "remove", table, name, column, key
    else:
        yield "set", table, name, f'{column}:{key}="{value}"'


def _column(
    table: str, name: str, column: str, value: Value, *, quote: bool = True
) -> Iterator[tuple[str, ...]]:
    if value is None:
        yield "clear", table, name, column
    elif isinstance(value, str) and quote:
        yield "set", table, name, f'{column}="{value}"'
    else:
        yield "set", table, name, f"{column}={value}"


def _bool(value: Value) -> str:
    return "true" if value else "false"


def _set(value: Value) -> frozenset[str]:
    return frozenset(map(str, value)) if isinstance(value, frozenset) else frozenset()


def unavailable(scope: str, answer: Answer) -> Refusal:
    """What to say when Open vSwitch does not answer on a machine that needs it."""
    said = (answer.err or answer.out).strip().splitlines()
    return Refusal(
        "ovs-down",
        scope,
        "Open vSwitch does not answer" + (f": {said[-1]}" if said else ""),
        f"install and start openvswitch-switch there, or run: grappe preflight {scope} --install",
    )
