"""Names that stand in a file of which parts are wrong: naming one of them is no mistake of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from grappe.document.problem import nearest
from grappe.document.source import Node

_ANY = "*"
_PLACES: dict[str, tuple[str, ...]] = {
    "network": ("networks",),
    "fabric": ("fabrics", "networks.*.fabric"),
    "pool": ("pools",),
    "host": ("pools.*.hosts",),
    "storage": ("pools.*.storage",),
    "bond": ("pools.*.bonds", "pools.*.hosts.*.bonds"),
    "NIC": (
        "pools.*.attach",
        "pools.*.bonds.*.members",
        "pools.*.hosts.*.attach",
        "pools.*.hosts.*.bonds.*.members",
        "pools.*.hosts.*.nics",
    ),
    "switch": ("switches",),
    "port group": ("port_groups", "networks", "networks.*.port_group"),
    "network or port group": ("port_groups", "networks", "networks.*.port_group"),
    "vm": ("vms",),
    "port_group": ("port_groups", "networks", "networks.*.port_group"),
}
"""Where names of each kind are given."""


class WrittenNames:
    """The names of a tree, kind by kind; each kind is collected once."""

    def __init__(self, root: Node) -> None:
        self._root = root
        self._names: dict[str, frozenset[str]] = {}
        self._templates: dict[str, tuple[re.Pattern[str], ...]] = {}

    def has(self, kind: str, name: str) -> bool:
        """Whether something of this kind may have this name; of a kind that is not followed, always."""
        if kind not in _PLACES:
            return True
        if kind not in self._names:
            self._collect(kind)
        return name in self._names[kind] or any(t.fullmatch(name) for t in self._templates[kind])

    def _collect(self, kind: str) -> None:
        names = frozenset(n for place in _PLACES[kind] for n in _names(self._root, place.split(".")))
        self._names[kind] = names
        slot = re.escape("{vlan}")
        self._templates[kind] = tuple(
            re.compile(re.escape(n).replace(slot, r"\d+")) for n in names if "{vlan}" in n
        )


def _names(node: Node, place: list[str]) -> Iterator[str]:
    """Names at a place: the keys of a mapping, the items of a list, or a scalar itself."""
    if place:
        for child in _children(node, place[0]):
            yield from _names(child, place[1:])
    elif isinstance(node.value, dict):
        yield from node.value
    elif isinstance(node.value, list):
        yield from (item.value for item in node.value if isinstance(item.value, str))
    elif node.value is not None:
        yield node.value


def _children(node: Node, part: str) -> Iterator[Node]:
    """Values of a key, a misspelt one included; of every key for `*`."""
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            if part in {_ANY, key} or nearest(key, (part,)):
                yield child
