"""The matrix of one network as text that fits a screen. Pure.

Listeners go down, senders across. Listeners of one device that hear the same share a line; a table that is
too wide all the same is cut into parts, one below the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from grappe.verify.rollcall import Kind, Point, RollCall, State

WIDTH = 120
"""Columns a line may take."""

MARKS = {
    State.HEARD: "ok",
    State.ISOLATED: "-",
    State.LEAK: "LEAK",
    State.DEAF: "DEAF",
    State.UNPROVED: "?",
    State.SELF: ".",
}

_NAMES = 22
"""Characters that the names of listeners on one line may take."""


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns to the left, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def fitted(rows: Sequence[Sequence[str]], width: int = WIDTH) -> list[str]:
    """A table cut into parts that each fit `width` and begin with the first column; a column stays whole."""
    columns = list(zip(*rows, strict=True))
    lines: list[str] = []
    part = columns[:1]
    for column in columns[1:]:
        if len(part) > 1 and _width([*part, column]) > width:
            lines += [*table(list(zip(*part, strict=True))), ""]
            part = columns[:1]
        part.append(column)
    return [*lines, *table(list(zip(*part, strict=True)))]


def _width(columns: Iterable[Sequence[str]]) -> int:
    return sum(max(map(len, column)) + 2 for column in columns) - 2


@dataclass
class _Line:
    """Listeners of one device that hear the same; of the marks one that is not "itself" counts."""

    device: str
    marks: list[str]
    names: list[str] = field(default_factory=list)

    def takes(self, device: str, marks: list[str]) -> bool:
        """Whether a listener with these marks can share this line."""
        nobody = MARKS[State.SELF]
        return device == self.device and all(
            a == b or nobody in (a, b) for a, b in zip(self.marks, marks, strict=True)
        )

    def add(self, name: str, marks: list[str]) -> None:
        """Let a listener share this line."""
        nobody = MARKS[State.SELF]
        self.names.append(name)
        self.marks = [b if a == nobody else a for a, b in zip(self.marks, marks, strict=True)]

    @property
    def label(self) -> str:
        """The device and its listeners, the first few when there are many."""
        shown = list(self.names)
        while len(shown) > 1 and len(" ".join(shown)) > _NAMES:
            shown.pop()
        rest = len(self.names) - len(shown)
        return " ".join([self.device, *shown, *([f"and {rest} more"] if rest else [])])


def matrix(call: RollCall, number: int) -> list[str]:
    """The lines of the plan's network `number`: a title, then who of its listeners hears which sender.

    Listeners that must not hear it have a line only where something leaks; the last lines count the others.
    """
    plan, name = call.plan, call.plan.networks[number].name
    voices = [n for n, voice in enumerate(plan.voices) if voice.network == name]
    tag = plan.tag(name)
    title = f"{name} ({f'VLAN {tag}' if tag else 'untagged'}, MTU {plan.networks[number].mtu})"
    if not voices:
        return [f"{title}: nobody may send on it; it was only listened to"]
    shown = [
        n
        for n, point in enumerate(plan.points)
        if name in dict(point.carries) or any(call.cells[voice][n].state is State.LEAK for voice in voices)
    ]
    speakers = [plan.speaker(voice) for voice in voices]
    rows = [*_headings(speakers), *_listeners(call, voices, shown), *_others(call, voices, set(shown))]
    return [title + _sender(speakers), *fitted(rows)]


def _sender(speakers: list[Point]) -> str:
    return f", sent by {_interface(speakers[0])} of each" if _alike(speakers) else ""


def _alike(speakers: list[Point]) -> bool:
    """Whether every sender has the same name on a device of its own, so that the device says enough."""
    names = {_interface(point) for point in speakers}
    return len(names) == 1 and len({point.device for point in speakers}) == len(speakers)


def _headings(speakers: list[Point]) -> list[list[str]]:
    devices = ["to \\ from", *(point.device for point in speakers)]
    return [devices] if _alike(speakers) else [devices, ["", *map(_interface, speakers)]]


def _interface(point: Point) -> str:
    """Name a point beside its device."""
    if point.temporary:
        return f"{point.temporary.bridge}*"
    return point.label if point.kind is Kind.GUEST_PORT and point.label else point.interface


def _listeners(call: RollCall, voices: list[int], shown: list[int]) -> list[list[str]]:
    lines: list[_Line] = []
    for number in shown:
        point = call.plan.points[number]
        marks = [MARKS[call.cells[voice][number].state] for voice in voices]
        line = next((one for one in lines if one.takes(point.device, marks)), None)
        if line is None:
            line = _Line(point.device, marks)
            lines.append(line)
        line.add(_interface(point), marks)
    return [[line.label, *line.marks] for line in lines]


def _others(call: RollCall, voices: list[int], shown: set[int]) -> list[list[str]]:
    """Count the listeners that must not hear a voice and have no line, by what was found."""
    rows = []
    for state in (State.ISOLATED, State.UNPROVED):
        counts = [
            sum(cell.state is state for point, cell in enumerate(call.cells[voice]) if point not in shown)
            for voice in voices
        ]
        if any(counts):
            rows.append([f"others {state}", *map(str, counts)])
    return rows
