"""What the twin wires: nodes, cables, segments and the person's own place. Data only, no I/O.

A blueprint is what an electrician and a rack technician would be told: which machines stand there, which
NIC is cabled to which port, and what the Debian installer was told about addresses. VLANs, bridges and
bonds are not in it: they come later, over SSH, from a plan.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_interface
from typing import Any, Literal

NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?\Z", re.IGNORECASE)
LAB_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}\Z", re.IGNORECASE)
# dev_valid_name() of Linux: at most 15 bytes, no slash, colon or white space.
LINK_NAME = re.compile(r"[^\s/:]{1,15}\Z")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z", re.IGNORECASE)
# Fits 9000 bytes and two VLAN tags with room: on a cable only what is declared limits.
GENEROUS_MTU = 9216


class BlueprintError(ValueError):
    """A blueprint that cannot be wired; `problems` has every reason, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "the blueprint cannot be wired:\n" + "\n".join(f"  - {one}" for one in self.problems)
        )


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card or a switch's port: kernel name, factory MAC ("" = derived), factory MTU in bytes."""

    name: str
    mac: str = ""
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Stanza:
    """What the installer wrote for one NIC: `address` with prefix ("192.0.2.1/24", "" = none) and gateway.

    `start` is the class the stanza is brought up by: "auto" at boot, "hotplug" when the NIC appears.
    """

    nic: str
    address: str = ""
    gateway: str = ""
    start: Literal["auto", "hotplug"] = "hotplug"


@dataclass(frozen=True, slots=True)
class Node:
    """A machine: its NICs, what the installer left, whether libvirt is on it, and how it is made.

    `machine` is "namespace", "qemu", or "module:Class" of a `grappe.twin.machine_api.Machine`.
    `memory_mib` and `cpus` count for a machine with its own kernel only.
    """

    name: str
    kind: Literal["host", "switch"] = "host"
    nics: tuple[Nic, ...] = ()
    installer: tuple[Stanza, ...] = ()
    libvirt: bool = True
    machine: str = "namespace"
    memory_mib: int = 1024
    cpus: int = 1

    @property
    def address(self) -> str:
        """The address SSH goes to: the installer's first, without prefix; "" when there is none."""
        return next((one.address.split("/")[0] for one in self.installer if one.address), "")

    @property
    def management(self) -> str:
        """The NIC that carries `address`; "" when there is none."""
        return next((one.nic for one in self.installer if one.address), "")


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable in a NIC or port."""

    node: str
    nic: str

    def __str__(self) -> str:
        return f"{self.node}/{self.nic}"


@dataclass(frozen=True, slots=True)
class Cable:
    """A cable from a NIC to another NIC, or to a segment by its name; `mtu` is the most it lets through."""

    a: End
    b: End | str
    mtu: int = GENEROUS_MTU


@dataclass(frozen=True, slots=True)
class Segment:
    """An unmanaged switch, or the outside; it carries tagged frames as they come."""

    name: str
    mtu: int = GENEROUS_MTU


@dataclass(frozen=True, slots=True)
class Foothold:
    """An address (with prefix) of the operator on a segment."""

    segment: str
    address: str


@dataclass(frozen=True, slots=True)
class Operator:
    """The person's laptop: where it stands. It may hold a gateway's address as well, without routing."""

    footholds: tuple[Foothold, ...] = ()


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Everything to be wired, under a name (unique per user)."""

    name: str
    nodes: tuple[Node, ...]
    cables: tuple[Cable, ...] = ()
    segments: tuple[Segment, ...] = ()
    operator: Operator = Operator()

    def node(self, name: str) -> Node:
        """The node called `name`. Raises KeyError with the known names."""
        for one in self.nodes:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.nodes)
        raise KeyError(f"no node {name!r} in the twin {self.name!r}; there are: {known}")

    def check(self) -> Blueprint:
        """Return this blueprint, or raise BlueprintError with everything that cannot be wired."""
        problems = list(_problems(self))
        if problems:
            raise BlueprintError(problems)
        return self


def interfaces_file(node: Node) -> str:
    """Return /etc/network/interfaces as a Debian installer leaves it for `node`."""
    parts = [
        "# This file describes the network interfaces available on your system\n"
        "# and how to activate them. For more information, see interfaces(5).\n\n"
        "source /etc/network/interfaces.d/*\n\n"
        "# The loopback network interface\nauto lo\niface lo inet loopback\n"
    ]
    parts.extend(_stanza_text(one) for one in node.installer)
    return "\n".join(parts)


def _stanza_text(stanza: Stanza) -> str:
    start = "auto" if stanza.start == "auto" else "allow-hotplug"
    method = "static" if stanza.address else "manual"
    lines = [f"{start} {stanza.nic}", f"iface {stanza.nic} inet {method}"]
    if stanza.address:
        lines.append(f"\taddress {stanza.address}")
    if stanza.gateway:
        lines.append(f"\tgateway {stanza.gateway}")
    return "\n".join(lines) + "\n"


