"""Published JSON Schemas (2020-12) of everything that is printed with --json, one file each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def published(name: str) -> dict[str, Any]:
    """Return the schema of an output, such as `status`."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_text("utf-8"))
    return found
