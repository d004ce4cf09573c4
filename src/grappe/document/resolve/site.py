"""The whole site, part by part."""

from __future__ import annotations

from grappe.document.resolve.context import Context
from grappe.document.resolve.hosts import resolve_pools
from grappe.document.resolve.networks import resolve_fabrics, resolve_networks, resolve_port_groups
from grappe.document.resolve.places import resolve_accept
from grappe.document.resolve.switches import resolve_switches
from grappe.document.resolve.vms import resolve_vms
from grappe.document.shape import SiteShape
from grappe.model.site import Guard, Site


def resolve(shape: SiteShape) -> tuple[Site, Context]:
    """Build the site. Its problems are in the context; with any, the site is not to be used."""
    context = Context(shape)
    resolve_fabrics(context)
    resolve_networks(context)
    resolve_port_groups(context)
    resolve_pools(context)
    resolve_switches(context)
    resolve_vms(context)
    return _site(context), context


def _site(context: Context) -> Site:
    shape = context.shape
    removed = frozenset(shape.removed.libvirt_networks)
    return Site(
        name=shape.site,
        fabrics=context.fabrics,
        networks=context.networks,
        port_groups=context.port_groups,
        pools=context.pools,
        hosts=context.hosts,
        switches=context.switches,
        storage=context.storage,
        vms=context.vms,
        accept=resolve_accept(context),
        guard=Guard(timeout=shape.guard.timeout),
        removed={"libvirt_networks": removed} if removed else {},
    )
