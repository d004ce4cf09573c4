"""A roll call as text for people and as JSON for programs. Pure."""

from __future__ import annotations

from grappe.verify.explain import Problem, problems
from grappe.verify.rollcall import Cell, Heard, Kind, Point, RollCall, State

SCHEMA = "grappe/roll-call/1"
WIDTH = 120
"""Columns a matrix may take before it is turned."""

_MARKS = {
    State.HEARD: "ok",
    State.ISOLATED: "-",
    State.LEAK: "LEAK",
    State.DEAF: "DEAF",
    State.UNPROVED: "?",
    State.SELF: ".",
}
_WORST = (State.LEAK, State.DEAF, State.UNPROVED, State.HEARD, State.ISOLATED, State.SELF)


def to_text(call: RollCall, *, full: bool = False) -> str:
    """Render a roll call: problems first, then one line a network over all devices.

    With `full`, or for a network with a problem, its own matrix follows: a row for each sender, a column
    for each listener that carries it, and whatever else heard it.
    """
    found = problems(call)
    parts = [
        _headline(call, found),
        *(f"  {problem.state}: {problem}" for problem in found),
        "",
        *_overview(call, found),
    ]
    for number, network in enumerate(call.plan.networks):
        if full or _needs_detail(call, network.name):
            parts += ["", *_matrix(call, number)]
    return "\n".join([*parts, "", _LEGEND])


_LEGEND = (
    "ok heard, as it should be · - isolated, as it should be · DEAF not heard · LEAK heard and must not be · "
    "? unproved · . itself or nobody there · deaf, leak: the fault is elsewhere · * the probe's own port"
)


def _headline(call: RollCall, found: tuple[Problem, ...]) -> str:
    counts = call.counts
    shown = ", ".join(f"{counts[state]} {state}" for state in _WORST[:-1] if counts[state])
    verdict = "passed as far as proved" if counts[State.UNPROVED] else "passed"
    verdict = verdict if call.ok else "FAILED"
    wrong = sum(problem.state is not State.UNPROVED for problem in found)
    plan = call.plan
    size = f"{len(plan.voices)} voices, {len(plan.points)} listeners, {len(plan.pairs)} full-size pairs"
    problem = f" Problems: {wrong}." if wrong else ""
    return f"Roll call {verdict}: {size}: {shown or 'nothing to judge'}.{problem}"


def _table(rows: list[list[str]]) -> list[str]:
    """Align columns to the left, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _worst(cells: list[Cell]) -> str:
    """Return the mark of the worst cell."""
    states = {cell.state for cell in cells}
    return next((_MARKS[state] for state in _WORST if state in states), ".")


# One line a network


def _overview(call: RollCall, found: tuple[Problem, ...]) -> list[str]:
    """A row for each network, a column for each device: the worst of all cells whose listener is there."""
    devices = call.plan.devices
    blamed = {(problem.device, network) for problem in found for network in problem.networks}
    rows = [["network", *devices, "full size"]]
    for network in call.plan.networks:
        voices = [n for n, voice in enumerate(call.plan.voices) if voice.network == network.name]
        marks = [_device_mark(call, voices, device, (device, network.name) in blamed) for device in devices]
        rows.append([network.name, *marks, _jumbo_mark(call, network.name, network.mtu)])
    return _table(rows)


def _device_mark(call: RollCall, voices: list[int], device: str, blamed: bool) -> str:
    """Mark a device on a network; what is wrong there by somebody else's fault is in small letters."""
    points = [n for n, point in enumerate(call.plan.points) if point.device == device]
    mark = _worst([call.cells[voice][point] for voice in voices for point in points])
    return mark if blamed else mark.lower()


def _jumbo_mark(call: RollCall, network: str, mtu: int) -> str:
    states = [j.state for j in call.jumbo if call.plan.voices[j.pair.voice].network == network]
    if not states:
        return "not tried"
    heard = sum(state is State.HEARD for state in states)
    return f"{mtu}: " + (f"ok, {heard} pairs" if heard == len(states) else f"{heard} of {len(states)} pairs")


# The matrix of one network


def _needs_detail(call: RollCall, network: str) -> bool:
    return any(
        cell.state in (State.LEAK, State.DEAF)
        for voice, row in zip(call.plan.voices, call.cells, strict=True)
        if voice.network == network
        for cell in row
    )


