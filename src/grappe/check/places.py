"""Where things stand in the declaration: one function per kind of place.

The document answers with the nearest line it has, so a place may be more exact than what was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from grappe.model.site import Attachment, Host, Path, PortRef, Site, Vm


def network(name: str, *field: str) -> Path:
    """A network, or one of its fields."""
    return ("networks", name, *field)


def fabric(name: str, *field: str) -> Path:
    """A fabric, or one of its fields."""
    return ("fabrics", name, *field)


def pool(name: str, *field: str) -> Path:
    """A pool, or one of its fields."""
    return ("pools", name, *field)


def host(of: Host, *field: str) -> Path:
    """A host, or one of its fields."""
    return ("hosts", of.name, *field)


def cable(of: Host, nic: str) -> Path:
    """The cable of a host's NIC."""
    return host(of, "cables", nic)


def address(of: Host, of_network: str) -> Path:
    """A host's address on a network."""
    return host(of, "addresses", of_network)


def attachment(of: Host, attached: Attachment) -> Path:
    """An attachment of a host, by its uplink's name; without one it stands under `none`."""
    return host(of, "attach", attached.uplink or "none")


def switch(name: str, *field: str) -> Path:
    """A switch, or one of its fields."""
    return ("switches", name, *field)


def port(ref: PortRef, *field: str) -> Path:
    """A port of a switch, or one of its fields."""
    return ("switches", ref.switch, "ports", ref.port, *field)


def port_group(name: str) -> Path:
    """A port group, by its name."""
    return ("port_groups", name)


def storage(of_pool: str, name: str) -> Path:
    """A storage of a pool."""
    return ("pools", of_pool, "storage", name)


def vm(of: Vm, *field: str) -> Path:
    """A VM, or one of its fields."""
    return ("vms", of.name, *field)


def vm_nic(of: Vm, index: int) -> Path:
    """A VM's NIC, counted from 0."""
    return ("vms", of.name, "nics", index)


def wider(site: Site, path: Path) -> tuple[Path, ...]:
    """Return every form of a place: one at a host is also inside its pool, and at its pool's own entry.

    `hosts.h1.attach.eth0` is `pools.p.hosts.h1.attach.eth0`, and what hosts share is written at
    `pools.p.attach.eth0`.
    """
    of = site.hosts.get(str(path[1])) if len(path) > 1 and path[0] == "hosts" else None
    if of is None:
        return (path,)
    return (path, ("pools", of.pool, *path), ("pools", of.pool, *path[2:]))


def starts_with(path: Path, prefix: Path) -> bool:
    """Whether a path is a place or lies inside it. Numbers and their digits are the same here."""
    head = path[: len(prefix)]
    return len(head) == len(prefix) and all(str(a) == str(b) for a, b in zip(head, prefix, strict=True))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Key that sorts as people count: host2 before host10."""
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p)


def show(path: Path) -> str:
    """Return a path as people write it: `vms.web.nics[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text or "(file)"


def listing(words: Iterable[str], limit: int = 4) -> str:
    """Return `a, b and c` as people count, or the first few and how many more there are."""
    names = sorted(words, key=natural)
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit} more"
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
