"""Grappe's own tiny guest on a KVM host: where its kernel lies, and the command line that configures it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from grappe.model.site import IPAddress, IPInterface, Network, Site, Vm, VmNic

KERNEL = "/var/lib/grappe/guest/vmlinuz"
INITRD = "/var/lib/grappe/guest/initrd"

_LIMIT = 2047
"""Longest command line that an x86 kernel reads (COMMAND_LINE_SIZE without its closing NUL)."""


def cmdline(site: Site, vm: Vm) -> str:
    """Command line of a VM: its name, and a word for every address.

    The word is `grappe.nic=MAC,ADDRESS/PREFIX[,GATEWAY][,VLAN][,MTU]`. An address of a trunk's tagged network
    is put on that VLAN. Raises ValueError when the kernel would cut the line short.
    """
    words = ["console=ttyS0", "quiet", "panic=-1", "mitigations=off", f"grappe.hostname={_hostname(vm.name)}"]
    line = " ".join(chain(words, _addresses(site, vm)))
    if len(line) > _LIMIT:
        raise ValueError(f"its addresses make a command line of {len(line)} characters, limit {_LIMIT}")
    return line


def _hostname(name: str) -> str:
    """A name that a kernel command line can hold and DNS allows (RFC 1123)."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")[:63] or "guest"


def _addresses(site: Site, vm: Vm) -> Iterator[str]:
    routed: set[int] = set()  # IP versions that have their default gateway
    for nic in vm.nics:
        for address in nic.addresses:
            network = _network(site, nic, address)
            gateway = None if network is None or address.version in routed else _gateway(network, address)
            if gateway is not None:
                routed.add(address.version)
            yield "grappe.nic=" + _word(nic, address, network, gateway)


def _word(nic: VmNic, address: IPInterface, network: Network | None, gateway: IPAddress | None) -> str:
    tagged = network is not None and network.name != nic.network
    vlan = network.vlan if network is not None and tagged else None
    mtu = nic.mtu if network is None else min(nic.mtu, network.mtu)
    rest = ("" if value is None else str(value) for value in (gateway, vlan, mtu))
    return ",".join((nic.mac, str(address), *rest))


def _network(site: Site, nic: VmNic, address: IPInterface) -> Network | None:
    """The network an address belongs to: of those the NIC is on, the one whose subnet holds it."""
    group = site.port_groups.get((nic.fabric, nic.port_group))
    names = (nic.network, *(group.tagged if group else ()))
    networks = [site.networks[name] for name in names if name is not None]
    return next((n for n in networks if _holds(n, address)), networks[0] if nic.network else None)


def _holds(network: Network, address: IPInterface) -> bool:
    return any(address.ip in subnet for subnet in network.subnets)


def _gateway(network: Network, address: IPInterface) -> IPAddress | None:
    return next((g for g in network.gateways if g.version == address.version and g != address.ip), None)
