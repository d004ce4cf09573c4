"""Random Open vSwitch configurations, and plans between them, rendered by the platform itself."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping

from grappe.graph.change import diff
from grappe.graph.plan import Plan, Step, build
from grappe.graph.resource import Desired, Key, Resource, by_key
from grappe.model.script import Answer
from grappe.model.topology import Carriage
from grappe.model.units import Mac, Mtu, VlanId
from grappe.platforms.base import Platform
from grappe.platforms.shared import ovs
from grappe.platforms.shared.network import NetworkPart
from grappe.platforms.shared.network_spec import BridgeSpec, NetworkSpec, PortSpec

SITE = "random"
DEVICES = ("eth0", "eth1", "eth2", "eth3")
PLATFORM = Platform(NetworkPart(lambda _site, _scope, _seen: NetworkSpec()))


def wanted(dice: random.Random) -> Desired:
    """Bridges with single, bonded and internal ports; each device is behind one port at most."""
    bridges = dice.sample(["b0", "b1"], dice.randint(1, 2))
    specs = [ovs.bridge_resource("h", SITE, _bridge(dice, b)) for b in bridges]
    devices = dice.sample(DEVICES, len(DEVICES))
    ports: list[PortSpec] = []
    for name in dice.sample(["bond0", "zbond"], dice.randint(0, 2)):
        members, devices = devices[:2], devices[2:]
        ports.append(_port(dice, name, bridges, members=tuple(sorted(members))))
    ports += [_port(dice, d, bridges) for d in devices if dice.random() < 0.6]
    ports += [_port(dice, n, bridges, internal=True) for n in ("v1", "v2") if dice.random() < 0.5]
    return Desired((*specs, *(ovs.port_resource("h", SITE, p, path=False) for p in ports)))


def _bridge(dice: random.Random, name: str) -> BridgeSpec:
    tree = dice.choice(["none", "stp", "rstp"])
    return BridgeSpec(
        name=name,
        datapath="netdev",
        hwaddr=Mac(f"02:00:00:00:00:0{dice.randint(1, 3)}"),
        mtu=Mtu(dice.choice([1500, 9000])),
        local=Carriage(native=VlanId(dice.choice([0, 99])), tagged=frozenset()),
        stp=tree == "stp",
        rstp=tree == "rstp",
    )


def _port(
    dice: random.Random,
    name: str,
    bridges: Iterable[str],
    *,
    members: tuple[str, ...] = (),
    internal: bool = False,
) -> PortSpec:
    tagged = frozenset(VlanId(v) for v in dice.sample([10, 20, 30], dice.randint(0, 3)))
    native = dice.choice([None, VlanId(0), VlanId(40)])
    return PortSpec(
        name=name,
        bridge=dice.choice(list(bridges)),
        carriage=Carriage(native=native, tagged=tagged),
        mtu=Mtu(dice.choice([1500, 9000])),
        internal=internal,
        mac=Mac(f"02:00:00:00:01:0{dice.randint(1, 2)}") if internal else None,
        members=members,
        bond_mode=dice.choice(["balance-slb", "active-backup"]) if members else "",
        lacp=dice.choice(["active", "off"]) if members else "",
    )


def seen(answer: Answer) -> dict[Key, Resource]:
    """What the platform reads out of the answer to its question."""
    return by_key(ovs.understand("h", SITE, answer, {}))


def plan(desired: Desired, found: Mapping[Key, Resource]) -> Plan:
    """The plan from what was found to what is desired."""
    difference = diff([desired], found, PLATFORM.kinds)
    return build(difference, found, PLATFORM.kinds, lambda _scope: PLATFORM, site=SITE, digest="0")


def steps(made: Plan) -> Iterator[Step]:
    """Every step, in order."""
    return (step for stage in made.stages for step in stage.steps)
