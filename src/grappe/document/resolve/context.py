"""What the resolvers share: the site so far, and how to say what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from grappe.document.problem import START, Problem, did_you_mean, one_of, show
from grappe.document.shape import SiteShape
from grappe.model.site import (
    Bond,
    Fabric,
    Host,
    Network,
    Path,
    Pool,
    PortGroup,
    Storage,
    Switch,
    Vm,
)

_HINTED = 100


@dataclass(slots=True)
class Context:
    """The site under construction. Positions are filled in later, from the paths."""

    shape: SiteShape
    problems: list[Problem] = field(default_factory=list)
    unknown: list[tuple[Problem, str, str]] = field(default_factory=list)
    """Names that do not exist: the problem, the kind, the name."""
    fabrics: dict[str, Fabric] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    by_fabric: dict[str, list[Network]] = field(default_factory=dict)
    port_groups: dict[tuple[str, str], PortGroup] = field(default_factory=dict)
    group_of: dict[str, str] = field(default_factory=dict)
    """Port group name of each network: empty where it needs none, absent with `port_group: false`."""
    groups_named: dict[str, list[PortGroup]] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    switches: dict[str, Switch] = field(default_factory=dict)
    storage: dict[tuple[str, str], Storage] = field(default_factory=dict)
    vms: dict[str, Vm] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    """Network -> the name it was expanded from, `svc100` -> `svc{vlan}`."""
    fabric_in_doubt: bool = False
    """A network's fabric is missing (and said): what follows from its fabric is not."""

    def complain(
        self, path: Path, message: str, expected: str = "", found: object = None, hint: str = ""
    ) -> None:
        """Note what is wrong with what stands at a place; the place itself is put before it later."""
        shown = "" if found is None else show(found)
        self.problems.append(
            Problem(path=path, position=START, message=message, expected=expected, found=shown, hint=hint)
        )

    def complain_unknown(
        self, path: Path, kind: str, name: str, known: Collection[str], hint: str = ""
    ) -> None:
        """Note a name that nothing has. Looking for the nearest one is dear: the first hundred get it."""
        near = did_you_mean(name, known) if len(self.unknown) < _HINTED else ""
        problem = Problem(
            path=path,
            position=START,
            message=f"unknown {kind} {show(name)}",
            expected=one_of(known, kind),
            hint=hint or near or ("" if known else f"no {kind} is declared"),
        )
        self.unknown.append((problem, kind, name))

    def select(self, path: Path, patterns: Iterable[str], *, item: bool = True) -> tuple[str, ...]:
        """Return the networks that names and patterns stand for, each once, in the order they are written."""
        chosen: dict[str, None] = {}
        for index, pattern in enumerate(patterns):
            place = (*path, index) if item else path
            names = self._matches(pattern)
            if not names:
                self._complain_no_match(place, pattern)
            chosen.update(dict.fromkeys(names))
        return tuple(chosen)

    def _matches(self, pattern: str) -> list[str]:
        if pattern in self.networks:
            return [pattern]
        if any(c in pattern for c in "*?["):
            return [name for name in self.networks if fnmatchcase(name, pattern)]
        return []

    def _complain_no_match(self, path: Path, pattern: str) -> None:
        if any(c in pattern for c in "*?["):
            self.complain(path, f"no network matches {show(pattern)}", one_of(self.networks, "network"))
        else:
            self.complain_unknown(path, "network", pattern, self.networks)

    def network(self, path: Path, name: str) -> Network | None:
        """Return a network by name, or say that there is none."""
        network = self.networks.get(name)
        if network is None:
            self.complain_unknown(path, "network", name, self.networks)
        return network

    def common_fabric(self, path: Path, names: Iterable[str]) -> str | None:
        """Return the one fabric of several networks; None, and said, when they are on more than one."""
        fabrics = {self.networks[name].fabric: name for name in names}
        if len(fabrics) > 1 and not self.fabric_in_doubt:
            listed = ", ".join(f"{n} is on {f}" for f, n in fabrics.items())
            self.complain(path, "networks of several fabrics", "networks of one fabric", hint=listed)
        return next(iter(fabrics)) if len(fabrics) == 1 else None

    def untagged(self, path: Path, names: Iterable[str], native: str | None) -> str | None:
        """Return the network that crosses untagged: the one said, else the one without VLAN. Two: said."""
        plain = [name for name in names if self.networks[name].vlan is None and name != native]
        if native is not None and plain:
            self.complain(path, f"two untagged networks, {show(native)} and {show(plain[0])}", "one")
        return native or (plain[0] if plain else None)


def make_bonds(context: Context, shapes: Iterable[tuple[str, Bond, Path]]) -> dict[str, Bond]:
    """Return bonds by name; a member of two bonds is said."""
    bonds: dict[str, Bond] = {}
    owner: dict[str, str] = {}
    for name, bond, place in shapes:
        for member in bond.members:
            if member in owner:
                context.complain((*place, "members"), f"{member} is already a member of {owner[member]}")
            owner.setdefault(member, name)
        bonds[name] = bond
    return bonds
