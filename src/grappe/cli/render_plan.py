"""A plan and a drift as text for people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from grappe.graph.change import Action, Change, Difference
from grappe.graph.plan import Plan, Stage, Step
from grappe.graph.resource import Key, Refusal, Resource, Value
from grappe.model.units import format_vlans

SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.ADOPT: "&", Action.REMOVE: "-"}
WORDS = {Action.CREATE: "make", Action.UPDATE: "change", Action.ADOPT: "take over", Action.REMOVE: "remove"}


def value_text(value: Value) -> str:
    """An attribute's value as people read it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset):
        numbers = [v for v in value if isinstance(v, int)]
        return format_vlans(numbers) if numbers else ", ".join(sorted(map(str, value))) or "none"
    if isinstance(value, tuple):
        return ", ".join(value_text(v) for v in value) or "none"
    return str(value) if value != "" else "none"


def change_lines(change: Change, *, scripts: bool = False) -> Iterator[str]:
    """One change: a line for the object, then its attributes; long values on lines of their own."""
    yield f"{SIGNS[change.action]} {change.key.kind} {change.key.name}"
    for facet, name, before, after in change.attributes():
        where = " (next boot)" if facet == "persistent" else ""
        if isinstance(before, tuple) or isinstance(after, tuple):
            yield from _block(name + where, before, after, full=scripts)
        elif change.before is None:
            if after not in (None, "", frozenset()):
                yield f"    {name}{where}: {value_text(after)}"
        elif change.after is not None:
            yield f"    {name}{where}: {value_text(before)} -> {value_text(after)}"


def _block(name: str, before: Value, after: Value, *, full: bool) -> Iterator[str]:
    old = list(map(value_text, before)) if isinstance(before, tuple) else []
    new = list(map(value_text, after)) if isinstance(after, tuple) else []
    gone = [x for x in old if x not in new]
    came = [x for x in new if x not in old]
    if not full and not gone:
        yield f"    {name}: {len(new)} lines"
        return
    yield f"    {name}:"
    yield from (f"      - {line}" for line in gone)
    yield from (f"      + {line}" for line in came)


@dataclass(frozen=True, slots=True)
class PlanText:
    """How much of a plan to show."""

    scripts: bool = False

    def render(self, plan: Plan) -> str:
        """The whole plan."""
        lines = [_headline(plan)]
        for number, stage in enumerate(plan.stages, start=1):
            lines += ["", *self._stage(number, stage)]
        lines += _refusals(plan.refusals)
        lines += [f"left out: {scope}: {reason}" for scope, reason in sorted(plan.frozen.items())]
        lines += _grouped("not declared, holds data, left alone", plan.undeclared)
        lines += _grouped("not ours, left alone", plan.foreign)
        return "\n".join(lines)

    def _stage(self, number: int, stage: Stage) -> Iterator[str]:
        guard = "  GUARDED: each device undoes it by itself if it is cut off" if stage.guarded else ""
        yield f"stage {number}: {', '.join(stage.scopes)}{guard}"
        for scope in stage.scopes:
            for step in stage.of(scope):
                yield f"  {scope}  disruption: {_disruption(step)}"
                if step.irreversible:
                    yield f"    CANNOT BE UNDONE: {step.irreversible}"
                yield from (
                    f"    {line}" for c in step.changes for line in change_lines(c, scripts=self.scripts)
                )
                if self.scripts:
                    yield from _script(step)


def _script(step: Step) -> Iterator[str]:
    import shlex

    for title, script in (("runs", step.forward), ("undo", step.undo)):
        yield f"    {title}:"
        for command in script:
            yield f"      $ {shlex.join(command.argv)}" + (" << EOF" if command.stdin else "")
            if command.stdin:
                yield from (f"      | {line}" for line in command.stdin.splitlines())


def _disruption(step: Step) -> str:
    cuts = f" ({'; '.join(step.disruption.cuts)})" if step.disruption.cuts else ""
    return step.disruption.level.words + cuts


def _headline(plan: Plan) -> str:
    changes = plan.changes
    if not changes:
        blocked = f"; {len(plan.refusals)} refused" if plan.refusals else ""
        return (
            f"{plan.site}: nothing to do, everything is as declared{blocked}"
            if not blocked
            else (f"{plan.site}: nothing can be done{blocked}")
        )
    counts = Counter(c.action for c in changes)
    words = ", ".join(f"{counts[a]} to {WORDS[a]}" for a in Action if counts[a])
    scopes = len({c.key.scope for c in changes})
    devices = "1 device" if scopes == 1 else f"{scopes} devices"
    return f"{plan.site}: {words}, on {devices}; disruption: {plan.disruption.level.words}"


def _refusals(refusals: Iterable[Refusal]) -> list[str]:
    found = [f"refused: {r}" for r in refusals]
    return ["", *found] if found else []


def _grouped(title: str, keys: Iterable[Key]) -> list[str]:
    """One line per scope and kind."""
    groups: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        groups.setdefault((key.scope, key.kind), []).append(key.name)
    return [f"{title}: {s} {k}: {', '.join(sorted(names))}" for (s, k), names in sorted(groups.items())]


# --- drift -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as declared."""

    key: Key
    facet: str
    message: str

    def __str__(self) -> str:
        return f"{self.key.kind} {self.key.name}: {self.message}"


def drifts(difference: Difference, seen: Mapping[Key, Resource]) -> tuple[Drift, ...]:
    """Everything that differs, and foreign objects inside what is ours."""
    found = [d for change in difference.changes for d in _drifts(change)]
    found += [
        Drift(key, "running", f"is in {need.kind} {need.name}, but nobody declared it")
        for key in difference.foreign
        for need in sorted(seen[key].needs)
        if need in seen and seen[need].marked
    ]
    return tuple(sorted(found, key=lambda d: (d.key, d.facet, d.message)))


def _drifts(change: Change) -> Iterator[Drift]:
    if change.action is Action.CREATE:
        yield Drift(change.key, "running", "is missing")
    elif change.action is Action.REMOVE:
        yield Drift(change.key, "running", "is there, but is not declared")
    else:
        for facet, name, before, after in change.attributes():
            where = "at the next boot" if facet == "persistent" else "now"
            text = f"{name} is {value_text(before)} {where}, declared {value_text(after)}"
            text += _set_difference(before, after)
            yield Drift(change.key, facet, text)


def _set_difference(before: Value, after: Value) -> str:
    """What a set lacks or has too much: the eye does not find it in two long lists."""
    if not (isinstance(before, frozenset) and isinstance(after, frozenset) and before and after):
        return ""
    lacks = value_text(frozenset(x for x in after if x not in before))  # type: ignore[arg-type] # of one kind
    extra = value_text(frozenset(x for x in before if x not in after))  # type: ignore[arg-type] # of one kind
    words = [f"lacks {lacks}"] * (lacks != "none") + [f"should not have {extra}"] * (extra != "none")
    return f" ({'; '.join(words)})"


def drift_text(site: str, scopes: Mapping[str, int], found: Iterable[Drift], extra: Iterable[str]) -> str:
    """Scope by scope. `scopes` gives the number of objects seen in each."""
    by_scope: dict[str, list[Drift]] = {s: [] for s in scopes}
    for drift in found:
        by_scope.setdefault(drift.key.scope, []).append(drift)
    lines = [f"{site}:"]
    for scope, items in sorted(by_scope.items()):
        lines.append(f"  {scope}: " + ("as declared" if not items else f"{len(items)} not as declared"))
        lines += [f"    {item}" for item in items]
    return "\n".join([*lines, *extra])