def _matrix(call: RollCall, number: int) -> list[str]:
    """Senders down, listeners across; listeners that must not hear it appear only where something is
    wrong."""
    plan, name = call.plan, call.plan.networks[number].name
    voices = [n for n, voice in enumerate(plan.voices) if voice.network == name]
    shown = [
        n
        for n, point in enumerate(plan.points)
        if name in dict(point.carries) or any(call.cells[voice][n].state is State.LEAK for voice in voices)
    ]
    tag = plan.tag(name)
    title = f"{name} ({f'VLAN {tag}' if tag else 'untagged'}, MTU {plan.networks[number].mtu})"
    if not voices:
        return [f"{title}: nobody may send on it; it was only listened to"]
    rows = [["from \\ to", *(_short(plan.points[n]) for n in shown), "others"]]
    rows += [[_short(plan.speaker(v)), *_row(call, v, shown), _others(call, v, shown)] for v in voices]
    return [title, *_narrow(rows)]


def _narrow(rows: list[list[str]]) -> list[str]:
    """Lay out a matrix; one that is too wide for a screen is turned, listeners down."""
    lines = _table(rows)
    if max(map(len, lines)) <= WIDTH:
        return lines
    turned = [list(column) for column in zip(*rows, strict=True)]
    turned[0][0] = "to \\ from"
    return _table(turned)


def _short(point: Point) -> str:
    """Name a point in a heading."""
    guest = f" {point.label}" if point.kind is Kind.GUEST_PORT and point.label else f" {point.interface}"
    return point.device + (guest if not point.temporary else f" {point.temporary.bridge}*")


def _row(call: RollCall, voice: int, shown: list[int]) -> list[str]:
    return [_MARKS[call.cells[voice][point].state] for point in shown]


def _others(call: RollCall, voice: int, shown: list[int]) -> str:
    """Count the listeners that must not hear a voice and are not shown."""
    rest = [cell.state for point, cell in enumerate(call.cells[voice]) if point not in set(shown)]
    unproved = rest.count(State.UNPROVED)
    return f"{rest.count(State.ISOLATED)} isolated" + (f", {unproved} unproved" if unproved else "")


# JSON


def to_json(call: RollCall) -> dict[str, object]:
    """Return the roll call as plain data, schema `SCHEMA`; cells refer to voices and points by number."""
    plan = call.plan
    return {
        "schema": SCHEMA,
        "site": plan.site,
        "ok": call.ok,
        "counts": {str(state): count for state, count in call.counts.items()},
        "networks": [{"name": n.name, "mtu": n.mtu, "vlan": plan.tag(n.name)} for n in plan.networks],
        "points": [_point_json(point) for point in plan.points],
        "voices": [{"point": v.point, "network": v.network, "tag": v.tag} for v in plan.voices],
        "matrix": [_row_json(row) for row in call.cells],
        "jumbo": [
            {
                "voice": j.pair.voice,
                "target": j.pair.target,
                "mtu": j.mtu,
                "state": str(j.state),
                "reason": j.reason,
            }
            for j in call.jumbo
        ],
        "problems": [_problem_json(problem) for problem in problems(call)],
    }


def _point_json(point: Point) -> dict[str, object]:
    return {
        "device": point.device,
        "interface": point.interface,
        "kind": str(point.kind),
        "label": point.label,
        "carries": [{"network": network, "tag": tag} for network, tag in point.carries],
        "temporary": point.temporary is not None,
    }


def _row_json(row: tuple[Cell, ...]) -> dict[str, object]:
    """One voice: which points have which state, and the frames behind everything that is wrong."""
    states = {str(state): [n for n, cell in enumerate(row) if cell.state is state] for state in State}
    evidence = [
        {"point": number, **_frame_json(frame)}
        for number, cell in enumerate(row)
        if cell.state in (State.LEAK, State.DEAF)
        for frame in cell.frames
    ]
    reasons = {str(number): cell.reason for number, cell in enumerate(row) if cell.reason}
    return {**states, "evidence": evidence, "reasons": reasons}


def _frame_json(frame: Heard) -> dict[str, object]:
    return {
        "tags": list(frame.tags),
        "direction": "in" if frame.inward else "out",
        "count": frame.count,
        "first": round(frame.first, 3),
        "last": round(frame.last, 3),
    }


def _problem_json(problem: Problem) -> dict[str, object]:
    return {
        "state": str(problem.state),
        "device": problem.device,
        "interface": problem.interface,
        "networks": list(problem.networks),
        "expected": problem.expected,
        "seen": problem.seen,
        "cause": problem.cause,
        "text": str(problem),
    }
