"""Findings as SARIF 2.1.0 (OASIS standard), which code hosts and editors show at the line.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from grappe.check.catalogue import CATALOGUE, plain
from grappe.check.code import Code
from grappe.check.places import show
from grappe.check.render import Position
from grappe.model.finding import Finding, Severity
from grappe.model.site import Path

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_LEVELS = {
    Severity.ERROR: "error",
    Severity.RISK: "warning",
    Severity.WARNING: "warning",
    Severity.INFO: "note",
}
"""SARIF has no risk; the severity itself stands in `properties`."""


def to_sarif(findings: Sequence[Finding], filename: str, position: Position, version: str) -> str:
    """Return findings as one SARIF run of a Grappe version. Accepted ones are suppressed, with the reason."""
    codes = sorted({finding.code for finding in findings})
    rules = [_rule(CATALOGUE[name]) for name in codes]
    index = {name: number for number, name in enumerate(codes)}
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "grappe", "semanticVersion": version, "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(f, index[f.code], filename, position) for f in findings],
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule(code: Code) -> dict[str, object]:
    return {
        "id": code.name,
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": plain(code.what)},
        "help": {"text": f"{plain(code.why)}\n\n{plain(code.mend)}"},
        "defaultConfiguration": {"level": _LEVELS[code.severity]},
        "properties": {"severity": str(code.severity)},
    }


def _result(finding: Finding, rule: int, filename: str, position: Position) -> dict[str, object]:
    hint = f" Hint: {finding.hint}." if finding.hint else ""
    result: dict[str, object] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}.{hint}"},
        "locations": [_location(finding.at, filename, position)],
        "relatedLocations": [
            {"id": number, **_location(path, filename, position)}
            for number, path in enumerate(finding.related, start=1)
        ],
        "properties": {"severity": str(finding.severity), **finding.data},
    }
    if finding.accepted is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.accepted}]
    return result


def _location(path: Path, filename: str, position: Position) -> dict[str, object]:
    physical: dict[str, object] = {"artifactLocation": {"uri": quote(filename)}}
    place = position(path)
    if place is not None:
        physical["region"] = {"startLine": place[0], "startColumn": place[1]}
    return {"physicalLocation": physical, "logicalLocations": [{"fullyQualifiedName": show(path)}]}
