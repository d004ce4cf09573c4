"""What pydantic says about the shape -> problems in the file's words; and the file without what is wrong.

The second is how one run reports everything: the wrong leaves are taken out, and the rest is looked at for
names that do not exist.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from grappe.document.problem import Position, Problem, did_you_mean, dotted, nearest, one_of, show
from grappe.document.shape import SiteShape
from grappe.document.source import Data, Node
from grappe.model.site import Path

_KEY = "[key]"
_ROUNDS = 20
_FORMS = {"dict_type": "a mapping", "list_type": "a list", "string_type": "text", "model_type": "a mapping"}


def locate(root: Node, path: Path, *, key: bool = False) -> Position:
    """Return the place of a path, or of its nearest ancestor that is in the file.

    A scalar stands where its text is, a collection where its key is; with `key`, the key's place anyway.
    Parts that only the long form has (`networks` of `eth0: [LAN]`) are passed over.
    """
    node, at = root, root.position
    for part in path:
        child = node.child(part)
        if child is None:
            continue
        at = child.position
        key_at = node.keys.get(str(part))
        if key_at is not None and (key or not isinstance(child.value, str)):
            at = key_at
        node = child
    return at


def check_shape(root: Node) -> tuple[SiteShape | None, list[Problem]]:
    """Validate the tree. Returns the shape (of what is left when something is wrong) and the problems."""
    data = root.data()
    problems: list[Problem] = []
    for _ in range(_ROUNDS):
        try:
            return SiteShape.model_validate(data), problems
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=True)
        if not problems:
            problems = _problems(root, details)
        data = _mended(data, root, details)
    return None, problems


def _problems(root: Node, details: Sequence[ErrorDetails]) -> list[Problem]:
    """Every problem, but a missing key that is there and misspelt is told once."""
    misspelt = {
        (*detail["loc"][:-1], meant)
        for detail in details
        if detail["type"] == "extra_forbidden"
        and (meant := nearest(str(detail["loc"][-1]), _keys(detail["loc"][:-1])))
    }
    return [_problem(root, d) for d in details if d["type"] != "missing" or d["loc"] not in misspelt]


def _mended(data: Data, root: Node, details: Sequence[ErrorDetails]) -> Data:
    """Return the data without what is wrong; a key that must be there gets a value that stands in for it."""
    places = [written_part(root, detail["loc"]) for detail in details]
    mended = _without(
        data, [place for place, d in zip(places, details, strict=True) if d["type"] != "missing"]
    )
    for detail in details:
        _stand_in(mended, tuple(part for part in detail["loc"] if part != _KEY))
    return mended


_STAND_INS: dict[str, Data] = {
    "site": "site",
    "platform": "kvm",
    "memory": "1G",
    "size": "1G",
    "boot": "test-guest",
    "mode": "lacp",
    "path": "/",
    "reason": "-",
}


def _stand_in(data: Data, loc: Path) -> None:
    """Put a right value for a required key, where its mapping is still there."""
    owner, key = data, str(loc[-1]) if loc else ""
    for part in loc[:-1]:
        if isinstance(owner, dict) and part in owner:
            owner = owner[str(part)]
        elif isinstance(owner, list) and isinstance(part, int) and part < len(owner):
            owner = owner[part]
        else:
            return
    if isinstance(owner, dict) and key in _STAND_INS and key not in owner:
        owner[key] = "unmanaged" if loc[0] == "switches" and key == "platform" else _STAND_INS[key]


def written_part(root: Node, loc: Sequence[str | int]) -> Path:
    """Return the part of a place that stands in the file."""
    node, path = root, []
    for part in loc:
        child = node.child(part)
        if child is not None:
            path.append(part)
            node = child
    return tuple(path)


def _problem(root: Node, detail: ErrorDetails) -> Problem:
    loc = tuple(part for part in detail["loc"] if part != _KEY)
    if detail["type"] == "extra_forbidden":
        return _unknown_key(root, loc)
    if detail["type"] == "missing":
        return _missing(root, loc)
    context = detail.get("ctx", {})
    expected = str(context.get("expected", _FORMS.get(detail["type"], detail["msg"])))
    message = str(context.get("message") or "")
    place = dotted(written_part(root, loc))
    value = loc[-1] if detail["loc"][-1:] == (_KEY,) else detail["input"]
    return Problem(
        path=loc,
        position=locate(root, loc, key=detail["loc"][-1:] == (_KEY,)),
        message=f"{place}: {message}" if message else place,
        expected=expected,
        found="" if message else show(value),
        hint=str(context.get("hint") or ""),
    )


def _unknown_key(root: Node, loc: Path) -> Problem:
    key, owner = str(loc[-1]), loc[:-1]
    known = _keys(owner)
    return Problem(
        path=loc,
        position=locate(root, loc, key=True),
        message=f"{dotted(owner)}: unknown key {show(key)}" if owner else f"unknown key {show(key)}",
        expected=one_of(known, "key") if len(known) <= 8 else "",
        hint=did_you_mean(key, known) or (f"known are {', '.join(known)}" if len(known) > 8 else ""),
    )


def _keys(owner: Sequence[str | int]) -> list[str]:
    """Keys that may stand in the mapping at a place, without those that are only refused by name."""
    shape = shape_at(owner)
    return [k for k, f in shape.model_fields.items() if f.annotation is not type(None)] if shape else []


def _missing(root: Node, loc: Path) -> Problem:
    key, owner = str(loc[-1]), loc[:-1]
    shape = shape_at(owner)
    field = shape.model_fields.get(key) if shape else None
    meaning = (field.description or "").rstrip(".") if field else ""
    return Problem(
        path=loc,
        position=locate(root, owner, key=True),
        message=f"{dotted(written_part(root, owner))}: {key} is missing" if owner else f"{key} is missing",
        expected=f"{meaning[:1].lower()}{meaning[1:]}",
    )


def shape_at(path: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the shape that describes the mapping at a place of the file, or None."""
    here: Any = SiteShape
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = _bare(field.annotation) if field else None
        else:
            here = _bare(typing.get_args(here)[-1]) if typing.get_args(here) else None
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """Strip Annotated and `| None`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    rest = [a for a in typing.get_args(annotation) if a is not type(None)]
    return _bare(rest[0]) if type(None) in typing.get_args(annotation) and rest else annotation


def _without(data: Data, paths: Sequence[Path]) -> Data:
    """Return the data without the values at these places; the root itself becomes empty."""
    here = {path[0] for path in paths if len(path) == 1}
    if not isinstance(data, (dict, list)):
        return {}
    below: dict[str | int, list[Path]] = {}
    for path in paths:
        if len(path) > 1:
            below.setdefault(path[0], []).append(path[1:])
    if () in paths:
        return {}
    if isinstance(data, list):
        kept = [(i, v) for i, v in enumerate(data) if i not in here]
        return [_without(v, below[i]) if i in below else v for i, v in kept]
    return {k: _without(v, below[k]) if k in below else v for k, v in data.items() if k not in here}
