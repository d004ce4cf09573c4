"""The platform `kvm`: Debian, Open vSwitch, libvirt."""

from __future__ import annotations

from grappe.platforms.base import Platform
from grappe.platforms.kvm.libvirt import LibvirtPart
from grappe.platforms.kvm.network import specify
from grappe.platforms.shared.network import NetworkPart


def platform() -> Platform:
    """The network first: libvirt's networks stand on its bridges."""
    return Platform(NetworkPart(specify), LibvirtPart())
