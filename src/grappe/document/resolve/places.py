"""Places: as people write them in `accept:`, as findings name them, and where they stand in the file.

The full form of a place follows the file: `networks.LAN`, `pools.kvm.hosts.h1.addresses.LAN`. `hosts.h1` is
short for `pools.POOL.hosts.h1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from grappe.document.resolve.context import Context
from grappe.model.site import Acknowledgement, Path

_INDEX = re.compile(r"\[(\d+)\]")
_FROM_POOL = frozenset({"attach", "bonds", "datapath"})
"""What a host takes from its pool unless it says otherwise."""


def resolve_accept(context: Context) -> tuple[Acknowledgement, ...]:
    """Acknowledgements, each with the full form of the place it is about."""
    pools = {name: host.pool for name, host in context.hosts.items()}
    made = []
    for index, shape in enumerate(context.shape.accept):
        place: Path = ("accept", index)
        at = split(shape.at, _known(context))
        _complain_unknown_place(context, (*place, "at"), at)
        made.append(
            Acknowledgement(finding=shape.finding, at=full(at, pools), reason=shape.reason, place=place)
        )
    return tuple(made)


def _known(context: Context) -> dict[str, frozenset[str]]:
    return {
        "fabrics": frozenset(context.fabrics),
        "hosts": frozenset(context.hosts),
        "networks": frozenset(context.networks),
        "pools": frozenset(context.pools),
        "port_groups": frozenset(context.groups_named),
        "switches": frozenset(context.switches),
        "vms": frozenset(context.vms),
    }


def split(text: str, known: Mapping[str, Iterable[str]]) -> Path:
    """Split `networks.LAN.subnet` or `vms.web1.nics[0]`. Names may contain dots: known ones stay whole."""
    root, _, rest = text.partition(".")
    whole = max(
        (n for n in known.get(root, ()) if f"{rest}.".startswith((f"{n}.", f"{n}["))), key=len, default=""
    )
    parts = [root, *([whole] if whole else []), *_parts(rest[len(whole) :])]
    return tuple(part for part in parts if part != "")


def _parts(text: str) -> Iterator[str | int]:
    for word in _INDEX.sub(r".[\1", text).split("."):
        if word:
            yield int(word[1:]) if word.startswith("[") else word


def full(path: Path, pools: Mapping[str, str]) -> Path:
    """Return the full form of a place; `pools` gives each host's pool."""
    if len(path) > 1 and path[0] == "hosts" and str(path[1]) in pools:
        return ("pools", pools[str(path[1])], *path)
    return path


def _complain_unknown_place(context: Context, path: Path, at: Path) -> None:
    known = _known(context)
    root = str(at[0]) if at else ""
    if root not in known and root not in {"accept", "guard", "removed"}:
        context.complain_unknown(path, "place", root, list(known))
    elif len(at) > 1 and root in known and str(at[1]) not in known[root]:
        context.complain_unknown(path, root.removesuffix("s"), str(at[1]), sorted(known[root]))


def candidates(path: Path, pools: Mapping[str, str], origins: Mapping[str, str]) -> Iterator[Path]:
    """Places of the file where a place of the model may be written, the likeliest first.

    `pools` gives each host's pool, `origins` the network key that a network or port group comes from.
    """
    path = full(path, pools)
    if len(path) > 1 and path[0] == "networks":
        yield ("networks", origins.get(str(path[1]), path[1]), *path[2:])
    elif len(path) > 3 and path[0] == "fabrics" and path[2] == "port_groups":
        yield from candidates(path[2:], pools, origins)
    elif len(path) > 1 and path[0] == "port_groups":
        yield path
        yield ("networks", origins.get(str(path[1]), path[1]))
    else:
        yield path
        if len(path) > 4 and path[0] == "pools" and path[2] == "hosts":
            yield from _host_candidates(path)


def _host_candidates(path: Path) -> Iterator[Path]:
    """A host's address may be named by its network alone, its internal fabric by the fabric's name."""
    host, rest = path[:4], path[4:]
    yield (*host, "addresses", *rest)
    if rest[0] in _FROM_POOL:
        yield (*path[:2], *rest)
    if rest[0] == "attach":
        yield (*host, "attach", "none", *rest[2:])
        yield (*path[:2], "attach", "none", *rest[2:])
