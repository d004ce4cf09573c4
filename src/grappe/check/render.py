"""Findings as text for people and as JSON for programs. Pure: positions come from a function."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from grappe.check.catalogue import CATALOGUE
from grappe.check.places import show
from grappe.model.finding import Finding, Severity
from grappe.model.site import Path

Position = Callable[[Path], tuple[int, int] | None]
"""Line and column (from 1) of a place in the declaration; None where it has none."""

JSON_FORMAT = "grappe/check/1"
"""Name and version of the JSON that `to_json` makes; a new key does not change it, a changed one does."""

_PLURALS = {
    Severity.ERROR: "errors",
    Severity.RISK: "risks",
    Severity.WARNING: "warnings",
    Severity.INFO: "infos",
}


def to_text(findings: Sequence[Finding], filename: str, position: Position) -> str:
    """Return findings as people read them, and a line that counts them.

    Accepted ones come last: they are known, and stay listed with the reason.
    """
    lines: list[str] = []
    for finding in sorted(findings, key=lambda f: f.accepted is not None):
        lines.extend(_text(finding, filename, position))
    return "\n".join([*lines, summary(findings)]) + "\n"


def _text(finding: Finding, filename: str, position: Position) -> Iterator[str]:
    where = ":".join(str(part) for part in (filename, *(position(finding.at) or ())))
    yield f"{where}: {finding.severity} {finding.code}: {finding.message}"
    yield f"    at: {show(finding.at)}"
    if finding.accepted is not None:
        yield f"    accepted: {finding.accepted}"
    elif finding.hint:
        yield f"    hint: {finding.hint}"


def summary(findings: Sequence[Finding]) -> str:
    """Return `1 error, 2 risks, 3 accepted.` or `No findings.`: accepted ones are counted apart."""
    open_ones = Counter(finding.severity for finding in findings if finding.accepted is None)
    words = [
        f"{open_ones[s]} {s if open_ones[s] == 1 else plural}"
        for s, plural in _PLURALS.items()
        if open_ones[s]
    ]
    accepted = sum(finding.accepted is not None for finding in findings)
    words += [f"{accepted} accepted"] if accepted else []
    return ", ".join(words) + "." if words else "No findings."


def to_json(findings: Sequence[Finding], filename: str, position: Position) -> str:
    """Return findings as JSON of the format JSON_FORMAT, one object, keys sorted where they have no order."""
    counts = Counter(finding.severity for finding in findings if finding.accepted is None)
    document = {
        "format": JSON_FORMAT,
        "file": filename,
        "summary": {
            **{plural: counts[severity] for severity, plural in _PLURALS.items()},
            "accepted": sum(finding.accepted is not None for finding in findings),
        },
        "findings": [_object(finding, position) for finding in findings],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _object(finding: Finding, position: Position) -> dict[str, object]:
    code = CATALOGUE.get(finding.code)
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "title": code.title if code else finding.code,
        "message": finding.message,
        "hint": finding.hint,
        **_place(finding.at, position),
        "related": [_place(path, position) for path in finding.related],
        "data": dict(sorted(finding.data.items())),
        "accepted": finding.accepted,
    }


def _place(path: Path, position: Position) -> dict[str, object]:
    line, column = position(path) or (None, None)
    return {"at": show(path), "path": list(path), "line": line, "column": column}
