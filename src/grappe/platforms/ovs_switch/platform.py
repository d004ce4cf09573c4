"""The switch platform `ovs_switch`."""

from __future__ import annotations

from grappe.platforms.base import Platform
from grappe.platforms.ovs_switch.network import specify
from grappe.platforms.shared.network import NetworkPart


def platform() -> Platform:
    """A switch is nothing but its network."""
    return Platform(NetworkPart(specify))
