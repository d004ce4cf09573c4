"""The cables of a lab: what `ip` is told to lay them, and the panel they all run through.

Every NIC is one end of a veth pair whose other end is in the lab's own namespace, the patch panel; a cable
is a bridge there that joins two such ends and passes every frame as it is (LACP and spanning tree too). So
both NICs of a pulled cable are up and without carrier, as with copper; a plain veth pair cannot show that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from grappe.twin.blueprint import GENEROUS_MTU, Blueprint, Cable, End, Nic, Node
from grappe.twin.netlink import Link, Links

NETNS = Path("/run/netns")
# All but pause frames; the kernel refuses to pass those on (BR_GROUPFWD_MACPAUSE).
_PASS_LINK_LOCAL = 0xFFFD


def derived_mac(*parts: str) -> str:
    """Return a locally administered MAC that is always the same for the same names."""
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()
    return ":".join(["02", *(digest[at : at + 2] for at in range(0, 10, 2))])


def nic_mac(node: Node, nic: Nic) -> str:
    """The factory MAC of a NIC."""
    return (nic.mac or derived_mac("nic", node.name, nic.name)).lower()


def plug_name(node: Node, nic: Nic) -> str:
    """Name, in the node's namespace, of the veth that is the NIC (or that a machine's tap is bridged to)."""
    return nic.name if node.machine == "namespace" else f"plug{node.nics.index(nic)}"


@dataclass(frozen=True, slots=True)
class Socket:
    """One NIC's end in the panel: its name there, and which cable it belongs to (None = nothing plugged)."""

    name: str
    node: Node
    nic: Nic
    cable: Cable | None

    @property
    def end(self) -> End:
        """The NIC."""
        return End(self.node.name, self.nic.name)


def sockets(blueprint: Blueprint) -> tuple[Socket, ...]:
    """Every NIC's end in the panel, in the blueprint's order."""
    cables = {end: one for one in blueprint.cables for end in (one.a, one.b) if isinstance(end, End)}
    pairs = [(node, nic) for node in blueprint.nodes for nic in node.nics]
    return tuple(
        Socket(f"j{at}", node, nic, cables.get(End(node.name, nic.name)))
        for at, (node, nic) in enumerate(pairs)
    )


def laying(blueprint: Blueprint) -> Iterator[str]:
    """Lines for `ip -batch` in the lab's namespace that lay segments, NICs and cables; the NICs stay down."""
    segments = {one.name: f"s{at}" for at, one in enumerate(blueprint.segments)}
    for segment in blueprint.segments:
        yield from _bridge(segments[segment.name], derived_mac("segment", segment.name))
        # The operator's own NIC; what the segment lets through is up to its ports.
        yield f"link set {segments[segment.name]} mtu {min(1500, segment.mtu)}"
    for foothold in blueprint.operator.footholds:
        yield f"addr add {foothold.address} dev {segments[foothold.segment]}"
    for one in sockets(blueprint):
        yield from _nic(one)
    jacks = {one.end: one.name for one in sockets(blueprint)}
    limits = {one.name: one.mtu for one in blueprint.segments}
    for at, cable in enumerate(blueprint.cables):
        near, far = jacks[cable.a], jacks[cable.b] if isinstance(cable.b, End) else ""
        there = segments[cable.b] if isinstance(cable.b, str) else ""
        mtu = min(cable.mtu, limits.get(str(cable.b), cable.mtu))
        if mtu < GENEROUS_MTU:
            yield from _narrowed(f"c{at}", near, far, there, mtu)
        elif far:
            yield from _hub(f"c{at}", near, far)
        else:
            yield f"link set {near} master {there}"


def _nic(one: Socket) -> Iterator[str]:
    namespaced = one.node.machine == "namespace"
    name, inner = plug_name(one.node, one.nic), one.nic.mtu if namespaced else GENEROUS_MTU
    mac = nic_mac(one.node, one.nic) if namespaced else derived_mac("plug", str(one.end))
    yield (
        f"link add {one.name} mtu {GENEROUS_MTU} type veth"
        f" peer name {name} netns {one.node.name} address {mac} mtu {inner}"
    )


def _narrowed(name: str, near: str, far: str, there: str, mtu: int) -> Iterator[str]:
    """A cable with a limit in its middle, where a frame too large is lost without a word to its sender."""
    yield f"link add {name}x mtu {mtu} type veth peer name {name}y mtu {mtu}"
    yield f"link set {name}x up"
    yield f"link set {name}y up"
    yield from _hub(name, near, f"{name}x")
    if far:
        yield from _hub(f"{name}b", f"{name}y", far)
    else:
        yield f"link set {name}y master {there}"


