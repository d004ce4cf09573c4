"""Switches and cables."""

from __future__ import annotations

from grappe.document.problem import show
from grappe.document.resolve.context import Context, make_bonds
from grappe.document.resolve.hosts import make_access
from grappe.document.shape import SwitchPortShape, SwitchShape
from grappe.model.site import (
    Bond,
    Datapath,
    Path,
    Platform,
    PortRef,
    SpanningTree,
    Switch,
    SwitchPort,
)


def resolve_switches(context: Context) -> None:
    """Every switch, with the ports that are declared."""
    for name, shape in context.shape.switches.items():
        if name in context.hosts:
            context.complain(("switches", name), "a host has this name already", "a name of its own")
        context.switches[name] = _switch(context, name, shape)
    _complain_unknown_switches(context)


def _switch(context: Context, name: str, shape: SwitchShape) -> Switch:
    path = ("switches", name)
    managed = shape.platform is not Platform.UNMANAGED
    bonds = [
        (key, Bond(name=key, mode=b.mode, members=tuple(b.members)), (*path, "bonds", key))
        for key, b in shape.bonds.items()
    ]
    return Switch(
        name=name,
        platform=shape.platform,
        access=make_access(shape.access, name) if managed or shape.access else None,
        bridge=shape.bridge,
        ports={key: _port(context, (*path, "ports", key), key, port) for key, port in shape.ports.items()},
        bonds=make_bonds(context, bonds),
        spanning_tree=shape.spanning_tree or SpanningTree.NONE,
        mtu=shape.mtu,
        datapath=shape.datapath or Datapath.KERNEL,
    )


def _port(context: Context, path: Path, name: str, shape: SwitchPortShape) -> SwitchPort:
    names = dict.fromkeys(context.select((*path, "networks"), shape.networks))
    if shape.fabric is not None and shape.fabric not in context.fabrics:
        context.complain_unknown((*path, "fabric"), "fabric", shape.fabric, context.fabrics)
    elif shape.fabric is not None:
        names.update(dict.fromkeys(n.name for n in context.by_fabric[shape.fabric]))
    native = shape.native
    if native is not None and context.network((*path, "native"), native) is None:
        native = None
    carried = [*names, *([native] if native and native not in names else [])]
    return SwitchPort(
        name=name,
        to=shape.to,
        fabric=context.common_fabric(path, carried),
        networks=tuple(names),
        native=context.untagged(path, carried, native),
        mtu=shape.mtu,
    )


def _complain_unknown_switches(context: Context) -> None:
    for host in context.hosts.values():
        for nic in host.nics.values():
            if nic.cable is not None:
                _known(context, ("pools", host.pool, "hosts", host.name, "cables", nic.name), nic.cable)
    for switch in context.switches.values():
        for port in switch.ports.values():
            if port.to is not None:
                _known(context, ("switches", switch.name, "ports", port.name, "to"), port.to)
                if port.to.switch == switch.name:
                    context.complain(
                        ("switches", switch.name, "ports", port.name, "to"),
                        f"a cable from {show(switch.name)} to itself",
                        "another switch",
                    )


def _known(context: Context, path: Path, cable: PortRef) -> None:
    if cable.switch not in context.shape.switches:
        context.complain_unknown(path, "switch", cable.switch, context.shape.switches)
