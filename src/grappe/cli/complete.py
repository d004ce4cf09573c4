"""Shell completion of names from the declaration; silent whatever is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from grappe.model.site import Site


def _names(context: typer.Context, incomplete: str, found: Callable[[Site], Iterable[str]]) -> list[str]:
    try:
        from grappe.document import load

        top = context.find_root().params
        file = Path(top.get("file") or os.environ.get("GRAPPE_FILE") or "site.yaml")
        return sorted({name for name in found(load(file).site) if name.startswith(incomplete)})
    except Exception:
        return []


def devices(ctx: typer.Context, incomplete: str) -> list[str]:
    """Hosts and managed switches."""
    return _names(ctx, incomplete, lambda site: [*site.hosts, *_managed(site)])


def hosts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Hosts."""
    return _names(ctx, incomplete, lambda site: site.hosts)


def vms(ctx: typer.Context, incomplete: str) -> list[str]:
    """Declared VMs."""
    return _names(ctx, incomplete, lambda site: site.vms)


def networks(ctx: typer.Context, incomplete: str) -> list[str]:
    """Networks."""
    return _names(ctx, incomplete, lambda site: site.networks)


def consoles(ctx: typer.Context, incomplete: str) -> list[str]:
    """Places of the twin that have a console."""
    return _names(ctx, incomplete, lambda site: [*site.hosts, *_managed(site), "operator"])


def faults(ctx: typer.Context, incomplete: str) -> list[str]:
    """HOST and HOST/NIC."""

    def found(site: Site) -> Iterable[str]:
        yield from site.hosts
        yield from _managed(site)
        for host in site.hosts.values():
            yield from (f"{host.name}/{nic}" for nic in host.nics)
        for switch in site.switches.values():
            yield from (f"{switch.name}/{port}" for port in switch.ports)

    return _names(ctx, incomplete, found)


def codes(incomplete: str) -> list[str]:
    """Codes of findings."""
    try:
        from grappe.check.catalogue import CATALOGUE
        from grappe.cli.preflight import host_codes

        return sorted(name for name in {**CATALOGUE, **host_codes()} if name.startswith(incomplete))
    except Exception:
        return []


def _managed(site: Site) -> list[str]:
    return [name for name, switch in site.switches.items() if switch.access is not None]
