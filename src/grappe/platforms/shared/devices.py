"""From the name a declaration gives a NIC to the device that has it now."""

from __future__ import annotations

from collections.abc import Iterable

from grappe.graph.resource import Key, Observation, Refusal
from grappe.model.site import Nic
from grappe.platforms.shared.links import LINK


def device_of(nic: Nic, seen: Observation) -> str | None:
    """Kernel name of a NIC: by MAC or PCI address when the declaration gives one, else the name itself."""
    if nic.mac is not None:
        return _matching("mac:", nic.mac, seen)
    if nic.pci is not None:
        return _matching("pci:", nic.pci, seen)
    return nic.name if Key(seen.scope, LINK, nic.name) in seen.resources else None


def _matching(prefix: str, wanted: str, seen: Observation) -> str | None:
    names = (
        n for n, v in sorted(seen.facts.items()) if n.startswith(prefix) and str(v).lower() == wanted.lower()
    )
    return next((n.removeprefix(prefix) for n in names), None)


def missing(nic: Nic, seen: Observation) -> Refusal:
    """What to say of a NIC that is not there."""
    wanted = f"MAC {nic.mac}" if nic.mac else f"PCI address {nic.pci}" if nic.pci else f"name {nic.name}"
    have = ", ".join(_present(seen.facts)) or "none"
    return Refusal(
        "nic-missing",
        f"{seen.scope}/{LINK}/{nic.name}",
        f"no NIC with {wanted}",
        f"NICs there: {have}; correct hosts.{seen.scope}.nics, or plug it in",
    )


def _present(facts: Iterable[str]) -> list[str]:
    return sorted(f.removeprefix("mac:") for f in facts if f.startswith("mac:"))
