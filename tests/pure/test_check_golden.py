"""Whole sites and what `grappe check` says about them, word for word.

A case is a folder with site.yaml and findings.txt. `GRAPPE_REGENERATE=1 pytest` writes findings.txt anew, to
be read by a person before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grappe.check import check
from grappe.check.render import to_text
from grappe.document import loads

FOLDERS = sorted(p.parent for p in (Path(__file__).parent / "check_cases" / "golden").glob("*/site.yaml"))


def test_there_are_cases() -> None:
    assert len(FOLDERS) >= 4


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_findings_read_as_agreed(folder: Path) -> None:
    document = loads((folder / "site.yaml").read_text(encoding="utf-8"), "site.yaml")
    said = to_text(check(document.site), "site.yaml", document.position)
    golden = folder / "findings.txt"
    if os.environ.get("GRAPPE_REGENERATE"):
        golden.write_text(said, encoding="utf-8")
    assert said == golden.read_text(encoding="utf-8")
