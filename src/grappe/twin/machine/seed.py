"""What makes one machine of the common image: a second archive behind the initramfs (pure).

Linux unpacks appended cpio archives over one another (buffer-format.rst). The machine's init copies the files
to the disk on the first boot only; the NICs' names are hardware and are given at each boot.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grappe.twin.guest import cpio

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Card:
    """A network card: its name and MTU at power-on, and its MAC."""

    name: str
    mac: str
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the machine is: host name, /etc/network/interfaces, SSH host key (both halves), who may log in."""

    hostname: str
    interfaces: str
    host_key: str
    host_key_public: str
    authorized_key: str


def seed(identity: Identity, cards: Sequence[Card]) -> bytes:
    """The archive for one machine, to be appended to the image's initramfs."""
    table = "".join(f"{card.mac.lower()} {card.name} {card.mtu}\n" for card in cards)
    entries = [cpio.folder("seed"), cpio.regular("seed/nics", table.encode()), cpio.folder("seed/disk")]
    return cpio.archive([*entries, *_tree(identity, machine_id(identity.hostname, cards))])


def joined(initramfs: bytes, more: bytes) -> bytes:
    """Two archives, the second on a block border as the kernel wants it."""
    return initramfs + b"\0" * (-len(initramfs) % _BLOCK) + more


def machine_id(hostname: str, cards: Iterable[Card]) -> str:
    """An identifier of 32 hexadecimal digits that follows from the name and the MACs."""
    text = " ".join([hostname, *(card.mac.lower() for card in cards)])
    return hashlib.sha256(f"grappe machine {text}".encode()).hexdigest()[:32]


def _tree(identity: Identity, number: str) -> list[cpio.Entry]:
    name = identity.hostname
    short = name.split(".")[0]
    names = name if short == name else f"{name} {short}"
    return [
        *(cpio.folder(f"seed/disk/{path}") for path in ("etc", "etc/network", "etc/ssh", "root")),
        cpio.Entry("seed/disk/root/.ssh", stat.S_IFDIR | 0o700),
        _file("etc/hostname", f"{name}\n"),
        _file("etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{names}\n::1\tlocalhost ip6-localhost\n"),
        _file("etc/machine-id", f"{number}\n"),
        _file("etc/network/interfaces", identity.interfaces),
        _file("etc/ssh/ssh_host_grappe_key", identity.host_key, 0o600),
        _file("etc/ssh/ssh_host_grappe_key.pub", identity.host_key_public),
        _file("root/.ssh/authorized_keys", identity.authorized_key.rstrip("\n") + "\n", 0o600),
    ]


def _file(path: str, text: str, mode: int = 0o644) -> cpio.Entry:
    return cpio.Entry(f"seed/disk/{path}", stat.S_IFREG | mode, text.encode())
