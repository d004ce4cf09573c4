"""What is not as declared, as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from grappe.cli.render_plan import value_text
from grappe.graph.change import Action, Change, Difference
from grappe.graph.resource import Key, Resource, Value
from grappe.platforms.planning import Survey

NOW, NEXT_BOOT = "running", "persistent"
"""The facets: what is, and what will be after a boot."""

_TITLES = {NOW: "now", NEXT_BOOT: "at the next boot"}


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as declared."""

    key: Key
    facet: str
    message: str

    def __str__(self) -> str:
        return f"{self.key.kind} {self.key.name}: {self.message}"


@dataclass(frozen=True, slots=True)
class Told:
    """All that `grappe status` has to say. `cut_off`: killed runs, and where each was."""

    site: str
    survey: Survey
    difference: Difference
    cut_off: Mapping[str, str]

    @property
    def drift(self) -> tuple[Drift, ...]:
        """Everything that differs, and foreign objects inside what is ours."""
        return drifts(self.difference, self.survey.resources)

    @property
    def well(self) -> bool:
        """Whether all is as declared, everywhere."""
        return not (self.drift or self.survey.unknown or self.difference.refusals or self.cut_off)


def drifts(difference: Difference, seen: Mapping[Key, Resource]) -> tuple[Drift, ...]:
    """Everything that differs, and foreign objects inside what is ours."""
    found = [d for change in difference.changes for d in _drifts(change)]
    found += [
        Drift(key, NOW, f"is in {need.kind} {need.name}, but nobody declared it")
        for key in difference.foreign
        for need in sorted(seen[key].needs)
        if need in seen and seen[need].marked
    ]
    words = "is there, but is not declared; it holds data, so it is left alone"
    found += [Drift(key, NOW, words) for key in difference.undeclared]
    return tuple(sorted(found, key=lambda d: (d.key, d.facet, d.message)))


def waiting(seen: Mapping[Key, Resource]) -> tuple[str, ...]:
    """Running VMs whose new definition takes effect when they are next started."""
    return tuple(
        f"{key.scope}: {key.kind} {key.name}: {value_text(pending)} as declared from its next start"
        for key, resource in sorted(seen.items())
        if (pending := resource.facts.get("pending"))
    )


def _drifts(change: Change) -> Iterator[Drift]:
    if change.after is not None and change.action is Action.CREATE:
        yield Drift(change.key, _facet(change.after), "is missing")
    elif change.before is not None and change.action is Action.REMOVE:
        yield Drift(change.key, _facet(change.before), "is there, but is not declared")
    else:
        for facet, name, before, after in change.attributes():
            where = _TITLES[facet]
            yield Drift(change.key, facet, _attribute(name, where, before, after))


def _attribute(name: str, where: str, before: Value, after: Value) -> str:
    if isinstance(before, tuple) and isinstance(after, tuple):
        extra = [f"has '{value_text(x)}'" for x in before if x not in after]
        lacks = [f"lacks '{value_text(x)}'" for x in after if x not in before]
        return f"{name} {where}: {', '.join(extra + lacks) or 'in another order than declared'}"
    text = f"{name} is {value_text(before, name)} {where}, declared {value_text(after, name)}"
    return text + _set_difference(before, after)


def _facet(resource: Resource) -> str:
    """An interfaces file is about the next boot only; what runs is missed now."""
    return NOW if resource.running or not resource.persistent else NEXT_BOOT


def _set_difference(before: Value, after: Value) -> str:
    """What a set lacks or has too much: the eye does not find it in two long lists."""
    if not (isinstance(before, frozenset) and isinstance(after, frozenset) and before and after):
        return ""
    lacks = value_text(frozenset(x for x in after if x not in before))  # type: ignore[arg-type] # of one kind
    extra = value_text(frozenset(x for x in before if x not in after))  # type: ignore[arg-type] # of one kind
    words = [f"lacks {lacks}"] * (lacks != "none") + [f"should not have {extra}"] * (extra != "none")
    return f" ({'; '.join(words)})"


def to_text(told: Told) -> str:
    """Device by device: what differs now, then what would differ after a boot."""
    drift = told.drift
    lines = [f"{told.site}: {_verdict(told, drift)}"]
    for scope in sorted({*told.survey.observations, *(d.key.scope for d in drift)}):
        mine = [d for d in drift if d.key.scope == scope]
        refused = any(r.where.partition("/")[0].partition(":")[0] == scope for r in told.difference.refusals)
        lines += [f"  {scope}: {_count(mine, refused=refused)}", *_facets(mine)]
    lines += [f"  {s}: unknown: {reason}" for s, reason in sorted(told.survey.unknown.items())]
    lines += [f"  {s}: not asked: {reason}" for s, reason in sorted(told.survey.excused.items())]
    lines += [f"  {words}" for words in waiting(told.survey.resources)]
    lines += [f"  refused: {refusal}" for refusal in told.difference.refusals]
    lines += [
        f"  cut off: run {run}: {words}; end it with grappe apply --resume or --abort"
        for run, words in told.cut_off.items()
    ]
    return "\n".join(lines)


def _verdict(told: Told, drift: tuple[Drift, ...]) -> str:
    if told.well:
        return "as declared"
    counts = {
        "not as declared": len(drift),
        "refused": len(told.difference.refusals),
        "unknown": len(told.survey.unknown),
        "cut off": len(told.cut_off),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _count(drift: list[Drift], *, refused: bool) -> str:
    counts = {title: sum(d.facet == facet for d in drift) for facet, title in _TITLES.items()}
    found = ", ".join(f"{count} {title}" for title, count in counts.items() if count)
    well = "not as declared: see what is refused" if refused else "as declared"
    return f"not as declared: {found}" if found else well


def _facets(drift: list[Drift]) -> Iterator[str]:
    for facet, title in _TITLES.items():
        mine = [d for d in drift if d.facet == facet]
        if mine:
            yield f"    {title}:"
            yield from (f"      {d}" for d in mine)


def to_json(told: Told) -> dict[str, Any]:
    """As plain data, format grappe/status/1."""
    return {
        "format": "grappe/status/1",
        "site": told.site,
        "ok": told.well,
        "drift": [
            {
                "scope": d.key.scope,
                "kind": d.key.kind,
                "name": d.key.name,
                "facet": d.facet,
                "message": d.message,
            }
            for d in told.drift
        ],
        "refused": [
            {"where": r.where, "code": r.code, "message": r.message, "hint": r.hint}
            for r in told.difference.refusals
        ],
        "unknown": dict(told.survey.unknown),
        "excused": dict(told.survey.excused),
        "cut_off": [{"run": run, "where": words} for run, words in told.cut_off.items()],
    }
