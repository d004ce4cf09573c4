"""Findings as text, JSON and SARIF."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from grappe.check import CATALOGUE, check
from grappe.check.render import JSON_FORMAT, summary, to_json, to_text
from grappe.check.sarif import to_sarif
from grappe.model.finding import Finding
from grappe.model.site import Path, SpanningTree
from pure.check_cases.table import CASES, Case, accept, site_with, switch

OFF = switch("sw1", spanning_tree=SpanningTree.NONE)
MANY = (OFF, switch("sw1", mtu=1500), switch("sw1", spanning_tree=SpanningTree.NONE, mtu=1500))
ACCEPTED = (OFF, accept("no-spanning-tree", "switches", "sw1"))

SARIF_SHAPE: dict[str, Any] = {
    # what section 3 of the standard requires of the objects that are used here
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "minItems": 1,
            "items": {
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {
                                        "uniqueItems": True,
                                        "items": {
                                            "required": ["id", "shortDescription", "fullDescription", "help"],
                                            "properties": {
                                                "defaultConfiguration": {
                                                    "properties": {"level": {"$ref": "#/$defs/level"}}
                                                }
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
                },
            },
        },
    },
    "$defs": {
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": {"required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}},
        "location": {
            "required": ["physicalLocation"],
            "properties": {
                "id": {"type": "integer", "minimum": 0},
                "physicalLocation": {
                    "required": ["artifactLocation"],
                    "properties": {
                        "artifactLocation": {
                            "required": ["uri"],
                            "properties": {"uri": {"type": "string", "pattern": "^[^ ]+$"}},
                        },
                        "region": {
                            "required": ["startLine"],
                            "properties": {
                                "startLine": {"type": "integer", "minimum": 1},
                                "startColumn": {"type": "integer", "minimum": 1},
                            },
                        },
                    },
                },
                "logicalLocations": {"type": "array", "items": {"required": ["fullyQualifiedName"]}},
            },
        },
        "result": {
            "required": ["ruleId", "ruleIndex", "level", "message", "locations"],
            "properties": {
                "level": {"$ref": "#/$defs/level"},
                "message": {"$ref": "#/$defs/message"},
                "locations": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/location"}},
                "relatedLocations": {"type": "array", "items": {"$ref": "#/$defs/location"}},
                "suppressions": {
                    "type": "array",
                    "items": {
                        "required": ["kind"],
                        "properties": {"kind": {"enum": ["inSource", "external"]}},
                    },
                },
            },
        },
    },
}


def at_three(path: Path) -> tuple[int, int]:
    assert path
    return (3, 5)


def sarif(findings: tuple[Finding, ...]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(to_sarif(findings, "my site.yaml", at_three, "1.2.3"))
    jsonschema.validate(made, SARIF_SHAPE)
    return made


def test_text_has_place_severity_code_message_and_hint() -> None:
    assert to_text(check(site_with((OFF,))), "site.yaml", at_three) == (
        "site.yaml:3:5: risk no-spanning-tree: switch sw1 is cabled to sw2 and has spanning tree off\n"
        "    at: switches.sw1.spanning_tree\n"
        "    hint: write `spanning_tree: rstp`\n"
        "1 risk.\n"
    )


def test_text_without_positions_names_the_file_alone() -> None:
    said = to_text(check(site_with((OFF,))), "site.yaml", lambda _: None)
    assert said.startswith("site.yaml: risk no-spanning-tree: ")


def test_an_accepted_finding_stays_listed_with_its_reason() -> None:
    said = to_text(check(site_with(ACCEPTED)), "site.yaml", at_three)
    assert "risk no-spanning-tree: switch sw1 is cabled" in said
    assert "    accepted: known\n" in said
    assert said.endswith("1 accepted.\n")


def test_nothing_found_is_said() -> None:
    assert to_text((), "site.yaml", at_three) == "No findings.\n"


def test_the_summary_counts_by_severity_and_accepted_ones_apart() -> None:
    assert summary(check(site_with(MANY))) == "1 error, 1 risk."
    assert summary(check(site_with(ACCEPTED))) == "1 accepted."


def test_json_is_versioned_and_holds_every_field() -> None:
    made = json.loads(to_json(check(site_with(ACCEPTED)), "site.yaml", at_three))
    assert made["format"] == JSON_FORMAT
    assert made["summary"] == {"errors": 0, "risks": 0, "warnings": 0, "infos": 0, "accepted": 1}
    (found,) = made["findings"]
    assert found == {
        "code": "no-spanning-tree",
        "severity": "risk",
        "title": "Spanning tree is off on a switch that is cabled to others",
        "message": "switch sw1 is cabled to sw2 and has spanning tree off",
        "hint": "write `spanning_tree: rstp`",
        "at": "switches.sw1.spanning_tree",
        "path": ["switches", "sw1", "spanning_tree"],
        "line": 3,
        "column": 5,
        "related": [],
        "data": {},
        "accepted": "known",
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_sarif_has_the_shape_of_the_standard(case: Case) -> None:
    findings = check(site_with(case.bad))
    run = sarif(findings)["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[r["ruleIndex"]]["id"] for r in run["results"]] == [f.code for f in findings]
    assert {rule["id"] for rule in rules} == {f.code for f in findings}
    assert all("\n    " not in rule["help"]["text"] for rule in rules)


def test_sarif_suppresses_what_is_accepted() -> None:
    (result,) = sarif(check(site_with(ACCEPTED)))["runs"][0]["results"]
    assert result["suppressions"] == [{"kind": "inSource", "justification": "known"}]
    assert result["level"] == "warning"
    assert result["properties"]["severity"] == "risk"


def test_sarif_escapes_the_file_name() -> None:
    (result,) = sarif(check(site_with((OFF,))))["runs"][0]["results"]
    location = result["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "my%20site.yaml"
    assert location["region"] == {"startLine": 3, "startColumn": 5}


def test_severities_of_sarif_cover_all_codes() -> None:
    levels = {str(code.severity) for code in CATALOGUE.values()}
    assert levels == {"error", "risk", "warning", "info"}
