"""A plan as text for people: what is the same on several devices stands there once. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from grappe.graph.change import Action, Change
from grappe.graph.plan import Level, Plan, Stage, Step
from grappe.graph.resource import Key, Refusal, Value
from grappe.model.units import format_size, format_vlans

SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.ADOPT: "&", Action.REMOVE: "-"}
WORDS = {Action.CREATE: "make", Action.UPDATE: "change", Action.ADOPT: "take over", Action.REMOVE: "remove"}

MANY = 5
"""More new objects of one kind than this are listed by name only; --full shows their attributes."""


def value_text(value: Value, name: str = "") -> str:
    """An attribute's value as people read it; `name` tells sizes from other numbers."""
    if value is None:
        return "none"
    if name in ("memory", "size") and isinstance(value, int):
        return format_size(value)
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
                yield f"    {name}{where}: {value_text(after, name)}"
        elif change.after is not None:
            yield f"    {name}{where}: {value_text(before, name)} -> {value_text(after, name)}"


def _block(name: str, before: Value, after: Value, *, full: bool) -> Iterator[str]:
    gone, came = _gone(before, after), _gone(after, before)
    if not full and not gone:
        yield f"    {name}: {len(came)} lines"
        return
    yield f"    {name}:"
    yield from (f"      - {line}" for line in gone)
    yield from (f"      + {line}" for line in came)


def _gone(before: Value, after: Value) -> list[str]:
    """Lines of a long value that the other does not have."""
    old = list(map(value_text, before)) if isinstance(before, tuple) else []
    new = list(map(value_text, after)) if isinstance(after, tuple) else []
    return [line for line in old if line not in new]


# --- in short ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Brief:
    """A change without its device: what it does to what, and each attribute's words."""

    action: Action
    kind: str
    name: str
    words: Mapping[str, str]

    @property
    def like(self) -> tuple[str, ...]:
        """What must be equal for two devices' changes to stand in one line."""
        return (self.action, self.kind, self.name, *self.words)


def brief(change: Change) -> Brief:
    """Put a change in short; an attribute that is the same now and at the next boot is named once."""
    words: dict[str, str] = {}
    later = "from its next start" if change.key.kind == "vm" else "at boot"
    for facet, name, before, after in change.attributes():
        text = _attribute(change, name, before, after)
        if not text or (facet == "persistent" and words.get(name) == text):
            continue
        words[f"{name} {later}" if facet == "persistent" else name] = text
    return Brief(change.action, change.key.kind, change.key.name, words)


def _attribute(change: Change, name: str, before: Value, after: Value) -> str:
    if change.after is None or (change.before is None and after in (None, "", frozenset())):
        return ""
    if isinstance(before, tuple) or isinstance(after, tuple):
        if change.before is None:
            return ""  # a whole new file: --full has it
        gone, came = _gone(before, after), _gone(after, before)
        words = [f"- {line.strip()}" for line in gone] + [f"+ {line.strip()}" for line in came]
        return " | ".join(words) or "in another order"
    if change.before is None:
        return value_text(after, name)
    return f"{value_text(before, name)} -> {value_text(after, name)}"


def brief_lines(stage: Stage) -> Iterator[str]:
    """A stage in short: devices with equal changes together."""
    rows: dict[tuple[str, ...], dict[str, Brief]] = {}
    for step in stage.steps:
        for change in step.changes:
            one = brief(change)
            rows.setdefault((*one.like, *_twice(rows, one, step.scope)), {})[step.scope] = one
    buckets: dict[tuple[str, ...], list[dict[str, Brief]]] = {}
    for row in rows.values():
        buckets.setdefault(tuple(row), []).append(row)
    for scopes, found in buckets.items():
        yield f"  {', '.join(scopes)}:"
        yield from (f"    {line}" for line in _rows(found))


def _twice(rows: Mapping[tuple[str, ...], Mapping[str, Brief]], one: Brief, scope: str) -> tuple[str, ...]:
    """A device may change one object twice in a stage: each is a row of its own."""
    count = 0
    while scope in rows.get((*one.like, *[""] * count), {}):
        count += 1
    return ("",) * count


