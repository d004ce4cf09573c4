"""Fabrics, networks and port groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from grappe.document.problem import show
from grappe.document.resolve.addresses import parse_address, parse_subnet
from grappe.document.resolve.context import Context
from grappe.document.shape import FabricShape, NetworkShape, PortGroupShape
from grappe.model.site import Fabric, Network, Path, PortGroup
from grappe.model.units import DEFAULT_MTU, VlanId

DEFAULT_FABRIC = "main"
MAX_INTERFACE_NAME = 15
_SLOT = "{vlan}"

T = TypeVar("T")


def resolve_fabrics(context: Context) -> None:
    """Fabrics that are declared, then those that networks name; one without a name when there is none."""
    shape = context.shape
    named = dict.fromkeys(n.fabric for n in shape.networks.values() if n.fabric is not None)
    names = list(dict.fromkeys([*shape.fabrics, *named])) or [DEFAULT_FABRIC]
    for name in names:
        context.fabrics[name] = _fabric(name, shape.fabrics.get(name, FabricShape()))
        context.by_fabric[name] = []
    _complain_shared_names(context)


def _fabric(name: str, shape: FabricShape) -> Fabric:
    return Fabric(
        name=name,
        bridge=shape.bridge or f"br-{name}"[:MAX_INTERFACE_NAME],
        libvirt_network=shape.libvirt_network or name,
    )


def _complain_shared_names(context: Context) -> None:
    for kind in ("bridge", "libvirt_network"):
        owner: dict[str, str] = {}
        for fabric in context.fabrics.values():
            name = getattr(fabric, kind)
            if name in owner:
                context.complain(
                    ("fabrics", fabric.name, kind),
                    f"fabric {owner[name]} has the same {kind.replace('_', ' ')} {show(name)}",
                    hint=f"give one of them another, fabrics: {{{fabric.name}: {{{kind}: NAME}}}}",
                )
            owner.setdefault(name, fabric.name)


def resolve_networks(context: Context) -> None:
    """Every network, ranges expanded."""
    taken: dict[tuple[str, VlanId | None], str] = {}
    for name, shape in context.shape.networks.items():
        fabric = _fabric_of(context, name, shape)
        for vlan in _vlans(context, name, shape):
            network = _network(context, name, shape, fabric, vlan)
            if _is_new(context, name, network, taken):
                taken[fabric, network.vlan] = network.name
                context.networks[network.name] = network
                context.by_fabric[fabric].append(network)
                context.templates[network.name] = name


def _fabric_of(context: Context, name: str, shape: NetworkShape) -> str:
    if shape.fabric is not None:
        return shape.fabric
    fabrics = list(context.fabrics)
    if len(fabrics) > 1:
        context.fabric_in_doubt = True
        context.complain(
            ("networks", name),
            "fabric is missing",
            hint=f"the site has several: {', '.join(map(show, fabrics))}",
        )
    return fabrics[0]


def _vlans(context: Context, name: str, shape: NetworkShape) -> Sequence[VlanId | None]:
    if shape.vlan is None:
        if _SLOT in name:
            context.complain(
                ("networks", name), "{vlan} in the name, and no vlan", "a range such as vlan: 100-109"
            )
            return ()
        return (None,)
    if len(shape.vlan) > 1 and _SLOT not in name:
        context.complain(
            ("networks", name, "vlan"),
            "several VLANs under one name",
            f"{{vlan}} in the name, such as {show(name + '{vlan}')}",
        )
        return shape.vlan[:1]
    return shape.vlan


def _is_new(
    context: Context, name: str, network: Network, taken: dict[tuple[str, VlanId | None], str]
) -> bool:
    if network.name in context.networks:
        context.complain(("networks", name), f"the range makes a second network called {show(network.name)}")
        return False
    other = taken.get((network.fabric, network.vlan))
    if other is not None:
        what = "a second network without VLAN" if network.vlan is None else f"VLAN {network.vlan} is taken"
        key = "vlan" if network.vlan is not None else "fabric"
        context.complain(
            ("networks", name, key),
            what,
            hint=f"{show(other)} has it already on fabric {show(network.fabric)}",
        )
    return True


def _fill(text: str, vlan: VlanId | None) -> str:
    return text if vlan is None else text.replace(_SLOT, str(vlan))


def _network(context: Context, name: str, shape: NetworkShape, fabric: str, vlan: VlanId | None) -> Network:
    path = ("networks", name)

    def parsed(key: str, texts: Iterable[str], parse: Callable[[str], T]) -> tuple[T, ...]:
        return tuple(_parsed(context, (*path, key), [_fill(t, vlan) for t in texts], parse))

    subnets = parsed("subnet", shape.subnet, parse_subnet)
    return Network(
        name=_fill(name, vlan),
        fabric=fabric,
        vlan=vlan,
        mtu=shape.mtu or DEFAULT_MTU,
        subnets=subnets,
        gateways=parsed("gateway", shape.gateway, lambda text: parse_address(text, subnets)),
        dns=parsed("dns", shape.dns, lambda text: parse_address(text, subnets)),
        roles=frozenset(shape.roles),
    )


def _parsed(context: Context, path: Path, texts: Sequence[str], parse: Callable[[str], T]) -> Iterator[T]:
    for index, text in enumerate(texts):
        try:
            yield parse(text)
        except ValueError as error:
            context.complain((*path, index), "", str(error), text)


def resolve_port_groups(context: Context) -> None:
    """Port groups that are declared, and one for each network that can be told from its fabric's others."""
    for name, shape in context.shape.port_groups.items():
        group = _declared_group(context, name, shape)
        if group is not None:
            _add_group(context, group)
    for network in context.networks.values():
        _derive_group(context, network)


