"""What makes one machine of the common image: a second archive behind the initramfs (pure).

Linux unpacks appended cpio archives over one another (buffer-format.rst). The machine's init copies the files
to the disk on the first boot only; the NICs' names are hardware and are given at each boot.
"""

from __future__ import annotations

import hashlib
import stat
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from grappe.twin.guest import cpio

_BLOCK = 512
# While this file is missing, the machine has not had its first boot.
SEEDED = "var/lib/grappe-seeded"


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
    return cpio.archive([*entries, *_tree(identity, cards)])


def joined(initramfs: bytes, more: bytes) -> bytes:
    """Two archives, the second on a block border as the kernel wants it."""
    return initramfs + b"\0" * (-len(initramfs) % _BLOCK) + more


def machine_id(hostname: str, cards: Iterable[Card]) -> str:
    """An identifier of 32 hexadecimal digits that follows from the name and the MACs."""
    text = " ".join([hostname, *(card.mac.lower() for card in cards)])
    return hashlib.sha256(f"grappe machine {text}".encode()).hexdigest()[:32]


def files(identity: Identity, cards: Sequence[Card]) -> dict[str, tuple[int, str]]:
    """Mode and text of each file that makes the machine, by path without a leading slash."""
    name = identity.hostname
    short = name.split(".")[0]
    names = name if short == name else f"{name} {short}"
    hosts = f"127.0.0.1\tlocalhost\n127.0.1.1\t{names}\n::1\tlocalhost ip6-localhost\n"
    number = machine_id(name, cards)
    plain = {
        "etc/hostname": f"{name}\n",
        "etc/hosts": hosts,
        "etc/machine-id": f"{number}\n",
        "etc/network/interfaces": identity.interfaces,
        "etc/openvswitch/system-id.conf": f"{uuid.UUID(number)}\n",
        "etc/ssh/ssh_host_grappe_key.pub": identity.host_key_public,
        SEEDED: "",
    }
    links = {f"etc/systemd/network/10-{card.name}.link": _link(card) for card in cards}
    secret = {
        "etc/ssh/ssh_host_grappe_key": identity.host_key,
        "root/.ssh/authorized_keys": identity.authorized_key.rstrip("\n") + "\n",
    }
    readable = {path: (0o644, text) for path, text in {**plain, **links}.items()}
    return {**readable, **{path: (0o600, text) for path, text in secret.items()}}


def _link(card: Card) -> str:
    # The permanent address: a VLAN or bridge on the card has the same present one.
    text = f"[Match]\nPermanentMACAddress={card.mac.lower()}\n\n[Link]\nName={card.name}\n"
    return text if card.mtu == 1500 else f"{text}MTUBytes={card.mtu}\n"


def _tree(identity: Identity, cards: Sequence[Card]) -> list[cpio.Entry]:
    found = files(identity, cards)
    folders = {str(parent) for path in found for parent in PurePosixPath(path).parents} - {"."}
    made = [
        cpio.Entry(f"seed/disk/{path}", stat.S_IFDIR | (0o700 if path == "root/.ssh" else 0o755))
        for path in sorted(folders)
    ]
    return made + [
        cpio.Entry(f"seed/disk/{path}", stat.S_IFREG | mode, text.encode())
        for path, (mode, text) in found.items()
    ]
