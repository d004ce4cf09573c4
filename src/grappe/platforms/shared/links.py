"""Network interfaces as they run: `ip` and `sysctl`, nothing persistent.

Running state changes by `ip` alone. `ifdown` of an Open vSwitch bridge would delete it with every VM's port.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_interface

from grappe.graph.change import Change
from grappe.graph.resource import Key, Resource, Role, Value
from grappe.model.script import Answer, Command, command
from grappe.model.text import one_line
from grappe.platforms.shared import ovs
from grappe.platforms.shared.network_spec import LinkSpec

LINK = "link"

_SWITCHES = """
for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do
  read -r v < "$f" && d=${f%/*} && printf 'ipv6 %s %s\\n' "${d##*/}" "$v"
done
for d in /sys/class/net/*/device; do
  [ -e "$d" ] && n=${d%/*} && printf 'pci %s %s\\n' "${n##*/}" "$(basename "$(readlink -f "$d")")"
done
printf 'way %s\\n' "$(echo "$SSH_CONNECTION" | cut -d' ' -f3)"
"""

QUESTIONS = (
    command("ip", "-json", "-details", "address", "show", check=False),
    command("ip", "-json", "route", "show", "default", check=False),
    command("ip", "-json", "-6", "route", "show", "default", check=False),
    command("sh", "-c", _SWITCHES, check=False),
)

_VIRTUAL = frozenset({"tun", "openvswitch", "bridge", "bond", "vlan", "dummy"})


# --- reading -----------------------------------------------------------------------------------------------


def understand(scope: str, answers: tuple[Answer, ...]) -> tuple[list[Resource], dict[str, Value]]:
    """Interfaces and facts: `mac:DEVICE`, `pci:DEVICE` of physical ones, `way`: the address we came by."""
    addresses, routes4, routes6, switches = answers
    facts: dict[str, Value] = {}
    speaking: set[str] = set()
    for line in switches.out.splitlines():
        word, *rest = line.split()
        if word == "ipv6" and rest[1] == "0":
            speaking.add(rest[0])
        elif word == "pci":
            facts[f"pci:{rest[0]}"] = rest[1]
        elif word == "way" and rest:
            facts["way"] = rest[0]
    gateways = _gateways(_loaded(routes4) + _loaded(routes6))
    resources = []
    for row in _loaded(addresses):
        device = one_line(str(row["ifname"]))
        if _physical(row):
            facts[f"mac:{device}"] = str(row.get("permaddr") or row.get("address"))
        resources.append(_link(scope, row, gateways.get(device, frozenset()), device in speaking))
    return resources, facts


def _loaded(answer: Answer) -> list[dict[str, object]]:
    # ip(8) prints names as they are: control characters in them are its, not ours, to escape.
    return [row for row in json.loads(answer.out or "[]", strict=False) if row] if answer.ok else []


def _physical(row: Mapping[str, object]) -> bool:
    info = row.get("linkinfo") or {}
    kind = info.get("info_kind", "") if isinstance(info, dict) else ""
    return row.get("link_type") == "ether" and kind not in _VIRTUAL


def _gateways(routes: Iterable[Mapping[str, object]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for route in routes:
        if "gateway" in route:
            found.setdefault(str(route["dev"]), set()).add(str(route["gateway"]))
    return {device: frozenset(gateways) for device, gateways in found.items()}


def _link(scope: str, row: Mapping[str, object], gateways: frozenset[str], ipv6: bool) -> Resource:
    device = one_line(str(row["ifname"]))
    entries = row.get("addr_info")
    addresses = frozenset(
        f"{entry['local']}/{entry['prefixlen']}"
        for entry in (entries if isinstance(entries, list) else [])
        if entry.get("scope") != "link"
    )
    flags = row.get("flags")
    mtu = row["mtu"]
    return Resource(
        Key(scope, LINK, device),
        running={
            "up": isinstance(flags, list) and "UP" in flags,
            "mtu": mtu if isinstance(mtu, int) else None,
            "addresses": addresses,
            "gateways": gateways,
            "ipv6": ipv6,
        },
        role=Role.MANAGED,
        claims=_claims(device, addresses, gateways),
        facts={"mac": str(row.get("address", ""))},
    )


def _claims(device: str, addresses: Iterable[str], gateways: Iterable[str]) -> frozenset[str]:
    held = {f"address:{a}" for a in addresses} | {f"gateway:{g}" for g in gateways}
    return frozenset(held | ({ovs.traffic(device)} if held else set()))


# --- wanting -----------------------------------------------------------------------------------------------


def resource(scope: str, spec: LinkSpec, *, path: bool) -> Resource:
    """The resource of an interface."""
    running: dict[str, Value] = {"up": True, "mtu": int(spec.mtu)}
    addresses = spec.addresses
    if addresses is not None:
        running |= {
            "addresses": frozenset(addresses),
            "gateways": frozenset(spec.gateways),
            "ipv6": spec.ipv6,
        }
    owner = {"bridge": ovs.BRIDGE, "internal": ovs.PORT}.get(spec.kind)
    return Resource(
        Key(scope, LINK, spec.device),
        running=running,
        role=Role.OWNED if owner else Role.MANAGED,
        needs=frozenset({Key(scope, owner, spec.device)} if owner else ()),
        claims=_claims(spec.device, addresses or (), spec.gateways),
        path=path,
    )


# --- changing ----------------------------------------------------------------------------------------------


def releases(changes: Iterable[Change]) -> Iterator[Command]:
    """Take away what moves elsewhere: routes first, then addresses. A thing already gone is no error."""
    for change in changes:
        device = change.key.name
        for gateway in sorted(_values(change.before, "gateways") - _values(change.after, "gateways")):
            yield command(
                "ip", *_family(gateway), "route", "del", "default", "via", gateway, "dev", device, check=False
            )
        for address in sorted(_values(change.before, "addresses") - _values(change.after, "addresses")):
            yield command("ip", "address", "del", address, "dev", device, check=False)
        if change.after is None:
            yield command("ip", "link", "set", "dev", device, "down", check=False)


def takes(changes: Iterable[Change]) -> Iterator[Command]:
    """Give interfaces their MTU, bring them up in silence, then addresses, then routes."""
    kept = [c for c in changes if c.after is not None]
    for change in kept:
        yield from _settings(change)
    for change in kept:
        for address in sorted(_values(change.after, "addresses") - _values(change.before, "addresses")):
            yield command("ip", "address", "replace", address, "dev", change.key.name)
    for change in kept:
        for gateway in sorted(_values(change.after, "gateways") - _values(change.before, "gateways")):
            yield command(
                "ip", *_family(gateway), "route", "replace", "default", "via", gateway, "dev", change.key.name
            )


def _settings(change: Change) -> Iterator[Command]:
    device = change.key.name
    new = {name: after for _, name, before, after in change.attributes() if after is not None}
    if "ipv6" in new:
        switch = f"net/ipv6/conf/{device}/disable_ipv6={0 if new['ipv6'] else 1}"
        yield command("sysctl", "-q", "-w", switch, check=False)
    if "mtu" in new:
        yield command("ip", "link", "set", "dev", device, "mtu", str(new["mtu"]))
    if "up" in new:
        yield command("ip", "link", "set", "dev", device, "up" if new["up"] else "down")


def _values(resource: Resource | None, name: str) -> frozenset[str]:
    value = resource.running.get(name) if resource else None
    return frozenset(map(str, value)) if isinstance(value, frozenset) else frozenset()


def _family(address: str) -> tuple[str, ...]:
    return ("-6",) if ip_interface(address).version == 6 else ()
