"""The published schemas are schemas, are named alike, and what is printed without a device obeys them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from grappe.apply.events import Leased, RunBegins
from grappe.apply.journal import Journal
from grappe.cli import schemas
from grappe.cli.declaration import What
from grappe.graph.plan import Plan
from grappe.graph.plan_json import dump, to_json

TOP = Path(__file__).parents[2]
SITE = TOP / "examples" / "kvm-cluster" / "site.yaml"
NAMES = [what.value for what in What if what is not What.DECLARATION]


def closed(schema: Any) -> Any:
    """The same schema without room for keys that it does not tell of: what is printed must be documented."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


def obeys(name: str, document: Any) -> None:
    """Raise ValidationError unless a document is exactly what its schema tells."""
    Draft202012Validator(closed(schemas.published(name))).validate(document)


def grappe(*words: str, env: dict[str, str] | None = None) -> str:
    argv = [sys.executable, "-m", "grappe", "-f", str(SITE), *words]
    return subprocess.run(argv, capture_output=True, text=True, env=env, check=True).stdout


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas_and_named_alike(name: str) -> None:
    schema = schemas.published(name)
    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["format"] == {"const": f"grappe/{name}/1"}
    assert schema["$id"] == f"urn:grappe:schema:{name}:1"
    assert "format" in schema["required"]
    with pytest.raises(ValidationError):
        obeys(name, {"format": f"grappe/{name}/1"})


def test_every_published_schema_can_be_asked_for() -> None:
    files = {path.stem for path in Path(schemas.__file__).parent.glob("*.json")}
    assert files == set(NAMES)
    assert json.loads(grappe("schema", "status")) == schemas.published("status")
    assert json.loads(grappe("schema"))["$id"].startswith("urn:grappe:schema:site:")


def test_every_format_in_the_source_has_a_schema() -> None:
    named = {
        found
        for path in (TOP / "src").rglob("*.py")
        for found in re.findall(r'"grappe/([a-z-]+)/\d+"', path.read_text())
    }
    assert named == set(NAMES)


@pytest.mark.parametrize("site", sorted((TOP / "examples").glob("*/site.yaml")), ids=lambda p: p.parent.name)
def test_findings_obey(site: Path) -> None:
    argv = [sys.executable, "-m", "grappe", "-f", str(site), "check", "--json"]
    obeys("check", json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout))


def test_plans_obey_printed_and_saved() -> None:
    plan = Plan("s", "d", frozen={"h1": "in maintenance"})
    obeys("plan", to_json(plan))
    obeys("plan", json.loads(dump(plan)))


def test_journals_obey_even_with_a_torn_line(tmp_path: Path) -> None:
    folder = tmp_path / "grappe" / "sites" / "rack"
    with Journal(folder / "20260101-000000-abcd.jsonl") as journal:
        journal.append(RunBegins("20260101-000000-abcd", "a@b pid 1", "x", to_json(Plan("rack", "d"))))
        journal.append(Leased("h1", 5))
    with journal.path.open("a") as file:
        file.write('{"at": 1, "ev')
    said = json.loads(grappe("journal", "--json", env={"XDG_STATE_HOME": str(tmp_path), "PATH": "/usr/bin"}))
    obeys("journal", said)
    assert [entry["event"] for entry in said["runs"][0]["entries"]] == ["run-begins", "leased", None]
