"""The house rules, held by machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["ruff", "check", "."], id="ruff"),
        pytest.param(["ruff", "format", "--check", "."], id="format"),
        pytest.param(["mypy"], id="mypy"),
        pytest.param(["lint-imports"], id="imports point downwards"),
    ],
)
def test_the_house_is_in_order(argv: list[str]) -> None:
    program = Path(sys.executable).parent / argv[0]
    done = subprocess.run([program, *argv[1:]], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", ["demo", "test", "soak", "prepare"])
def test_scripts_can_be_run(script: str) -> None:
    path = TOP / "scripts" / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


def test_help_imports_nothing_heavy() -> None:
    """`grappe --help` answers at once because a verb imports what it needs by itself."""
    code = "import sys, grappe.cli.main; print([m for m in ('pydantic', 'ruamel.yaml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