def _rows(found: list[dict[str, Brief]]) -> Iterator[str]:
    firsts = [next(iter(row.values())) for row in found]
    created = Counter(one.kind for one in firsts if one.action is Action.CREATE)
    listed: set[str] = set()
    for row, one in zip(found, firsts, strict=True):
        if one.action is not Action.CREATE or created[one.kind] <= MANY:
            yield _row(row, one)
        elif one.kind not in listed:
            listed.add(one.kind)
            names = [o.name for o in firsts if o.action is Action.CREATE and o.kind == one.kind]
            yield f"+ {len(names)} {one.kind}s: {', '.join(names)}"


def _row(row: Mapping[str, Brief], one: Brief) -> str:
    words = [f"{name} {_values(row, name)}" for name in one.words]
    head = f"{SIGNS[one.action]} {one.kind} {one.name}"
    return f"{head}: {', '.join(words)}" if words else head


def _values(row: Mapping[str, Brief], name: str) -> str:
    """An attribute over several devices: once where it is the same."""
    values = {scope: one.words[name] for scope, one in row.items()}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    if len(values) > 4:
        return "differs by device"
    return "(" + "; ".join(f"{scope} {text}" for scope, text in values.items()) + ")"


# --- the plan ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlanText:
    """How much of a plan to show: `full`, every attribute device by device; `scripts`, every command too."""

    full: bool = False
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
        if self.full or self.scripts:
            for scope in stage.scopes:
                yield from (line for step in stage.of(scope) for line in self._step(step))
            return
        yield from _warnings(stage)
        yield from brief_lines(stage)

    def _step(self, step: Step) -> Iterator[str]:
        yield f"  {step.scope}  disruption: {_disruption(step)}"
        if step.irreversible:
            yield f"    CANNOT BE UNDONE: {step.irreversible}"
        for change in step.changes:
            yield from (f"    {line}" for line in change_lines(change, scripts=self.scripts))
        if self.scripts:
            yield from _script(step)


def _warnings(stage: Stage) -> Iterator[str]:
    """What a stage disturbs and what cannot be undone, devices with the same together."""
    told: dict[str, list[str]] = {}
    for step in stage.steps:
        if step.disruption.level is not Level.NONE:
            text = f"disruption: {_disruption(step)}".replace(f"{step.scope}/", "")
            told.setdefault(text, []).append(step.scope)
        if step.irreversible:
            told.setdefault(f"CANNOT BE UNDONE: {step.irreversible}", []).append(step.scope)
    for text, scopes in told.items():
        yield f"  {', '.join(dict.fromkeys(scopes))}: {text}"


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
        if plan.refusals:
            return f"{plan.site}: nothing can be done; {len(plan.refusals)} refused"
        if plan.frozen:
            return f"{plan.site}: nothing to do on the devices that answered; {len(plan.frozen)} left out"
        return f"{plan.site}: nothing to do, everything is as declared"
    counts = Counter(c.action for c in changes)
    words = ", ".join(f"{counts[a]} to {WORDS[a]}" for a in Action if counts[a])
    scopes = len({c.key.scope for c in changes})
    devices = "1 device" if scopes == 1 else f"{scopes} devices"
    return f"{plan.site}: {words}, on {devices}; disruption: {plan.disruption.level.words}"


def _refusals(refusals: Iterable[Refusal]) -> list[str]:
    found = [f"refused: {r}" for r in refusals]
    return ["", *found] if found else []


def _grouped(title: str, keys: Iterable[Key]) -> list[str]:
    """One line per kind and list of names; devices with the same together."""
    names: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        names.setdefault((key.scope, key.kind), []).append(key.name)
    same: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (scope, kind), found in sorted(names.items()):
        same.setdefault((kind, tuple(sorted(found))), []).append(scope)
    return [f"{title}: {', '.join(s)}: {kind} {', '.join(found)}" for (kind, found), s in same.items()]