def to_json(blueprint: Blueprint) -> str:
    """Write a blueprint as JSON; `from_json` reads it back equal."""
    return json.dumps(asdict(blueprint))


def from_json(text: str) -> Blueprint:
    """Read what `to_json` wrote."""
    raw: dict[str, Any] = json.loads(text)
    return Blueprint(
        name=raw["name"],
        nodes=tuple(_node(one) for one in raw["nodes"]),
        cables=tuple(_cable(one) for one in raw["cables"]),
        segments=tuple(Segment(**one) for one in raw["segments"]),
        operator=Operator(tuple(Foothold(**one) for one in raw["operator"]["footholds"])),
    )


def _node(raw: dict[str, Any]) -> Node:
    nics = tuple(Nic(**one) for one in raw["nics"])
    installer = tuple(Stanza(**one) for one in raw["installer"])
    return Node(**{**raw, "nics": nics, "installer": installer})


def _cable(raw: dict[str, Any]) -> Cable:
    b = raw["b"] if isinstance(raw["b"], str) else End(**raw["b"])
    return Cable(a=End(**raw["a"]), b=b, mtu=raw["mtu"])


def _problems(blueprint: Blueprint) -> Iterator[str]:
    if not LAB_NAME.match(blueprint.name):
        yield f"name {blueprint.name!r}: not 1 to 40 letters, digits, '-', '_' and '.'"
    yield from _repeated("node", [one.name for one in blueprint.nodes])
    yield from _repeated("segment", [one.name for one in blueprint.segments])
    for node in blueprint.nodes:
        yield from _node_problems(node)
    yield from _cable_problems(blueprint)
    yield from _operator_problems(blueprint)


def _repeated(what: str, names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{what} {name} is there twice"
        seen.add(name)


def _node_problems(node: Node) -> Iterator[str]:
    if not NODE_NAME.match(node.name):
        yield f"node {node.name!r}: not a host name (letters, digits, '-', '.'; at most 63)"
    yield from _repeated("NIC", [f"{node.name}/{one.name}" for one in node.nics])
    names = {one.name for one in node.nics}
    for nic in node.nics:
        yield from _nic_problems(node, nic)
    for stanza in node.installer:
        yield from _stanza_problems(node, stanza, names)
    if not node.address:
        yield f"node {node.name}: no address from the installer, so SSH could not reach it"


def _nic_problems(node: Node, nic: Nic) -> Iterator[str]:
    if not LINK_NAME.match(nic.name) or nic.name in {"lo", ".", ".."}:
        yield f"NIC {node.name}/{nic.name}: not an interface name (1 to 15 bytes, no space, '/' or ':')"
    if nic.mac and (not MAC.match(nic.mac) or int(nic.mac[:2], 16) & 1):
        yield f"NIC {node.name}/{nic.name}: {nic.mac!r} is not a unicast MAC address"
    if not 68 <= nic.mtu <= 65535:
        yield f"NIC {node.name}/{nic.name}: MTU {nic.mtu} is outside 68..65535"


def _stanza_problems(node: Node, stanza: Stanza, names: set[str]) -> Iterator[str]:
    where = f"installer's stanza {node.name}/{stanza.nic}"
    if stanza.nic not in names:
        yield f"{where}: no such NIC; there are: {', '.join(sorted(names)) or 'none'}"
    if stanza.address:
        yield from _address_problems(where, stanza.address)


def _address_problems(where: str, address: str) -> Iterator[str]:
    try:
        ip_interface(address)
    except ValueError as error:
        yield f"{where}: {error}"
    else:
        if "/" not in address:
            yield f"{where}: {address} lacks its prefix, as in {address}/24"


def _cable_problems(blueprint: Blueprint) -> Iterator[str]:
    nics = {End(node.name, nic.name) for node in blueprint.nodes for nic in node.nics}
    segments = {one.name for one in blueprint.segments}
    ends = [end for cable in blueprint.cables for end in (cable.a, cable.b) if isinstance(end, End)]
    yield from (f"a cable ends in {end}, which does not exist" for end in ends if end not in nics)
    yield from _repeated("a cable in", [str(end) for end in ends])
    for cable in blueprint.cables:
        if isinstance(cable.b, str) and cable.b not in segments:
            yield f"the cable of {cable.a} ends in segment {cable.b!r}, which does not exist"


def _operator_problems(blueprint: Blueprint) -> Iterator[str]:
    segments = {one.name for one in blueprint.segments}
    for foothold in blueprint.operator.footholds:
        if foothold.segment not in segments:
            yield f"the operator stands on segment {foothold.segment!r}, which does not exist"
        yield from _address_problems(f"the operator on {foothold.segment}", foothold.address)
