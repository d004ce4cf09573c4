"""Broken declarations and exactly what is said about them.

Each folder of `declarations/` has an `input.yaml` and an `expected.txt`. GRAPPE_REGENERATE=1 writes the
second anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grappe.document import DeclarationError, load

CASES = sorted(path.parent for path in (Path(__file__).parent / "declarations").glob("*/input.yaml"))


def _said(case: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(case)
    with pytest.raises(DeclarationError) as raised:
        load(Path("input.yaml"))
    return f"{raised.value}\n"


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_broken_declaration_is_told_exactly(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = _said(case, monkeypatch)
    expected = case / "expected.txt"
    if os.environ.get("GRAPPE_REGENERATE"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")
