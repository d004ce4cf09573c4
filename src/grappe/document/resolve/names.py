"""Names of the ports that Grappe makes on a host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from grappe.model.site import Attachment, Network
from grappe.model.units import VlanId

_MAX = 15
"""Linux takes interface names of at most 15 characters."""


def port_names(networks: Mapping[str, Network], attachments: Iterable[Attachment]) -> dict[str, str]:
    """Return the name of the internal port of each tagged network that a host may have an address on.

    `vlan99`; where the host is on two fabrics that both have a VLAN 99, `vlan99-FABRIC` on each of them, cut
    to 15 characters. The name depends on VLAN ids and fabrics only, so that renaming a network moves no port.
    """
    tagged = [
        network
        for attachment in attachments
        for name in attachment.networks
        if (network := networks[name]).vlan is not None
    ]
    places = sorted({(network.fabric, network.vlan) for network in tagged})
    count = Counter(vlan for _, vlan in places)
    names: dict[tuple[str, VlanId | None], str] = {}
    for fabric, vlan in places:
        name = f"vlan{vlan}" if count[vlan] == 1 else f"vlan{vlan}-{fabric}"[:_MAX]
        names[fabric, vlan] = _distinct(name, set(names.values()))
    return {network.name: names[network.fabric, network.vlan] for network in tagged}


def _distinct(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        suffix = f"-{number}"
        candidate = name[: _MAX - len(suffix)] + suffix
        number += 1
    return candidate