def _declared_group(context: Context, name: str, shape: PortGroupShape) -> PortGroup | None:
    path = ("port_groups", name)
    tagged = context.select((*path, "tagged"), shape.tagged)
    native = shape.native
    if native is not None and context.network((*path, "native"), native) is None:
        native = None
    names = [*tagged, *([native] if native else [])]
    fabric = context.common_fabric(path, names)
    if fabric is not None:
        _complain_untaggable(context, path, tagged, native)
    if not shape.tagged and not shape.native:
        context.complain(
            path, "without networks", "a list of networks or {native: NETWORK, tagged: [NETWORK, …]}"
        )
    if fabric is None:
        return None
    tagged = tuple(n for n in tagged if n != native)
    return PortGroup(name=name, fabric=fabric, native=native, tagged=tagged)


def _complain_untaggable(context: Context, path: Path, tagged: Iterable[str], native: str | None) -> None:
    for name in tagged:
        if context.networks[name].vlan is None and name != native:
            context.complain(
                path,
                f"network {show(name)} has no VLAN, so it has no tag",
                hint=f"write {{native: {name}, tagged: [...]}}",
            )


def _add_group(context: Context, group: PortGroup) -> None:
    context.port_groups[group.fabric, group.name] = group
    context.groups_named.setdefault(group.name, []).append(group)


def _derive_group(context: Context, network: Network) -> None:
    shape = context.shape.networks[context.templates[network.name]]
    if network.vlan is None and all(n.vlan is None for n in context.by_fabric[network.fabric]):
        context.group_of[network.name] = ""
        return
    if shape.port_group == "":
        return
    name = _fill(shape.port_group or network.name, network.vlan)
    context.group_of[network.name] = name
    if (network.fabric, name) in context.port_groups:
        _complain_same_group(context, network, name)
        return
    _add_group(context, PortGroup(name=name, fabric=network.fabric, native=network.name, explicit=False))


def _complain_same_group(context: Context, network: Network, name: str) -> None:
    key = "port_group" if context.shape.networks[context.templates[network.name]].port_group else ""
    path: Path = ("networks", context.templates[network.name])
    context.complain(
        (*path, key) if key else path,
        f"its port group {show(name)} is already another one of fabric {show(network.fabric)}",
        hint="give one of them another name; a network's is set by port_group:",
    )
