"""A Debian host's Open vSwitch, simulated: the part of `ovs-vsctl` that platforms render, with its refusals.

The messages are those of version 3.1; tests/component/test_ovs_contract.py holds this model against the
real ovsdb-server and ovs-vsctl.
"""

from __future__ import annotations

import copy
import json
import re
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from grappe.model.script import Answer, Command, Script

Row = dict[str, Any]

_ENUMS = {
    "vlan_mode": ("access", "dot1q-tunnel", "native-tagged", "native-untagged", "trunk"),
    "lacp": ("active", "off", "passive"),
    "bond_mode": ("active-backup", "balance-slb", "balance-tcp"),
}
_RANGES = {"tag": (0, 4095), "trunks": (0, 4095)}
_BOOLEANS = ("stp_enable", "rstp_enable")
_TABLES: dict[str, Row] = {
    "Bridge": {
        "ports": [],
        "datapath_type": "",
        "other_config": {},
        "external_ids": {},
        "rstp_enable": False,
        "stp_enable": False,
    },
    "Port": {
        "interfaces": [],
        "tag": None,
        "trunks": [],
        "vlan_mode": None,
        "bond_mode": None,
        "lacp": None,
        "external_ids": {},
    },
    "Interface": {"type": "", "mtu_request": None, "mac": None, "error": None, "external_ids": {}},
}


class OvsError(Exception):
    """What ovs-vsctl prints before it exits with status 1; nothing of the transaction happens."""


@dataclass
class SimOvs:
    """The tables of one Open vSwitch, by name."""

    tables: dict[str, dict[str, Row]] = field(default_factory=lambda: {t: {} for t in _TABLES})

    def run(self, script: Script) -> list[Answer]:
        """Carry out commands until one that must succeed fails, as a transport does."""
        answers = []
        for command in script:
            answers.append(self.call(command))
            if command.check and not answers[-1].ok:
                break
        return answers

    def call(self, command: Command) -> Answer:
        """One ovs-vsctl call: a transaction, or one that lists."""
        words = [w for w in command.argv[1:] if not w.startswith(("--timeout", "--format"))]
        verbs = [list(v) for dashes, v in groupby(words, key="--".__eq__) if not dashes]
        before = copy.deepcopy(self.tables)
        try:
            out = "".join(self._verb(v) for v in verbs)
        except OvsError as error:
            self.tables = before
            return Answer(1, "", f"ovs-vsctl: {error}\n")
        return Answer(0, out)

    def _verb(self, words: Sequence[str]) -> str:
        options = [w for w in words if w.startswith("--")]
        verb, *rest = [w for w in words if not w.startswith("--")]
        match verb:
            case "list":
                return self._list(rest[0], options[0].removeprefix("--columns=").split(","))
            case "add-br":
                self._add_bridge(rest[0], may_exist="--may-exist" in options)
            case "add-port" | "add-bond":
                members = rest[2:] or rest[1:2]
                self._add_port(verb, rest, members, may_exist="--may-exist" in options)
            case "del-br":
                self._delete_bridge(rest[0], must_exist="--if-exists" not in options)
            case "del-port":
                self._delete_port(rest[0], must_exist="--if-exists" not in options)
            case "set":
                self._set(rest[0], rest[1], rest[2:])
            case "clear":
                self._row(rest[0], rest[1]).update({c: copy.copy(_TABLES[rest[0]][c]) for c in rest[2:]})
            case "remove":
                self._row(rest[0], rest[1])[rest[2]].pop(rest[3], None)
            case _:
                raise OvsError(f"unknown command '{verb}'; use --help for help")
        return ""

    # --- the shape of a bridge --------------------------------------------------------------------------

    def bridge_of(self, port: str) -> str | None:
        """Name of the bridge that has a port."""
        return next((b for b, row in self.tables["Bridge"].items() if port in row["ports"]), None)

    def _port_of(self, interface: str) -> str | None:
        return next((p for p, row in self.tables["Port"].items() if interface in row["interfaces"]), None)

    def _taken(self, what: str, name: str) -> Iterator[str]:
        """Complaints about a name that is in use, in the order that ovs-vsctl looks."""
        start = f"cannot create {what} named {name} because"
        if name in self.tables["Bridge"]:
            yield f"{start} a bridge named {name} already exists"
        elif name in self.tables["Port"]:
            yield f"{start} a port named {name} already exists on bridge {self.bridge_of(name)}"
        elif name in self.tables["Interface"]:
            bridge = self.bridge_of(self._port_of(name) or "")
            yield f"{start} an interface named {name} already exists on bridge {bridge}"

    def _refuse_taken(self, what: str, name: str) -> None:
        for complaint in self._taken(what, name):
            raise OvsError(complaint)

    def _add_bridge(self, name: str, *, may_exist: bool) -> None:
        if may_exist and name in self.tables["Bridge"]:
            return
        self._refuse_taken("a bridge", name)
        self.tables["Bridge"][name] = copy.deepcopy(_TABLES["Bridge"])
        self._insert_port(name, name, [name])
        self.tables["Interface"][name]["type"] = "internal"

    def _insert_port(self, bridge: str, name: str, interfaces: Iterable[str]) -> None:
        insort(self.tables["Bridge"][bridge]["ports"], name)
        port = self.tables["Port"].setdefault(name, copy.deepcopy(_TABLES["Port"]))
        for interface in interfaces:
            if interface in port["interfaces"]:
                raise OvsError(
                    'transaction error: {"details":"Transaction causes multiple rows in "Interface"'
                )
            port["interfaces"].append(interface)
            self.tables["Interface"][interface] = copy.deepcopy(_TABLES["Interface"])

    def _add_port(self, verb: str, rest: Sequence[str], members: Sequence[str], *, may_exist: bool) -> None:
        bridge, name = rest[0], rest[1]
        if may_exist and name in self.tables["Port"] and name not in self.tables["Bridge"]:
            asked = f'"--may-exist {verb} {" ".join(rest)}" but {name}'
            actual = sorted(self.tables["Port"][name]["interfaces"])
            if self.bridge_of(name) != bridge:
                raise OvsError(f"{asked} is actually attached to bridge {self.bridge_of(name)}")
            if actual != sorted(members):
                raise OvsError(f"{asked} actually has interface(s) {', '.join(actual)}")
            return
        self._refuse_taken("a port", name)
        for member in members:
            self._refuse_taken("an interface", member)
        if bridge not in self.tables["Bridge"]:
            raise OvsError(f"no bridge named {bridge}")
        self._insert_port(bridge, name, members)

    def _delete_bridge(self, name: str, *, must_exist: bool) -> None:
        row = self.tables["Bridge"].pop(name, None)
        if row is None and must_exist:
            raise OvsError(f"no bridge named {name}")
        for port in row["ports"] if row else ():
            self._drop(port)

    def _delete_port(self, name: str, *, must_exist: bool) -> None:
        if name in self.tables["Bridge"]:
            if must_exist:
                raise OvsError(
                    f"cannot delete port {name} because it is the local port for bridge {name} "
                    "(deleting this port requires deleting the entire bridge)"
                )
            return
        bridge = self.bridge_of(name)
        if bridge is None:
            if must_exist:
                raise OvsError(f"no port named {name}")
            return
        self.tables["Bridge"][bridge]["ports"].remove(name)
        self._drop(name)

    def _drop(self, port: str) -> None:
        for interface in self.tables["Port"].pop(port)["interfaces"]:
            del self.tables["Interface"][interface]

    # --- columns ----------------------------------------------------------------------------------------

    def _row(self, table: str, name: str) -> Row:
        try:
            return self.tables[table][name]
        except KeyError:
            raise OvsError(f'no row "{name}" in table {table}') from None

    def _set(self, table: str, name: str, settings: Sequence[str]) -> None:
        row = self._row(table, name)
        for setting in settings:
            column, _, text = setting.partition("=")
            column, _, key = column.partition(":")
            value = _value(column, text)
            if key:
                row[column][key] = value
            else:
                row[column] = value

    def _list(self, table: str, columns: Sequence[str]) -> str:
        rows = [
            [_ovsdb(column, {**row, "name": name, "_uuid": name}[column]) for column in columns]
            for name, row in sorted(self.tables[table].items())
        ]
        return json.dumps({"headings": list(columns), "data": rows}) + "\n"


