"""Places: as people write them in `accept:`, as findings name them, and where they stand in the file.

The full form of a place follows the file: `networks.LAN`, `pools.kvm.hosts.h1.addresses.LAN`. `hosts.h1` is
short for `pools.POOL.hosts.h1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from grappe.document.resolve.context import Context
from grappe.model.site import Acknowledgement, Path, Site

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


def origins(site: Site, templates: Mapping[str, str]) -> dict[Path, Path]:
    """Where things stand that the file does not have under their own name.

    `templates` gives the name that each network was expanded from.
    """
    made: dict[Path, Path] = {}
    for host in site.hosts.values():
        made["hosts", host.name] = ("pools", host.pool, "hosts", host.name)
    for network in site.networks.values():
        place = ("networks", templates[network.name])
        made["networks", network.name] = place
        made.setdefault(("fabrics", network.fabric), (*place, "fabric"))
    for group in site.port_groups.values():
        if not group.explicit and group.native:
            made["port_groups", group.name] = ("networks", templates[group.native])
    return made


def candidates(path: Path, known: Mapping[Path, Path]) -> Iterator[Path]:
    """Places of the file where a place of the model may be written, the likeliest first.

    `known` are the `origins` of the site.
    """
    yield path
    origin = known.get(path[:2])
    if origin is not None:
        path = (*origin, *path[2:])
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
