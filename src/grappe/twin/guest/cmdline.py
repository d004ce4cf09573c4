"""The kernel command line that configures a guest (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

# x86's COMMAND_LINE_SIZE (arch/x86/include/asm/setup.h), with the closing NUL.
_LIMIT = 2048
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class GuestNic:
    """One address of a guest: which NIC (by MAC), address with prefix, and how it is reached.

    With `vlan` the address sits on a tagged subinterface. The same MAC may be given several times, for
    several VLANs or for IPv4 and IPv6 together. The NIC itself gets at least the MTU of its widest VLAN.
    """

    mac: str
    address: IPv4Interface | IPv6Interface
    gateway: IPv4Address | IPv6Address | None = None
    vlan: int | None = None
    mtu: int | None = None

    def word(self) -> str:
        """MAC,ADDRESS/PREFIX[,GATEWAY][,VLAN][,MTU]; what is not given is empty, trailing commas go."""
        if _MAC.fullmatch(self.mac.lower()) is None:
            raise ValueError(
                f"{self.mac!r} is not a MAC address, expected six pairs such as 52:54:00:00:00:01"
            )
        rest = ("" if value is None else str(value) for value in (self.gateway, self.vlan, self.mtu))
        return ",".join((self.mac.lower(), str(self.address), *rest)).rstrip(",")


def cmdline(hostname: str, nics: Sequence[GuestNic]) -> str:
    """The whole command line of a guest.

    Raises ValueError when the name or a MAC is malformed, or when the kernel would cut the line short.
    """
    if _HOSTNAME.fullmatch(hostname) is None:
        raise ValueError(f"{hostname!r} is not a host name: letters, digits and inner hyphens, at most 64")
    words = ["console=ttyS0", "quiet", "panic=-1", "mitigations=off", f"grappe.hostname={hostname}"]
    line = " ".join([*words, *(f"grappe.nic={nic.word()}" for nic in nics)])
    if len(line) >= _LIMIT:
        raise ValueError(
            f"guest {hostname}: {len(nics)} addresses make {len(line)} characters, limit {_LIMIT - 1}"
        )
    return line
