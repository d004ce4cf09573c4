"""A roll call as text for people and as JSON for programs. Pure."""

from __future__ import annotations

import textwrap

from grappe.verify.explain import Problem, problems
from grappe.verify.matrix import MARKS, WIDTH, fitted, matrix
from grappe.verify.rollcall import Cell, Heard, Point, RollCall, State

FORMAT = "grappe/verify/1"
_WORST = (State.LEAK, State.DEAF, State.UNPROVED, State.HEARD, State.ISOLATED, State.SELF)


def to_text(call: RollCall, *, full: bool = False) -> str:
    """Render a roll call: problems first, then one line a network over all devices.

    With `full`, or for a network with a problem, its own matrix follows. Whatever it says fits `WIDTH`
    columns, unless a name of its own does not.
    """
    found = problems(call)
    parts = [
        _wrapped(_headline(call, found)),
        *(_wrapped(f"  {problem.state}: {problem}", "    ") for problem in found),
        "",
        *_overview(call, found),
    ]
    for number, network in enumerate(call.plan.networks):
        if full or _needs_detail(call, network.name):
            parts += ["", *matrix(call, number)]
    return "\n".join([*parts, "", _wrapped(_LEGEND)])


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


def _wrapped(text: str, indent: str = "") -> str:
    """Break a sentence at spaces, so that it fits a screen."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _worst(cells: list[Cell]) -> str:
    """Return the mark of the worst cell."""
    states = {cell.state for cell in cells}
    return next((MARKS[state] for state in _WORST if state in states), ".")


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
    return fitted(rows)


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


# JSON


def to_json(call: RollCall) -> dict[str, object]:
    """Return the roll call as plain data, format `FORMAT`; cells refer to voices and points by number."""
    plan = call.plan
    return {
        "format": FORMAT,
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
