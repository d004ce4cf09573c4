"""The one place that knows every concrete platform and transport.

A `Cluster` is a declaration with a way to each of its devices: the real ones over SSH, or those of the twin.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grappe.apply.observe import Endpoint, observe
from grappe.document import Document, load
from grappe.graph.change import Difference
from grappe.graph.plan import Plan
from grappe.model.site import Access, Platform, Site
from grappe.platforms import planning
from grappe.platforms.base import Platform as PlatformRules
from grappe.platforms.kvm.platform import platform as kvm
from grappe.platforms.ovs_switch.platform import platform as ovs_switch
from grappe.platforms.planning import Choices, Survey
from grappe.transport.base import Transport
from grappe.transport.ssh import OpenSsh

if TYPE_CHECKING:
    from grappe.twin.lab import Lab

Way = Callable[[str, Access], Transport]
"""From a device's name and declared access to a transport."""

_PLATFORMS = {Platform.KVM: kvm, Platform.OVS_SWITCH: ovs_switch}


@dataclass(frozen=True)
class Cluster:
    """A declaration, its site as it runs here, and an endpoint per device."""

    document: Document
    site: Site
    endpoints: Mapping[str, Endpoint]
    journals: Path
    """Folder of this cluster's journals and archives on this machine; a twin's goes with the twin."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Declared devices that there is no way to, each with the reason."""

    @property
    def platforms(self) -> dict[str, PlatformRules]:
        """The platform of every scope."""
        return {scope: e.platform for scope, e in self.endpoints.items()}

    @property
    def transports(self) -> dict[str, Transport]:
        """The way to every scope."""
        return {scope: e.transport for scope, e in self.endpoints.items()}

    def survey(self, only: frozenset[str] = frozenset()) -> Survey:
        """Look at all devices at once, or at some; a host in maintenance is excused: it is not asked."""
        chosen = {s: e for s, e in self.endpoints.items() if not only or s in only}
        excused = sorted(chosen.keys() & {h.name for h in self.site.hosts.values() if h.maintenance})
        seen = observe(self.site, {s: e for s, e in chosen.items() if s not in excused})
        missing = {s: why for s, why in self.missing.items() if not only or s in only}
        unknown = {**seen.unknown, **missing}
        return replace(seen, unknown=unknown, excused=dict.fromkeys(excused, planning.IN_MAINTENANCE))

    def difference(self, survey: Survey, choices: Choices = planning.NO_CHOICES) -> Difference:
        """What is not as declared."""
        return planning.compare(self.site, survey, self.platforms, choices)

    def plan(self, survey: Survey, choices: Choices = planning.NO_CHOICES) -> Plan:
        """The plan from what was seen to what is declared."""
        return planning.plan_site(self.site, self.document.digest, survey, self.platforms, choices)

    def planned(self, difference: Difference, survey: Survey) -> Plan:
        """The plan of a difference that a verb has made by itself."""
        digest = self.document.digest
        return planning.plan_difference(self.site, digest, difference, survey, platforms=self.platforms)


def real(file: Path, ssh_config: Path | None = None) -> Cluster:
    """A declaration's cluster, reached over SSH. Raises DeclarationError."""
    document = load(file)
    site = document.site
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    ways = _endpoints(site, lambda name, access: _ssh(name, access, ssh_config))
    return Cluster(document, site, ways, state / "grappe" / "sites" / site.name)


def twin(file: Path, name: str | None = None) -> Cluster:
    """The same in the twin that runs under `name` (the site's own by default). Raises TwinError."""
    from grappe.twin.from_site import adapted
    from grappe.twin.lab import Lab

    document = load(file)
    lab = Lab.attach(name or document.site.name)
    site = adapted(document.site, machines(lab))
    known = {n.name for n in lab.blueprint.nodes}
    ways = _endpoints(site, lambda scope, _access: OpenSsh(scope, scope, config_file=lab.ssh_config))
    there = {s: e for s, e in ways.items() if s in known}
    new = dict.fromkeys(sorted(ways.keys() - known), _NOT_IN_TWIN)
    return Cluster(document, site, there, lab.folder.path / "journals", missing=new)


_NOT_IN_TWIN = "this twin was brought up without it: take it down and up again (grappe twin down, twin up)"


def machines(lab: Lab) -> dict[str, str]:
    """Nodes of a twin that have a kernel of their own, and of what kind they are."""
    return {n.name: n.machine for n in lab.blueprint.nodes if n.machine != "namespace"}


def _ssh(name: str, access: Access, config: Path | None) -> Transport:
    return OpenSsh(name, access.address, user=access.user, port=access.port, config_file=config)


def _endpoints(site: Site, way: Way) -> dict[str, Endpoint]:
    found: dict[str, Endpoint] = {}
    for host in site.hosts.values():
        if host.platform in _PLATFORMS:
            found[host.name] = Endpoint(_PLATFORMS[host.platform](), way(host.name, host.access))
    for switch in site.switches.values():
        if switch.platform in _PLATFORMS and switch.access is not None:
            found[switch.name] = Endpoint(_PLATFORMS[switch.platform](), way(switch.name, switch.access))
    return found