def _value(column: str, text: str) -> Any:
    if column == "trunks":
        return sorted({_integer(column, t) for t in text.split(",")})
    if column in ("tag", "mtu_request"):
        return _integer(column, text)
    if column in _BOOLEANS:
        if text not in ("true", "false"):
            raise OvsError(f'"{text}" is not a valid boolean (use "true" or "false")')
        return text == "true"
    value = json.loads(text) if text.startswith('"') else text
    allowed = _ENUMS.get(column)
    if allowed and value not in allowed:
        raise OvsError(
            f"constraint violation: {value} is not one of the allowed values ([{', '.join(allowed)}])"
        )
    return value


def _integer(column: str, text: str) -> int:
    if not re.fullmatch(r"-?\d+", text):
        raise OvsError(f'"{text}" is not a valid integer or range')
    low, high = _RANGES.get(column, (0, 1 << 62))
    if not low <= int(text) <= high:
        raise OvsError(f"constraint violation: {text} is not in the valid range {low} to {high} (inclusive)")
    return int(text)


def _ovsdb(column: str, value: Any) -> Any:
    """A value in OVSDB's own JSON (RFC 7047, 5.1); uuids are names here, which nothing looks into."""
    if isinstance(value, dict):
        return ["map", [[k, v] for k, v in sorted(value.items())]]
    if value is None:
        return ["set", []]
    items = value if isinstance(value, list) else [value]
    cells = [["uuid", i] if column in ("_uuid", "ports", "interfaces") else i for i in items]
    return cells[0] if len(cells) == 1 else ["set", cells]
