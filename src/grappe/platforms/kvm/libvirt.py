"""libvirt on a KVM host: networks, port groups, storage pools, volumes and VMs behind one question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from grappe.graph.change import Change
from grappe.graph.plan import Disruption
from grappe.graph.resource import Desired, KindRules, Observation, Refusal, Resource, Value
from grappe.model.script import Answer, Script, script
from grappe.model.site import Site
from grappe.platforms.kvm import libvirt_survey, networks, storage, vms

_NETWORKS = frozenset({networks.NETWORK, networks.GROUP})
_STORAGE = frozenset({storage.POOL, storage.VOLUME})


class LibvirtPart:
    """Kinds `libvirt-network`, `port-group`, `storage-pool`, `volume` and `vm`."""

    kinds: Mapping[str, KindRules] = {
        networks.NETWORK: KindRules(rank=40, batch="libvirt"),
        networks.GROUP: KindRules(rank=50, batch="libvirt"),
        storage.POOL: KindRules(rank=60, batch="storage", data=True),
        storage.VOLUME: KindRules(rank=70, batch="storage", data=True, fixed=frozenset({"format"})),
        vms.VM: KindRules(rank=80, batch="vm", data=True),
    }

    def questions(self) -> Script:
        """One command."""
        return (libvirt_survey.QUESTION,)

    def understand(
        self, site: Site, scope: str, answers: Sequence[Answer]
    ) -> tuple[Iterable[Resource], Mapping[str, Value]]:
        """Resources, and facts.

        `libvirt` (up, down, absent), `libvirt-error`, `accel` (kvm, tcg), `test-guest` (lies on the host).
        """
        survey = libvirt_survey.read(answers[0])
        facts: dict[str, Value] = {"libvirt": survey.state, "libvirt-error": survey.error}
        facts |= {"accel": survey.accel, "test-guest": survey.guest}
        readers = (networks.understand, storage.understand, vms.understand)
        return [r for read in readers for r in read(site.name, scope, survey)], facts

    def lower(self, site: Site, scope: str, seen: Observation) -> Desired:
        """What the site wants of a host's libvirt; refused whole when libvirt's state is unknown."""
        wanted = _joined(part.lower(site, scope, seen) for part in (networks, storage, vms))
        state = seen.facts.get("libvirt")
        if state == "up" or not (wanted.resources or wanted.absent):
            return wanted
        return Desired(refusals=(*wanted.refusals, _unavailable(scope, seen.facts)))

    def realise(self, changes: Sequence[Change]) -> Script:
        """Render changes, kind by kind, in their order."""
        return script(
            networks.realise([c for c in changes if c.key.kind in _NETWORKS]),
            storage.realise([c for c in changes if c.key.kind in _STORAGE]),
            vms.realise([c for c in changes if c.key.kind == vms.VM]),
        )

    def disruption(self, change: Change) -> Disruption:
        """What a change may disturb."""
        if change.key.kind in _STORAGE:
            return storage.disruption(change)
        if change.key.kind == vms.VM:
            return vms.disruption(change)
        return networks.disruption(change)

    def irreversible(self, change: Change) -> str:
        """Why a change cannot be undone; empty when it can."""
        return storage.irreversible(change) if change.key.kind in _STORAGE else ""


def _joined(parts: Iterable[Desired]) -> Desired:
    every = tuple(parts)
    return Desired(
        resources=tuple(r for d in every for r in d.resources),
        absent=frozenset(k for d in every for k in d.absent),
        refusals=tuple(r for d in every for r in d.refusals),
    )


def _unavailable(scope: str, facts: Mapping[str, Value]) -> Refusal:
    error = facts.get("libvirt-error") or "no answer"
    if facts.get("libvirt") == "absent":
        hint = "install it: apt-get install libvirt-daemon-system libvirt-clients"
        return Refusal("libvirt-absent", f"{scope}/libvirt", "libvirt is not installed", hint)
    hint = (
        "look at `systemctl status libvirtd` and /var/log/libvirt there; what it holds is unknown until then"
    )
    return Refusal("libvirt-down", f"{scope}/libvirt", f"libvirt does not answer: {error}", hint)
