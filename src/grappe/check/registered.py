"""Uplinks where a provider counts MACs: who would send there, and who may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from grappe.check import places
from grappe.check.codes import registered as codes
from grappe.check.view import Plug, PlugKey, View
from grappe.model.finding import Finding
from grappe.model.site import Attachment, Host, Role


def findings(view: View) -> Iterator[Finding]:
    """All findings about registered MACs."""
    guarded = {
        host.name: [a for a in host.attachments if a.registered_macs is not None and a.uplink is not None]
        for host in view.site.hosts.values()
    }
    for host in view.site.hosts.values():
        for attachment in guarded[host.name]:
            yield from _host(host, attachment)
    if any(guarded.values()):
        for key, plugs in view.plugs.items():
            yield from _plugs(view, guarded, key, plugs)
    yield from _unchecked(view)


def _host(host: Host, attachment: Attachment) -> Iterator[Finding]:
    allowed = attachment.registered_macs or frozenset()
    for name in host.uplink_nics(attachment):
        mac = host.nics[name].mac if name in host.nics else None
        if mac is None:
            yield codes.HOST_MAC_UNKNOWN.at(
                places.host(host, "nics", name),
                f"only registered MACs may leave {name} of host {host.name}, and its own is not declared",
                hint=f"write `nics: {{{name}: {{mac: …}}}}` at the host",
                related=[places.attachment(host, attachment)],
            )
        elif mac not in allowed:
            yield codes.HOST_MAC_UNREGISTERED.at(
                places.host(host, "nics", name),
                f"{mac} of {name} of host {host.name} is not among the registered MACs of its uplink",
                hint=f"add {mac} to `registered_macs`",
                related=[places.attachment(host, attachment)],
            )


def _plugs(
    view: View, guarded: dict[str, list[Attachment]], key: PlugKey, plugs: tuple[Plug, ...]
) -> Iterator[Finding]:
    scope, fabric, _ = key
    where = [
        (host, a.registered_macs or frozenset())
        for host in view.hosts_of(scope)
        for a in guarded[host.name]
        if a.fabric == fabric
    ]
    if not where:
        return
    everywhere = frozenset.intersection(*(macs for _, macs in where))
    for plug in plugs:
        if plug.nic.mac not in everywhere:
            hosts = [host.name for host, macs in where if plug.nic.mac not in macs]
            yield codes.UNREGISTERED_MAC.at(
                places.vm_nic(plug.vm, plug.index),
                f"VM {plug.vm.name} would send with {plug.nic.mac} through the uplink of "
                f"{places.listing(f'host {h}' for h in hosts)}, where it is not registered",
                hint="register it with the provider and add it to `registered_macs`",
                related=[places.fabric(fabric)],
            )


def _unchecked(view: View) -> Iterator[Finding]:
    """Provider networks with VMs on uplinks without a list, one finding per network."""
    vms: defaultdict[str, set[str]] = defaultdict(set)
    hosts: defaultdict[str, set[str]] = defaultdict(set)
    networks = view.site.networks
    for (scope, _, _), plugs in view.plugs.items():
        for plug in plugs:
            for name in view.networks_of(plug):
                if name in networks and Role.PROVIDER in networks[name].roles:
                    vms[name].add(plug.vm.name)
                    hosts[name].update(h.name for h in view.hosts_of(scope) if _open(h, name))
    for name, some in hosts.items():
        if some:
            yield codes.PROVIDER_MACS_UNCHECKED.at(
                places.network(name, "roles"),
                f"{places.listing(f'VM {vm}' for vm in vms[name])} may send any MAC to {name}, a provider's, "
                f"through {places.listing(f'host {h}' for h in some)}",
                hint="write `registered_macs` at the uplink",
                related=[places.host(view.site.hosts[h]) for h in sorted(some)],
            )


def _open(host: Host, network: str) -> bool:
    return any(
        a.uplink is not None and a.registered_macs is None and network in a.networks for a in host.attachments
    )
