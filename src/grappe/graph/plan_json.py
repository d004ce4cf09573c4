"""A plan as a file: versioned JSON that a person can review and a later `apply` carries out as it stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from grappe import __version__
from grappe.graph.change import Change
from grappe.graph.plan import Disruption, Level, Plan, Stage, Step
from grappe.graph.resource import Attributes, Key, Refusal, Resource, Role, Value
from grappe.model.script import Command, Script

FORMAT = "grappe/plan/1"
"""Name and version: a new key does not change it, a changed one does. Another version is refused."""

_NAME = "grappe/plan/"

Json = dict[str, Any]


class PlanFileError(ValueError):
    """A file that cannot be carried out: no plan, another version's, or made from another declaration."""


def dump(plan: Plan) -> str:
    """Write a plan as JSON text with a sum over it. The same plan gives the same text."""
    data = to_json(plan)
    return json.dumps({**data, "sum": _sum(data)}, indent=1, ensure_ascii=True) + "\n"


def _sum(data: Json) -> str:
    """SHA-256 of what a plan says; layout and order of keys do not count."""
    text = json.dumps({k: v for k, v in data.items() if k != "sum"}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load(text: str, *, digest: str | None = None) -> Plan:
    """Read what `dump` wrote.

    With `digest`, the plan must have been made from that declaration. Raises PlanFileError, also when the
    text is not what was written: a plan is carried out as it was reviewed.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        found = f"found {text.strip()[:40]!r}" if text.strip() else "found an empty file"
        raise PlanFileError(f"expected a plan in JSON, {found} ({error})") from error
    plan = from_json(data, digest=digest)
    if data.get("sum") != _sum(data):
        raise PlanFileError("the plan is not as it was written (its sum is wrong): plan again")
    return plan


def to_json(plan: Plan) -> Json:
    """A plan in JSON's own types."""
    return {
        "format": FORMAT,
        "grappe": __version__,
        "site": plan.site,
        "digest": plan.digest,
        "stages": [_stage(stage) for stage in plan.stages],
        "refusals": [
            {"code": r.code, "where": r.where, "message": r.message, "hint": r.hint} for r in plan.refusals
        ],
        "frozen": dict(plan.frozen),
        "foreign": [_key(key) for key in plan.foreign],
        "undeclared": [_key(key) for key in plan.undeclared],
    }


def from_json(data: object, *, digest: str | None = None) -> Plan:
    """Read what `to_json` made. Raises PlanFileError."""
    if not isinstance(data, dict) or not str(data.get("format")).startswith(_NAME):
        found = (
            f"format {data.get('format')!r}" if isinstance(data, dict) else f"a JSON {type(data).__name__}"
        )
        raise PlanFileError(f"expected a plan (format {FORMAT}), found {found}")
    _supported(str(data["format"]), str(data.get("grappe")))
    try:
        plan = _read_plan(data)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise PlanFileError(f"the plan is damaged: {type(error).__name__}: {error}") from error
    if digest is not None and plan.digest != digest:
        raise PlanFileError(
            "the declaration has changed since the plan was made "
            f"(its digest was {plan.digest[:12]}, now {digest[:12]}): plan again"
        )
    return plan


def _supported(found: str, program: str) -> None:
    if found != FORMAT:
        raise PlanFileError(
            f"expected a plan of version {FORMAT.removeprefix(_NAME)}, found {found.removeprefix(_NAME)} "
            f"(written by grappe {program}): plan again with this grappe"
        )


def _stage(stage: Stage) -> Json:
    return {"guarded": stage.guarded, "steps": [_step(step) for step in stage.steps]}


def _step(step: Step) -> Json:
    return {
        "scope": step.scope,
        "changes": [
            {"key": _key(c.key), "before": _resource(c.before), "after": _resource(c.after)}
            for c in step.changes
        ],
        "forward": _script(step.forward),
        "undo": _script(step.undo),
        "disruption": {"level": step.disruption.level.name.lower(), "cuts": list(step.disruption.cuts)},
        "irreversible": step.irreversible,
    }


def _script(script: Script) -> list[Json]:
    return [{"argv": list(c.argv), "stdin": c.stdin, "check": c.check} for c in script]


def _key(key: Key) -> list[str]:
    return [key.scope, key.kind, key.name]


def _resource(resource: Resource | None) -> Json | None:
    if resource is None:
        return None
    return {
        "key": _key(resource.key),
        "running": _attributes(resource.running),
        "persistent": _attributes(resource.persistent),
        "role": resource.role.value,
        "needs": sorted(_key(key) for key in resource.needs),
        "claims": sorted(resource.claims),
        "marked": resource.marked,
        "path": resource.path,
        "facts": _attributes(resource.facts),
    }


def _attributes(attributes: Attributes) -> Json:
    return {name: _value(value) for name, value in sorted(attributes.items())}


def _value(value: Value) -> object:
    """JSON has neither tuples nor sets: each is an object with one member that says which it is."""
    if isinstance(value, tuple):
        return {"list": [_value(v) for v in value]}
    if isinstance(value, frozenset):
        return {"set": sorted(value)}
    return value


def _read_plan(data: Json) -> Plan:
    return Plan(
        site=data["site"],
        digest=data["digest"],
        stages=tuple(
            Stage(tuple(_read_step(step) for step in stage["steps"]), bool(stage["guarded"]))
            for stage in data["stages"]
        ),
        refusals=tuple(Refusal(**r) for r in data["refusals"]),
        frozen=dict(data["frozen"]),
        foreign=tuple(Key(*k) for k in data["foreign"]),
        undeclared=tuple(Key(*k) for k in data["undeclared"]),
    )


def _read_step(data: Json) -> Step:
    return Step(
        scope=data["scope"],
        changes=tuple(
            Change(Key(*c["key"]), _read_resource(c["before"]), _read_resource(c["after"]))
            for c in data["changes"]
        ),
        forward=_read_script(data["forward"]),
        undo=_read_script(data["undo"]),
        disruption=Disruption(Level[data["disruption"]["level"].upper()], tuple(data["disruption"]["cuts"])),
        irreversible=data["irreversible"],
    )


def _read_script(data: list[Json]) -> Script:
    return tuple(Command(tuple(c["argv"]), c["stdin"], c["check"]) for c in data)


def _read_resource(data: Json | None) -> Resource | None:
    if data is None:
        return None
    return Resource(
        key=Key(*data["key"]),
        running=_read_attributes(data["running"]),
        persistent=_read_attributes(data["persistent"]),
        role=Role(data["role"]),
        needs=frozenset(Key(*k) for k in data["needs"]),
        claims=frozenset(data["claims"]),
        marked=data["marked"],
        path=data["path"],
        facts=_read_attributes(data["facts"]),
    )


def _read_attributes(data: Mapping[str, Any]) -> dict[str, Value]:
    return {name: _read_value(value) for name, value in data.items()}


def _read_value(data: Any) -> Value:
    if isinstance(data, dict):
        ((kind, members),) = data.items()
        if kind == "set":
            return frozenset(members)
        if kind == "list":
            return tuple(_read_value(m) for m in members)
        raise ValueError(f"unknown kind of value {kind!r}")
    if data is None or isinstance(data, bool | int | str):
        return data
    raise ValueError(f"a value cannot be a {type(data).__name__}")
