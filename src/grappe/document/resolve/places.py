"""Places that people write (`networks.LAN`) and places of the model (`hosts.h1`), one form for both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from grappe.document.problem import show
from grappe.document.resolve.context import Context
from grappe.model.site import Acknowledgement, Path

_INDEX = re.compile(r"\[(\d+)\]")
_ROOTS = (
    "accept",
    "fabrics",
    "guard",
    "hosts",
    "networks",
    "pools",
    "port_groups",
    "removed",
    "storage",
    "switches",
    "vms",
)


def resolve_accept(context: Context) -> tuple[Acknowledgement, ...]:
    """Acknowledgements, with the place they are about in the model's form."""
    made = []
    for index, shape in enumerate(context.shape.accept):
        place: Path = ("accept", index)
        at = canonical(split(shape.at, _known(context)))
        _complain_unknown_place(context, (*place, "at"), at)
        made.append(Acknowledgement(finding=shape.finding, at=at, reason=shape.reason, place=place))
    return tuple(made)


def _known(context: Context) -> dict[str, Iterable[str]]:
    return {
        "fabrics": context.fabrics,
        "hosts": context.hosts,
        "networks": context.networks,
        "pools": context.pools,
        "port_groups": context.groups_named,
        "storage": {pool for pool, _ in context.storage},
        "switches": context.switches,
        "vms": context.vms,
    }


def split(text: str, known: Mapping[str, Iterable[str]]) -> Path:
    """Split `networks.LAN.subnet` or `vms.web1.nics[0]`. Names may contain dots: known ones are kept whole."""
    root, _, rest = text.partition(".")
    whole = sorted(
        (n for n in known.get(root, ()) if rest == n or rest.startswith((f"{n}.", f"{n}["))), key=len
    )
    parts: list[str | int] = [root] if root else []
    if whole:
        parts.append(whole[-1])
        rest = rest[len(whole[-1]) :]
    parts.extend(_parts(rest))
    return tuple(parts)


def _parts(text: str) -> Iterator[str | int]:
    for word in _INDEX.sub(r".[\1", text).split("."):
        if word:
            yield int(word[1:]) if word.startswith("[") else word


def canonical(path: Path) -> Path:
    """`pools.P.hosts.H…` is `hosts.H…`, for hosts have names of their own; likewise storage."""
    if len(path) >= 4 and path[0] == "pools" and path[2] == "hosts":
        return ("hosts", *path[3:])
    if len(path) >= 4 and path[0] == "pools" and path[2] == "storage":
        return ("storage", path[1], *path[3:])
    return path


def _complain_unknown_place(context: Context, path: Path, at: Path) -> None:
    if at[0] not in _ROOTS:
        context.complain_unknown(path, "place", str(at[0]), _ROOTS)
        return
    names = _known(context).get(str(at[0]))
    if names is not None and len(at) > 1 and at[1] not in names:
        context.complain_unknown(path, str(at[0]).removesuffix("s"), str(at[1]), list(names))


def candidates(path: Path, pools: Mapping[str, str], templates: Mapping[str, str]) -> Iterator[Path]:
    """Places in the file where a place of the model may stand, the likeliest first.

    `pools` gives each host's pool, `templates` the name a network was expanded from.
    """
    head = path[0] if path else ""
    if head == "hosts" and len(path) > 1 and str(path[1]) in pools:
        pool = pools[str(path[1])]
        yield ("pools", pool, "hosts", *path[1:])
        if len(path) > 3:
            yield ("pools", pool, *path[2:])
    elif head == "storage" and len(path) > 2:
        yield ("pools", path[1], "storage", *path[2:])
    elif head == "networks" and len(path) > 1:
        yield ("networks", templates.get(str(path[1]), path[1]), *path[2:])
    elif head == "port_groups" and len(path) > 1:
        yield path
        yield ("networks", templates.get(str(path[-1]), path[-1]))
    else:
        yield path
