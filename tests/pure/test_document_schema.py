"""The published schema takes what is right and refuses what is wrong in form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from grappe.document import first_file, schema

HERE = Path(__file__).parent
EXAMPLES = sorted((HERE.parents[1] / "examples").glob("*/site.yaml"))

FORM_ERRORS = [
    "bond-mode",
    "boolean",
    "datapath",
    "fabric-bridge-long",
    "key-unknown",
    "key-unknown-inside",
    "mtu",
    "network-is-text",
    "networks-is-list",
    "not-yet",
    "platform-later",
    "platform-missing",
    "platform-unknown",
    "removed-unknown",
    "role",
    "site-is-list",
    "site-missing",
    "storage-type-later",
    "subnet-without-prefix",
    "vlan-out-of-range",
    "vm-boot-missing",
    "vm-memory-missing",
    "vm-state",
    "vm-template",
]


def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(schema())
    return Draft202012Validator(schema())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_are_valid(validator: Draft202012Validator, example: Path) -> None:
    assert not [e.message for e in validator.iter_errors(_parsed(example.read_text(encoding="utf-8")))]


def test_first_file_is_valid(validator: Draft202012Validator) -> None:
    assert validator.is_valid(_parsed(first_file()))


def test_section_may_be_empty(validator: Draft202012Validator) -> None:
    assert validator.is_valid({"site": "s", "fabrics": None, "networks": {"LAN": {"mtu": None}}})


@pytest.mark.parametrize("case", FORM_ERRORS)
def test_form_errors_are_refused(validator: Draft202012Validator, case: str) -> None:
    text = (HERE / "declarations" / case / "input.yaml").read_text(encoding="utf-8")
    assert not validator.is_valid(_parsed(text))


def test_every_key_has_a_description_and_a_title() -> None:
    made = schema()
    untold = []
    for name, shape in {"site": made, **made["$defs"]}.items():
        long = next(form for form in shape.get("anyOf", [shape]) if "properties" in form)
        untold += [f"{name}.{k}" for k, v in long["properties"].items() if "description" not in v]
    assert not untold


def test_identity_is_versioned() -> None:
    assert schema()["$id"] == "urn:grappe:schema:site:1"
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
