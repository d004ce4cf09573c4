"""Leaves of the declaration: how each is written, what it becomes, and its JSON Schema.

A leaf arrives as the text that stands in the file. Each type here turns it into the model's value or says
what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from grappe.document.problem import did_you_mean, one_of
from grappe.model.site import BondMode, Datapath, Platform, PortRef, Role, SpanningTree
from grappe.model.units import Bytes, Mac, Mtu, VlanId, parse_mac, parse_size, parse_vlans

NOT_YET = "no platform honours it yet"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,62}")
_TEMPLATE = re.compile(r"(?:[A-Za-z0-9_.+-]|\{vlan\}){1,63}")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_PCI = re.compile(r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,6})\s*(s|sec|seconds?|m|min|minutes?|)")
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})

MIN_MTU = 68
MAX_MTU = 65535
MIN_GUARD, MAX_GUARD = 10, 3600


def expected(what: str, hint: str = "", message: str = "") -> PydanticCustomError:
    """Return the error of a leaf: what should stand there. With `message`, what is wrong in so many words."""
    context = {"expected": what, "hint": hint, "message": message}
    return PydanticCustomError("grappe", "{expected}", context)


def word(value: object, what: str) -> str:
    """Return the text of a scalar; a mapping, a list or nothing is not one."""
    if not isinstance(value, str) or not value.strip():
        raise expected(what)
    return value.strip()


def _leaf(parse: Callable[[str], Any], what: str) -> PlainValidator:
    """Return a validator that parses a scalar; a ValueError with `expected …` says more than `what`."""

    def validate(value: object) -> Any:
        text = word(value, what)
        try:
            return parse(text)
        except PydanticCustomError:
            raise
        except ValueError as error:
            said, _, _ = str(error).partition(", found")
            raise expected(said.removeprefix("expected ") if said.startswith("expected ") else what) from None

    return PlainValidator(validate)


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError(f"expected {what}")
        return text

    return parse


def _schema(kinds: list[str], description: str = "", **more: Any) -> WithJsonSchema:
    given = {"type": kinds if len(kinds) > 1 else kinds[0], **more}
    return WithJsonSchema({**given, "description": description} if description else given)


_NAME_WORDS = "a name of letters, digits, _ . + - (at most 63)"
_TEMPLATE_WORDS = "a name of letters, digits, _ . + -, with {vlan} where a range of VLANs counts"
_INTERFACE_WORDS = "an interface name (at most 15 letters, digits, _ . -)"

Text = Annotated[str, _leaf(str, "text"), _schema(["string", "number"])]
Name = Annotated[str, _leaf(_matching(_NAME, _NAME_WORDS), _NAME_WORDS), _schema(["string", "integer"])]
NetworkName = Annotated[
    str, _leaf(_matching(_TEMPLATE, _TEMPLATE_WORDS), _TEMPLATE_WORDS), _schema(["string", "integer"])
]
InterfaceName = Annotated[
    str, _leaf(_matching(_INTERFACE, _INTERFACE_WORDS), _INTERFACE_WORDS), _schema(["string"], maxLength=15)
]
IpText = Annotated[
    str,
    _leaf(str, "an IP address"),
    _schema(["string", "number"], "an address, or its end: .30 or ::30, completed from the subnet"),
]


def _subnet(text: str) -> str:
    if "/" not in text:
        raise ValueError("expected a subnet with its prefix length, such as 192.168.10.0/24")
    return text


SubnetText = Annotated[
    str, _leaf(_subnet, "a subnet such as 192.168.10.0/24"), _schema(["string"], pattern="/")
]


def _mtu(text: str) -> Mtu:
    if not text.isdecimal() or not MIN_MTU <= int(text) <= MAX_MTU:
        raise ValueError
    return Mtu(int(text))


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 4096:
        raise ValueError
    return int(text)


def _port_number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError
    return int(text)


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError
    return text.lower() in _TRUE


def _size(text: str) -> Bytes:
    size = parse_size(text)
    if not size:
        raise ValueError("expected a size above zero")
    return size


def _seconds(text: str) -> int:
    match = _SECONDS.fullmatch(text)
    seconds = int(match[1]) * (60 if match[2].startswith("m") else 1) if match else 0
    if not MIN_GUARD <= seconds <= MAX_GUARD:
        raise ValueError
    return seconds


def _absolute(text: str) -> str:
    if re.match(r"[a-z][a-z0-9+.-]*://", text):
        raise expected("a path on the host", message="no platform honours a URL yet")
    if not text.startswith("/") or "\0" in text or "\n" in text:
        raise ValueError
    return text


def _cable(text: str) -> PortRef:
    switch, slash, port = text.partition("/")
    if not (switch and slash and port):
        raise ValueError
    return PortRef(switch=switch, port=port)


Vlans = Annotated[
    tuple[VlanId, ...],
    _leaf(parse_vlans, "VLAN ids such as 10 or 100-109"),
    _schema(["integer", "string"], minimum=1, maximum=4094, pattern=r"^[0-9, -]+$"),
]
MtuField = Annotated[
    Mtu,
    _leaf(_mtu, f"an MTU from {MIN_MTU} to {MAX_MTU}"),
    _schema(["integer"], minimum=MIN_MTU, maximum=MAX_MTU),
]
Count = Annotated[int, _leaf(_count, "a whole number from 1 to 4096"), _schema(["integer"], minimum=1)]
TcpPort = Annotated[
    int, _leaf(_port_number, "a TCP port from 1 to 65535"), _schema(["integer"], minimum=1, maximum=65535)
]
Size = Annotated[
    Bytes, _leaf(_size, "a size such as 512M, 3G or 1.5T"), _schema(["string", "integer"], examples=["3G"])
]
Boolean = Annotated[
    bool,
    _leaf(_boolean, "true or false"),
    WithJsonSchema({"enum": [True, False, *sorted(_TRUE | _FALSE)]}),
]
Seconds = Annotated[
    int,
    _leaf(_seconds, f"a time from {MIN_GUARD}s to {MAX_GUARD // 60}m, such as 60s"),
    _schema(["integer", "string"], examples=["60s"]),
]
MacField = Annotated[
    Mac, _leaf(parse_mac, "a MAC address such as 52:54:00:12:34:56"), _schema(["string"], minLength=12)
]
PciField = Annotated[
    str,
    _leaf(_matching(_PCI, "a PCI address such as 0000:03:00.0"), "a PCI address such as 0000:03:00.0"),
    _schema(["string"], pattern=_PCI.pattern.replace("0-9a-f", "0-9a-fA-F")),
]
AbsolutePath = Annotated[
    str,
    _leaf(_absolute, "an absolute path such as /var/lib/libvirt/images"),
    _schema(["string"], pattern="^/"),
]
Cable = Annotated[
    PortRef,
    _leaf(_cable, "SWITCH/PORT, such as sw1/p1"),
    _schema(["string"], "SWITCH/PORT at the other end of the cable", pattern="^[^/]+/.+$"),
]


def _choice(enum: type[StrEnum], what: str, offered: tuple[StrEnum, ...], later: tuple[str, ...] = ()) -> Any:
    names = [str(member) for member in offered]

    def validate(value: object) -> StrEnum:
        text = word(value, one_of(names)).lower()
        if text in names:
            return enum(text)
        if text in later:
            raise expected(one_of(names), message=f"Grappe has no {what} {text} yet")
        raise expected(one_of(names), did_you_mean(text, [*names, *later]))

    return PlainValidator(validate), WithJsonSchema({"enum": names})


_pool = _choice(Platform, "platform", (Platform.KVM,), ("xcp-ng", "proxmox", "xen"))
_switch = _choice(Platform, "platform", (Platform.OVS_SWITCH, Platform.UNMANAGED), ("routeros",))
_role = _choice(Role, "role", tuple(Role))
_datapath = _choice(Datapath, "datapath", tuple(Datapath))
_tree = _choice(SpanningTree, "spanning tree", tuple(SpanningTree))
_mode = _choice(BondMode, "bond mode", tuple(BondMode))

PoolPlatform = Annotated[Platform, _pool[0], _pool[1]]
SwitchPlatform = Annotated[Platform, _switch[0], _switch[1]]
RoleField = Annotated[Role, _role[0], _role[1]]
DatapathField = Annotated[Datapath, _datapath[0], _datapath[1]]
SpanningTreeField = Annotated[SpanningTree, _tree[0], _tree[1]]
BondModeField = Annotated[BondMode, _mode[0], _mode[1]]


def _dir_only(value: object) -> str:
    kind = word(value, "dir").lower()
    if kind == "dir":
        return kind
    if kind in {"lvm", "nfs", "zfs", "rbd", "ceph", "iscsi", "linstor", "drbd"}:
        raise expected("dir", message=f"no platform honours storage type {kind} yet")
    raise expected("dir", did_you_mean(kind, ["dir"]))


StorageKind = Annotated[str, PlainValidator(_dir_only), WithJsonSchema({"enum": ["dir"]})]


def _refuse(_value: object) -> None:
    raise expected("", message=NOT_YET)


Unhonoured = Annotated[
    None, PlainValidator(_refuse), WithJsonSchema({"not": {}, "description": f"{NOT_YET.capitalize()}."})
]


def _bridge(text: str) -> str:
    """Return a bridge name; empty for `false`."""
    return "" if text.lower() in _FALSE else _matching(_INTERFACE, _INTERFACE_WORDS)(text)


BridgeField = Annotated[
    str,
    _leaf(_bridge, _INTERFACE_WORDS),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": 15}, {"const": False}]}),
]


def _state(text: str) -> bool:
    if text.lower() not in {"running", "stopped"}:
        raise ValueError
    return text.lower() == "running"


PortGroupField = Annotated[
    str,
    _leaf(
        lambda text: "" if text.lower() in _FALSE else _matching(_TEMPLATE, _TEMPLATE_WORDS)(text),
        _TEMPLATE_WORDS,
    ),
    WithJsonSchema({"anyOf": [{"type": ["string", "integer"]}, {"const": False}]}),
]
State = Annotated[bool, _leaf(_state, "running or stopped"), WithJsonSchema({"enum": ["running", "stopped"]})]


def _guest(text: str) -> str:
    if text != "test-guest":
        raise ValueError
    return text


GuestName = Annotated[
    str,
    _leaf(_guest, "test-guest, {kernel: PATH, initrd: PATH} or {image: PATH}"),
    WithJsonSchema({"const": "test-guest"}),
]


def one_or_more(value: object) -> object:
    """A single scalar where a list may stand."""
    return [value] if isinstance(value, str) else value


class OneOrMore:
    """Marks a list that may be written as one scalar."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(one_or_more, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        array = handler(schema)
        return {"anyOf": [array["items"], array]}
