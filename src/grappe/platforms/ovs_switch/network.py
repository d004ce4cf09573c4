"""The network of a rack switch: one bridge, a port for every cable end the declaration knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from grappe.graph.resource import Key, Observation, Refusal
from grappe.model.site import Datapath, PortRef, Site, SpanningTree, Switch
from grappe.model.topology import SwitchPortProfile, switch_mtu, switch_ports
from grappe.model.units import Mac, Mtu, derive_host_mac
from grappe.platforms.shared.links import LINK
from grappe.platforms.shared.network_spec import BridgeSpec, LinkSpec, NetworkSpec, PortSpec


def specify(site: Site, scope: str, seen: Observation) -> NetworkSpec:
    """The network that a switch of the site shall have."""
    switch = site.switches[scope]
    profiles = switch_ports(site)
    mine = {ref: p for ref, p in profiles.items() if ref.switch == scope}
    there = {ref: p for ref, p in mine.items() if Key(scope, LINK, ref.port) in seen.resources}
    mtu = switch_mtu(switch, profiles)
    ports = tuple(_ports(switch, there, mtu))
    devices = sorted(ref.port for ref in there)
    bridge = _bridge(site, switch, mtu)
    nics = tuple(LinkSpec(device=d, kind="nic", mtu=_mtu(switch, d, there, mtu)) for d in devices)
    return NetworkSpec(
        bridges=(bridge,),
        ports=ports,
        links=(*nics, LinkSpec(device=bridge.name, kind="bridge", mtu=mtu)),
        refusals=tuple(
            _missing(scope, ref.port, mine[ref], seen) for ref in sorted(mine.keys() - there.keys(), key=str)
        ),
    )


def _bridge(site: Site, switch: Switch, mtu: Mtu) -> BridgeSpec:
    return BridgeSpec(
        name=switch.bridge,
        datapath="netdev" if switch.datapath is Datapath.USERSPACE else "system",
        hwaddr=Mac(derive_host_mac(site.name, switch.name, switch.bridge)),
        mtu=mtu,
        stp=switch.spanning_tree is SpanningTree.STP,
        rstp=switch.spanning_tree is SpanningTree.RSTP,
    )


def _ports(switch: Switch, there: Mapping[PortRef, SwitchPortProfile], mtu: Mtu) -> Iterable[PortSpec]:
    bonded: set[str] = set()
    for ref, profile in there.items():
        bond = profile.bond
        if bond is not None and bond.name in bonded:
            continue
        bonded.update((bond.name,) if bond else ())
        yield PortSpec(
            name=bond.name if bond else ref.port,
            bridge=switch.bridge,
            carriage=profile.carriage,
            mtu=_mtu(switch, ref.port, there, mtu),
            members=bond.members if bond else (),
            bond_mode="balance-tcp" if bond else "",
            lacp="active" if bond else "",
        )


def _mtu(switch: Switch, port: str, there: Mapping[PortRef, SwitchPortProfile], mtu: Mtu) -> Mtu:
    """A port's own MTU if declared, else at least the bridge's: a switch port should never be the limit."""
    own = switch.ports.get(port)
    if own is not None and own.mtu is not None:
        return own.mtu
    return max(mtu, there[PortRef(switch=switch.name, port=port)].mtu)


def _missing(scope: str, port: str, profile: SwitchPortProfile, seen: Observation) -> Refusal:
    have = ", ".join(sorted(f.removeprefix("mac:") for f in seen.facts if f.startswith("mac:"))) or "none"
    return Refusal(
        "port-missing",
        f"{scope}/{LINK}/{port}",
        f"no such port; the declaration cables it to {profile.faces}",
        f"ports there: {have}; correct the cable in the declaration",
    )