def _hub(name: str, one: str, other: str) -> Iterator[str]:
    """A bridge that is nothing but a joint of a cable."""
    yield from _bridge(name, derived_mac("cable", name))
    for port in (one, other):
        yield f"link set {port} master {name}"
        yield f"link set {port} type bridge_slave learning off group_fwd_mask {_PASS_LINK_LOCAL}"


def _bridge(name: str, mac: str) -> Iterator[str]:
    yield f"link add {name} address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
    yield f"link set {name} up"


def resetting(node: Node, links: Mapping[int, Link], factory: Mapping[int, Nic]) -> Iterator[str]:
    """Lines for `ip -batch` in a node's namespace without power: NICs as from the factory, the rest gone."""
    yield "link set lo down"
    yield "addr flush dev lo"
    for index, link in links.items():
        nic = factory.get(index)
        if nic is None and link.name != "lo":
            yield f"link del {link.name}"
        elif nic is not None:
            yield from _as_from_factory(node, nic, link.name)


def _as_from_factory(node: Node, nic: Nic, now: str) -> Iterator[str]:
    name = plug_name(node, nic)
    yield f"link set {now} down nomaster"
    yield f"addr flush dev {now}"
    if now != name:
        yield f"link set {now} name {name}"
    if node.machine == "namespace":
        yield f"link set {name} mtu {nic.mtu} address {nic_mac(node, nic)}"


class Panel:
    """The patch panel at work: gives carrier to exactly those NICs whose cable is in and both of its ends up.

    A NIC that is down, or has no power, takes the light from the other end as well.
    """

    def __init__(self, blueprint: Blueprint, register: Callable[[Links, str], None]) -> None:
        """`register` is told every source of changes with its node's name; it calls `heard` later."""
        self._lab = Links()
        self._index = {link.name: link.index for link in self._lab.all()}
        self._by_cable: dict[Cable, list[Socket]] = {}
        self._socket = {one.end: one for one in sockets(blueprint)}
        self._links: dict[str, Links] = {}
        self._nics: dict[str, dict[int, Nic]] = {}
        self._up: dict[End, bool] = {}
        self._lit: dict[End, bool] = {}
        self.pulled: set[Cable] = set()
        for one in self._socket.values():
            if one.cable:
                self._by_cable.setdefault(one.cable, []).append(one)
        for node in blueprint.nodes:
            self._watch(node)
            register(self._links[node.name], node.name)

    def _watch(self, node: Node) -> None:
        links = Links(NETNS / node.name)
        names = {plug_name(node, nic): nic for nic in node.nics}
        self._links[node.name] = links
        self._nics[node.name] = {link.index: names[link.name] for link in links.all() if link.name in names}

    def heard(self, node: str) -> None:
        """Take in what changed in a node and pass the light on."""
        touched: set[Cable] = set()
        for link in self._links[node].changes():
            nic = self._nics[node].get(link.index)
            if nic is None:
                continue
            one = self._socket[End(node, nic.name)]
            self._up[one.end] = link.up and not link.gone
            if one.cable:
                touched.add(one.cable)
        for cable in touched:
            self._light(cable)

    def darken(self, node: str) -> None:
        """Take a node's NICs down, as the loss of power does: the other ends see no carrier."""
        self._switch(node, up=False)

    def raise_plugs(self, node: str) -> None:
        """Bring up what a machine with its own kernel is bridged to."""
        self._switch(node, up=True)

    def _switch(self, node: str, *, up: bool) -> None:
        for index in self._nics[node]:
            self._links[node].switch(index, up)
        self.heard(node)

    def pull(self, end: End) -> None:
        """Pull the cable out. Raises KeyError when there is none."""
        cable = self.cable(end)
        self.pulled.add(cable)
        self._light(cable)

    def plug(self, end: End) -> None:
        """Plug the cable in again. Raises KeyError when there is none."""
        cable = self.cable(end)
        self.pulled.discard(cable)
        self._light(cable)

    def cable(self, end: End) -> Cable:
        """The cable in a NIC. Raises KeyError when there is none."""
        one = self._socket.get(end)
        if one is None or one.cable is None:
            raise KeyError(f"{end}: no cable" if one else f"{end}: no such NIC")
        return one.cable

    def lit(self, end: End) -> bool:
        """Whether the NIC has carrier."""
        return self._lit.get(end, False)

    def links(self, node: str) -> dict[int, Link]:
        """Every link in a node's namespace, by index."""
        return {link.index: link for link in self._links[node].all()}

    def factory(self, node: str) -> dict[int, Nic]:
        """The node's NICs by the index of their link."""
        return self._nics[node]

    def _light(self, cable: Cable) -> None:
        ends = self._by_cable[cable]
        lit = cable not in self.pulled and all(self._up.get(one.end, False) for one in ends)
        for one in ends:
            if self._lit.get(one.end, False) != lit:
                self._lit[one.end] = lit
                self._lab.switch(self._index[one.name], lit)
