"""What a planner may and must do, written as slow set logic over plain states: the tests' second opinion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from grappe.graph.resource import Resource, Role
from simulated.world import KINDS, ROLES, Case, State, Thing, plain

Altered = Mapping[str, tuple[Thing | None, Thing | None]]


@dataclass(frozen=True)
class Verdict:
    """Names of the objects that may change, those that are refused, and the state to be reached."""

    accepted: frozenset[str]
    refused: frozenset[str]
    final: State
    changes: Altered
    foreign: frozenset[str]
    undeclared: frozenset[str]


def judge(case: Case, seen: State) -> Verdict:
    """Decide what a plan for this declaration over this state must do."""
    changes, blocked = _compare(case, seen)
    viable = _viable(frozenset(changes), changes, seen, blocked)
    viable = _viable(viable - _circles(viable, changes), changes, seen, blocked)
    final = {n: t.copy() for n, t in seen.items()}
    for name in viable:
        final.pop(name, None)
        after = changes[name][1]
        if after is not None:
            final[name] = after
    refused = blocked | (frozenset(changes) - viable)
    return Verdict(viable, refused, final, changes, *_left_alone(case, seen))


def _compare(case: Case, seen: State) -> tuple[Altered, frozenset[str]]:
    """Objects that differ from the declaration, and those that may not be touched although they differ."""
    changes: dict[str, tuple[Thing | None, Thing | None]] = {}
    blocked = {r.where for d in case.desired for r in d.refusals}
    adopted = {str(k) for k in case.adopted}
    wanted = {str(r.key): r for d in case.desired for r in d.resources}
    absent = {str(k) for d in case.desired for k in d.absent}
    for name, resource in wanted.items():
        was = seen.get(name)
        if resource.role is Role.DERIVED or (was and not _differs(resource, was)):
            continue
        if (was is None and resource.role is Role.MANAGED) or (
            was and (_fixed(resource, was) or (_foreign(name, was) and name not in adopted))
        ):
            blocked.add(name)
        else:
            changes[name] = (was, _overlay(resource, was or Thing()))
    for name, was in seen.items():
        if name in wanted or name in blocked or not _compared(case, name):
            continue
        if _may_vanish(name, was, name in absent and name in adopted):
            changes[name] = (was, None)
        elif name in absent:
            blocked.add(name)
    return changes, frozenset(blocked)


def _compared(case: Case, name: str) -> bool:
    """Whether the declaration says anything about the scope of an object."""
    declared = [k for d in case.desired for k in (*(r.key for r in d.resources), *d.absent)]
    return name.split("/")[0] in {*case.scopes, *(k.scope for k in declared)}


def _left_alone(case: Case, seen: State) -> tuple[frozenset[str], frozenset[str]]:
    """Objects to be reported as not ours, and ours with data that the declaration does not name."""
    named = {r.where for d in case.desired for r in d.refusals}
    named |= {str(k) for d in case.desired for k in (*(r.key for r in d.resources), *d.absent)}
    loose = [n for n in seen if n not in named and _compared(case, n)]
    owned = [n for n in loose if ROLES[n.split("/")[1]] is Role.OWNED]
    return (
        frozenset(n for n in owned if not seen[n].marked),
        frozenset(n for n in owned if seen[n].marked and KINDS[n.split("/")[1]].data),
    )


def _may_vanish(name: str, thing: Thing, agreed: bool) -> bool:
    kind = name.split("/")[1]
    return ROLES[kind] is Role.OWNED and not KINDS[kind].data and (thing.marked or agreed)


def _foreign(name: str, thing: Thing) -> bool:
    return ROLES[name.split("/")[1]] is Role.OWNED and not thing.marked


def _declared(resource: Resource) -> Iterable[tuple[str, str, object]]:
    for facet in ("running", "persistent"):
        for name, value in getattr(resource, facet).items():
            yield facet, name, plain(value)


def _differs(resource: Resource, was: Thing) -> bool:
    unlike = any(getattr(was, f).get(n) != v for f, n, v in _declared(resource))
    return unlike or _foreign(str(resource.key), was)


def _fixed(resource: Resource, was: Thing) -> bool:
    return any(
        getattr(was, f).get(n) != v for f, n, v in _declared(resource) if n in KINDS[resource.key.kind].fixed
    )


def _overlay(resource: Resource, was: Thing) -> Thing:
    thing = was.copy()
    for facet, name, value in _declared(resource):
        getattr(thing, facet)[name] = value
    thing.marked = resource.marked
    return thing


def _viable(
    candidates: frozenset[str], changes: Altered, seen: State, blocked: frozenset[str]
) -> frozenset[str]:
    """The largest set of changes in which each finds all that it waits for."""
    kept = candidates
    while True:
        fewer = frozenset(
            n
            for n in kept
            if _finds_needs(n, kept, changes, seen, blocked)
            and _finds_claims(n, kept, changes, seen)
            and _may_go(n, kept, changes, seen)
        )
        if fewer == kept:
            return kept
        kept = fewer


def _needs(thing: Thing | None) -> frozenset[str]:
    return frozenset(thing.needs) if thing else frozenset()


def _claims(thing: Thing | None) -> frozenset[str]:
    return frozenset(thing.claims) if thing else frozenset()


def _finds_needs(
    name: str, kept: frozenset[str], changes: Altered, seen: State, blocked: frozenset[str]
) -> bool:
    return all(
        need not in blocked
        and (need in seen or need in changes)
        and (need not in changes or (need in kept and changes[need][1] is not None))
        for need in _needs(changes[name][1])
    )


def _taker(claim: str, holder: str, changes: Altered) -> str | None:
    """Who is to have a token after the plan: who has it now and keeps it, else the first by name."""
    scope = holder.split("/")[0]
    asking = sorted(n for n in changes if n.split("/")[0] == scope and claim in _claims(changes[n][1]))
    keeping = [n for n in asking if claim in _claims(changes[n][0])]
    return (keeping + asking)[0] if asking else None


def _finds_claims(name: str, kept: frozenset[str], changes: Altered, seen: State) -> bool:
    scope = name.split("/")[0]
    for claim in _claims(changes[name][1]):
        if _taker(claim, name, changes) != name:
            return False
        for holder, thing in seen.items():
            gives = holder in changes and claim not in _claims(changes[holder][1]) and holder in kept
            if holder.split("/")[0] == scope and holder != name and claim in thing.claims and not gives:
                return False
    return all(
        (taker := _taker(claim, name, changes)) is None or taker in kept
        for claim in _claims(changes[name][0]) - _claims(changes[name][1])
    )


def _may_go(name: str, kept: frozenset[str], changes: Altered, seen: State) -> bool:
    if changes[name][1] is not None:
        return True
    users = {n for n, t in seen.items() if name in t.needs}
    staying = any(n not in kept or name in _needs(changes[n][1]) for n in users)
    return not staying and not any(name in _needs(after) for _, after in changes.values())


def waits(viable: Iterable[str], changes: Altered) -> tuple[set[tuple[str, str]], ...]:
    """Pairs (first, then): what must be so, and what should be so: users after an update of their need."""
    must: set[tuple[str, str]] = set()
    should: set[tuple[str, str]] = set()
    names = set(viable)
    for name in names:
        before, after = changes[name]
        for need in _needs(after) & names:
            (must if changes[need][0] is None else should).add((need, name))
        for need in (_needs(before) - _needs(after)) & names:
            if changes[need][1] is None:
                must.add((name, need))
        for claim in _claims(before) - _claims(after):
            taker = _taker(claim, name, changes)
            if taker in names and taker is not None:
                must |= {(name, taker), (taker, name)}
    return must, should


def reach(names: Iterable[str], pairs: set[tuple[str, str]]) -> dict[str, set[str]]:
    """Transitive closure, by brute force."""
    far = {n: {b for a, b in pairs if a == n} for n in names}
    changed = True
    while changed:
        changed = False
        for found in far.values():
            more = set().union(*(far[f] for f in found)) if found else set()
            if not more <= found:
                found |= more
                changed = True
    return far


def _circles(viable: frozenset[str], changes: Altered) -> frozenset[str]:
    """Changes that wait for each other over several devices."""
    must, should = waits(viable, changes)
    wide = _wide(viable, must | should)
    soft = {(a, b) for a, b in should if not any(a in c and b in c for c in wide)}
    return frozenset().union(*_wide(viable, must | soft))


def _wide(viable: frozenset[str], pairs: set[tuple[str, str]]) -> list[frozenset[str]]:
    far = reach(viable, pairs)

    def mutual(name: str) -> frozenset[str]:
        return frozenset(m for m in far[name] if name in far[m])

    return [c for c in {mutual(n) for n in viable} if len({n.split("/")[0] for n in c}) > 1]
