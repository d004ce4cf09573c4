"""The published JSON Schema, for editors that complete and check the file while it is written."""

from __future__ import annotations

from typing import Any

from grappe.document.shape import SiteShape

VERSION = 1
SCHEMA_ID = f"urn:grappe:schema:site:{VERSION}"
"""Versioned: it changes when a file that was right may no longer be."""

_NULL = {"type": "null"}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a declaration.

    It knows keys, forms and ranges. Whether a name exists only `load` can say, so that what the schema takes
    may still be refused.
    """
    made = SiteShape.model_json_schema(mode="validation")
    shapes = {name: _tidy(body, name.removesuffix("Shape")) for name, body in made.pop("$defs").items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **_tidy(made, "Grappe site"),
        "$defs": shapes,
    }


def _tidy(shape: dict[str, Any], title: str) -> dict[str, Any]:
    """Give a shape its title; let every key that may be left out be there without a value, as in the file."""
    long: dict[str, Any] = next((form for form in shape.get("anyOf", [shape]) if "properties" in form), {})
    for key, field in long.get("properties", {}).items():
        if "default" in field and "not" not in field:
            long["properties"][key] = _optional(field)
    return {"title": title, **{k: v for k, v in shape.items() if k != "title"}}


def _optional(field: dict[str, Any]) -> dict[str, Any]:
    told = {"title", "description", "default"}
    about = {k: v for k, v in field.items() if k in told and v is not None}
    forms = field.get("anyOf") or [{k: v for k, v in field.items() if k not in told}]
    return {**about, "anyOf": [*(form for form in forms if form != _NULL), _NULL]}
