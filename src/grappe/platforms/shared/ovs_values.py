"""Open vSwitch's values: its JSON tables, and the VLAN columns of a port against what the port carries.

Semantics of tag, trunks and vlan_mode: ovs-vswitchd.conf.db(5), table Port, "VLAN Configuration".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from grappe.graph.resource import Value
from grappe.model.text import one_line

ALL = "all"
"""`tagged` of a port that carries every VLAN: Open vSwitch's default for a port without any setting."""

NOBODY = 4095
"""The reserved id nobody can use: a trunk of nothing would mean "everything" to Open vSwitch."""

Row = dict[str, Any]


def tables(text: str) -> list[list[Row]]:
    """Read the JSON documents of consecutive `ovs-vsctl --format=json … list` commands, a table each."""
    decoder, found, position = json.JSONDecoder(), [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        document, position = decoder.raw_decode(text, position)
        headings = document["headings"]
        found.append([dict(zip(headings, map(plain, row), strict=True)) for row in document["data"]])
    return found


def plain(value: Any) -> Any:
    """OVSDB's notation (RFC 7047, 5.1) as Python values: sets as lists, maps as dicts, uuids as strings."""
    if isinstance(value, str):
        return one_line(value)  # a name can hold anything, and people will read it
    if not isinstance(value, list):
        return value
    tag, content = value
    if tag == "set":
        return [plain(v) for v in content]
    if tag == "map":
        return {plain(k): plain(v) for k, v in content}
    return one_line(content)


def optional(value: Any) -> Any:
    """A column that holds at most one value: the value, or None for the empty set."""
    return None if value == [] else value


def several(value: Any) -> list[Any]:
    """A column that holds a set: OVSDB writes a set of one as the value itself."""
    return value if isinstance(value, list) else [value]


def carried(vlan_mode: str | None, tag: int | None, trunks: list[int]) -> tuple[int | None, Value]:
    """Untagged VLAN (0: the native segment, None: dropped) and tagged VLANs that a port's columns mean."""
    mode = vlan_mode or ("trunk" if tag is None else "access")
    vlans: frozenset[int] = frozenset(trunks) - {NOBODY}
    if mode == "access":
        return tag or 0, frozenset()
    if mode == "trunk":
        return (0 if not trunks or 0 in vlans else None), (vlans - {0} if trunks else ALL)
    native = tag or 0
    if mode == "native-untagged":
        return native, (vlans - {native} if trunks else ALL)
    return None, (vlans | {native} if trunks else ALL)


def columns(native: Value, tagged: Value) -> Iterator[tuple[str, str]]:
    """Return columns and values that make a port carry this; an empty value clears its column."""
    if tagged == ALL:
        yield from _everything(native)
        return
    vlans = sorted(v for v in tagged if isinstance(v, int)) if isinstance(tagged, frozenset) else []
    if native is not None and not vlans:
        yield from (("vlan_mode", "access"), ("tag", str(native)), ("trunks", ""))
    elif native is None or native == 0:
        ids = [*([0] if native == 0 else []), *vlans]
        yield from (("vlan_mode", "trunk"), ("tag", ""), ("trunks", _ids(ids or [NOBODY])))
    else:
        ids = sorted({int(str(native)), *vlans})
        yield from (("vlan_mode", "native-untagged"), ("tag", str(native)), ("trunks", _ids(ids)))


def _everything(native: Value) -> Iterator[tuple[str, str]]:
    if native in (0, None):
        yield from (("vlan_mode", "trunk"), ("tag", ""), ("trunks", ""))
    else:
        yield from (("vlan_mode", "native-untagged"), ("tag", str(native)), ("trunks", ""))


def _ids(vlans: list[int]) -> str:
    return ",".join(str(v) for v in vlans)
