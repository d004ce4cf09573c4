"""Virtual machines: where they run, what they boot, their disks and NICs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from grappe.document.problem import show
from grappe.document.resolve.addresses import parse_interface
from grappe.document.resolve.context import Context
from grappe.document.shape import BootShape, VmNicShape, VmShape
from grappe.model.site import (
    Boot,
    Disk,
    ImageBoot,
    IPInterface,
    KernelBoot,
    Path,
    PortGroup,
    TestGuest,
    Vm,
    VmNic,
    vm_mac,
)
from grappe.model.units import DEFAULT_MTU, Mtu

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def resolve_vms(context: Context) -> None:
    """Every VM."""
    stores: dict[str, list[str]] = {}
    for owner, storage in context.storage:
        stores.setdefault(owner, []).append(storage)
    for name, shape in context.shape.vms.items():
        pool = _pool(context, name, shape)
        nics = tuple(_nics(context, name, shape))  # also of a VM that has no pool: for its wrong names
        if pool is not None:
            vm = _vm(context, name, shape, pool, stores.get(pool, []))
            context.vms[name] = replace(vm, nics=nics)


def _pool(context: Context, name: str, shape: VmShape) -> str | None:
    path = ("vms", name)
    pool, host = shape.pool, context.hosts.get(shape.host or "")
    if shape.host is not None and host is None:
        context.complain_unknown((*path, "host"), "host", shape.host, context.hosts)
        return None
    if pool is not None and pool not in context.pools:
        context.complain_unknown((*path, "pool"), "pool", pool, context.pools)
        return None
    if host is not None:
        if pool not in {None, host.pool}:
            context.complain((*path, "pool"), f"host {show(host.name)} is in another pool", host.pool, pool)
        return host.pool
    return pool or _only_pool(context, path)


def _only_pool(context: Context, path: Path) -> str | None:
    if len(context.pools) == 1:
        return next(iter(context.pools))
    said = ", ".join(map(show, context.pools))
    hint = f"the site has several: {said}" if said else "the site has no pool"
    context.complain(path, "host or pool is missing", hint=hint)
    return None


def _vm(context: Context, name: str, shape: VmShape, pool: str, stores: list[str]) -> Vm:
    path = ("vms", name)
    disks = tuple(_disks(context, path, shape, pool, stores))
    if shape.boot.image is not None and not shape.disks:
        context.complain(
            (*path, "boot"),
            "an image needs a disk to be copied to",
            hint="add disks: [{size: 10G, on: STORAGE}]",
        )
    return Vm(
        name=name,
        pool=pool,
        host=shape.host,
        vcpus=shape.vcpus,
        memory=shape.memory,
        boot=_boot(shape.boot),
        disks=disks,
        running=shape.state,
        autostart=shape.autostart,
    )


def _boot(shape: BootShape) -> Boot:
    if shape.image is not None:
        return ImageBoot(image=shape.image)
    if shape.kernel is not None and shape.initrd is not None:
        return KernelBoot(kernel=shape.kernel, initrd=shape.initrd, cmdline=shape.cmdline or "")
    return TestGuest()


def _target(index: int) -> str:
    """vda … vdz, vdaa …"""
    high, low = divmod(index, len(_LETTERS))
    return f"vd{_LETTERS[high - 1] if high else ''}{_LETTERS[low]}"


def _disks(context: Context, path: Path, shape: VmShape, pool: str, stores: list[str]) -> Iterator[Disk]:
    for index, disk in enumerate(shape.disks):
        place = (*path, "disks", index)
        on = disk.on
        if on is None and len(stores) == 1:
            on = stores[0]
        if on is None:
            said = ", ".join(map(show, stores))
            hint = f"pool {show(pool)} has several: {said}" if said else f"pool {show(pool)} has none"
            context.complain(place, "on (its storage) is missing", hint=hint)
        elif on not in stores:
            context.complain_unknown((*place, "on"), "storage", on, stores)
        else:
            yield Disk(target=_target(index), size=disk.size, storage=on)


def _nics(context: Context, vm: str, shape: VmShape) -> Iterator[VmNic]:
    for index, nic in enumerate(shape.nics):
        path = ("vms", vm, "nics", index)
        place = _place(context, path, nic)
        if place is None:
            continue
        fabric, group, network, mtu = place
        yield VmNic(
            fabric=fabric,
            port_group=group,
            network=network,
            mac=nic.mac or vm_mac(context.shape.site, vm, index),
            addresses=tuple(_addresses(context, path, nic, network)),
            mtu=mtu,
        )


_Place = tuple[str, str, str | None, Mtu]
"""Fabric, port group, the network seen untagged, MTU."""


def _place(context: Context, path: Path, nic: VmNicShape) -> _Place | None:
    if nic.network is not None:
        network = context.network((*path, "network"), nic.network)
        return _on_network(context, (*path, "network"), network.name) if network else None
    if nic.port_group is not None:
        return _on_group(context, (*path, "port_group"), nic.port_group)
    return _by_name(context, path, nic.name or "")


def _on_network(context: Context, path: Path, name: str) -> _Place | None:
    network = context.networks[name]
    if name not in context.group_of:
        context.complain(path, f"network {show(name)} has no port group", hint="it says port_group: false")
        return None
    return network.fabric, context.group_of[name], name, network.mtu


def _on_group(context: Context, path: Path, name: str) -> _Place | None:
    groups = context.groups_named.get(name, [])
    if len(groups) > 1:
        fabrics = " and ".join(show(g.fabric) for g in groups)
        context.complain(path, f"fabrics {fabrics} both have a port group {show(name)}", "one that is unique")
        return None
    if not groups:
        context.complain_unknown(path, "port group", name, context.groups_named)
        return None
    return _of_group(context, groups[0])


def _of_group(context: Context, group: PortGroup) -> _Place:
    names = [*group.tagged, *([group.native] if group.native else [])]
    mtu = Mtu(max((context.networks[n].mtu for n in names), default=DEFAULT_MTU))
    return group.fabric, group.name, group.native, mtu


def _by_name(context: Context, path: Path, name: str) -> _Place | None:
    groups = [g for g in context.groups_named.get(name, []) if g.native != name or g.tagged]
    if name in context.networks:
        if groups:
            context.complain(
                path,
                f"{show(name)} is a network and another port group",
                hint=f"write {{network: {name}}} or {{port_group: {name}}}",
            )
        return _on_network(context, path, name)
    if groups:
        return _on_group(context, path, name)
    context.complain_unknown(path, "network or port group", name, [*context.networks, *context.groups_named])
    return None


def _addresses(context: Context, path: Path, nic: VmNicShape, network: str | None) -> Iterator[IPInterface]:
    if nic.address and network is None:
        context.complain(
            (*path, "address"), "an address needs an untagged network, and this port group has none"
        )
        return
    subnets = context.networks[network].subnets if network else ()
    for index, text in enumerate(nic.address):
        try:
            yield parse_interface(text, subnets)
        except ValueError as error:
            context.complain((*path, "address", index), "", str(error), text)
