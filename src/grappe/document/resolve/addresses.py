"""IP addresses as people write them: whole, or only the end that differs within the subnet."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import (
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

from grappe.model.site import IPAddress, IPInterface, IPNetwork


def parse_subnet(text: str) -> IPNetwork:
    """A subnet with its prefix length and no host bits; ValueError says what was expected."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("a subnet such as 192.168.10.0/24 or 2001:db8:30::/64") from None
    raise ValueError(f"the subnet's first address: {meant}")


def parse_address(text: str, subnets: Sequence[IPNetwork]) -> IPAddress:
    """An address, completed from the subnet of its family when only its end is written (`.30`, `::30`)."""
    short = _short(text, subnets)
    if short is not None:
        return short
    try:
        return ip_address(text)
    except ValueError:
        wanted = _wanted(subnets) if subnets else "a whole address, for the network has no subnet"
        raise ValueError(wanted) from None


def parse_interface(text: str, subnets: Sequence[IPNetwork]) -> IPInterface:
    """An address with its prefix length, which is written or that of the subnet it is in."""
    if "/" in text:
        try:
            return ip_interface(text)
        except ValueError:
            raise ValueError(_wanted(subnets)) from None
    try:
        address = parse_address(text, subnets)
    except ValueError:
        raise ValueError(_wanted(subnets)) from None
    for subnet in subnets:
        if address.version == subnet.version and address in subnet:
            return ip_interface(f"{address}/{subnet.prefixlen}")
    raise ValueError(_wanted(subnets))


def _short(text: str, subnets: Sequence[IPNetwork]) -> IPAddress | None:
    for subnet in subnets:
        if isinstance(subnet, IPv4Network) and text.startswith("."):
            return _short4(text, subnet)
        if isinstance(subnet, IPv6Network) and text.startswith("::"):
            return _short6(text, subnet)
    return None


def _short4(text: str, subnet: IPv4Network) -> IPAddress | None:
    ends = text[1:].split(".")
    if len(ends) > 3 or not all(e.isdecimal() and int(e) <= 255 for e in ends):
        return None
    begin = str(subnet.network_address).split(".")[: 4 - len(ends)]
    return ip_address(".".join([*begin, *(str(int(e)) for e in ends)]))


def _short6(text: str, subnet: IPv6Network) -> IPAddress | None:
    try:
        end = IPv6Address(text)
    except ValueError:
        return None
    if int(end) > int(subnet.hostmask):
        return end
    return IPv6Address(int(subnet.network_address) | int(end))


def _wanted(subnets: Sequence[IPNetwork]) -> str:
    if not subnets:
        return "an address with its prefix length, for the network has no subnet"
    first = subnets[0]
    short = ".11" if first.version == 4 else "::11"
    return f"an address in {' or '.join(str(s) for s in subnets)}, such as {short}"
