"""Units as people write them, and the one canonical form the model keeps.

VLAN ids are integers 1-4094, MTU and memory are integers of bytes, MAC addresses are lower-case with colons.
Every parser raises ValueError with a message that says what was expected.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import NewType

VlanId = NewType("VlanId", int)
"""802.1Q VLAN id, 1 to 4094; 0 stands for the untagged (native) segment where a number is needed."""

Mtu = NewType("Mtu", int)
"""Layer-3 MTU in bytes (Ethernet header and VLAN tag not counted)."""

Bytes = NewType("Bytes", int)
"""A size in bytes."""

Mac = NewType("Mac", str)
"""MAC address, lower-case, colon-separated."""

NATIVE = VlanId(0)

DEFAULT_MTU = Mtu(1500)
"""Ethernet's standard payload."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(i?)B?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_MAC = re.compile(r"[0-9a-f]{12}")
_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")


def parse_size(text: str | int) -> Bytes:
    """Bytes of `3G`, `512M`, `1.5 GiB` or a plain number of bytes. Units are powers of 1024.

    A small plain number is refused: whoever writes `memory: 2048` means MiB.
    """
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise ValueError("expected a size such as 512M, 3G or 1.5T")
    size = Bytes(int(float(match[1]) * _FACTORS[match[2].upper()]))
    if not match[2] and 0 < size < 1 << 16:
        raise ValueError(f"expected a size with its unit, such as {match[1]}M or 3G")
    return size


def format_size(size: int) -> str:
    """Return the shortest exact form of a size: 3G, 512M, 1000."""
    for unit in "PTGMK":
        if size and size % _FACTORS[unit] == 0:
            return f"{size // _FACTORS[unit]}{unit}"
    return str(size)


def parse_mac(text: str) -> Mac:
    """Canonical form of a MAC address written with colons, dashes, dots or nothing between its bytes."""
    digits = re.sub(r"[:.\-]", "", str(text).strip().lower())
    if _MAC.fullmatch(digits) is None:
        raise ValueError("expected a MAC address such as 52:54:00:12:34:56")
    return Mac(":".join(digits[i : i + 2] for i in range(0, 12, 2)))


def is_multicast(mac: str) -> bool:
    """Whether the group bit is set: such an address can never be a sender."""
    return bool(int(mac[:2], 16) & 1)


def parse_vlan(text: str | int) -> VlanId:
    """A VLAN id, 1 to 4094."""
    word = str(text).strip()
    if not word.isdecimal() or not 1 <= int(word) <= 4094:
        raise ValueError("expected a VLAN id from 1 to 4094")
    return VlanId(int(word))


def parse_vlans(text: str | int) -> tuple[VlanId, ...]:
    """VLAN ids of `100-109`, `6, 10, 12` or a mixture, in order, each once."""
    ids: set[VlanId] = set()
    for part in str(text).split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError("expected VLAN ids such as 100-109 or 6,10,12")
        first, last = parse_vlan(match[1]), parse_vlan(match[2] or match[1])
        if last < first:
            raise ValueError(f"expected a rising range, found {part.strip()}")
        ids.update(VlanId(i) for i in range(first, last + 1))
    return tuple(sorted(ids))


def format_vlans(ids: Iterable[int]) -> str:
    """Return VLAN ids as people write them: `6,10,100-109`."""
    runs: list[list[int]] = []
    for vlan in sorted(set(ids)):
        if runs and vlan == runs[-1][1] + 1:
            runs[-1][1] = vlan
        else:
            runs.append([vlan, vlan])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def derive_mac(*words: str | int) -> Mac:
    """Return a locally administered unicast MAC that is always the same for the same words.

    The first bytes are 52:54:00, the prefix that QEMU and libvirt use, so that people recognise a guest's
    address; the other 24 bits are a BLAKE2 digest of the words.
    """
    digest = hashlib.blake2s("\0".join(str(w) for w in words).encode(), digest_size=3).hexdigest()
    return Mac("52:54:00:" + ":".join(digest[i : i + 2] for i in range(0, 6, 2)))


def derive_host_mac(*words: str | int) -> Mac:
    """Return the same for a host's own ports: prefix 02:67:72 (locally administered), never a guest's."""
    return Mac("02:67:72" + derive_mac(*words)[8:])
