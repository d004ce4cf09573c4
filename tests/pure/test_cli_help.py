"""--help is worth reading, completion knows the declaration, and both answer at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "examples" / "kvm-cluster" / "site.yaml"
FIRST, THEN = ("init", "check", "trust", "preflight"), ("status", "plan", "apply", "verify", "journal")
VERBS = [*FIRST, *THEN, "explain", "schema", "twin", "vm"]
LEAVES = [
    *([verb] for verb in VERBS if verb not in ("twin", "vm")),
    *(["twin", verb] for verb in ("up", "down", "status", "shell", "fault")),
    *(["vm", verb] for verb in ("list", "start", "stop", "console")),
]
SHORT = (
    ["twin", "down"],
    ["twin", "status"],
    ["vm", "list"],
    ["vm", "start"],
    ["vm", "stop"],
    ["vm", "console"],
)


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'grappe'; from grappe.cli.main import main; main()",
    ]
    around = {**os.environ, "COLUMNS": "100", **env}
    return subprocess.run([*argv, *words], env=around, capture_output=True, text=True, check=False)


def test_the_verbs_are_listed_in_the_order_of_a_first_day() -> None:
    said = run("--help").stdout
    listed = [line.split()[0] for line in said.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == VERBS
    assert "Exit status: 0 all is well" in said


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_verb_says_what_it_does_in_its_first_line_and_gives_an_example(words: list[str]) -> None:
    done = run(*words, "--help")
    assert done.returncode == 0
    body = done.stdout.partition("\n\n")[2]
    assert body.splitlines()[0].strip()
    assert "\b" not in done.stdout
    if words not in SHORT:
        assert "Example" in body
        assert f"grappe {' '.join(words)}" in body.partition("Example")[2] or words[0] in ("twin", "schema")


def test_help_fits_a_narrow_terminal() -> None:
    assert run("apply", "--help", COLUMNS="30").returncode == 0


def test_help_and_a_wrong_verb_answer_at_once() -> None:
    best = min(_seconds("--help") for _ in range(5))
    assert best < 1.0, f"{best:.2f} s"  # 0.2 s where nothing else runs


def _seconds(*words: str) -> float:
    begun = time.monotonic()
    run(*words)
    return time.monotonic() - begun


def completed(line: str, site: Path = SITE) -> list[str]:
    """What bash is offered at the end of a line."""
    words = line.split(" ")
    env = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_GRAPPE_COMPLETE": "complete_bash",
        "GRAPPE_FILE": str(site),
    }
    done = run(**env)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("grappe ver", ["verify"]),
        ("grappe twin st", ["status"]),
        ("grappe vm start we", ["web1", "web2"]),
        ("grappe verify --network stor", ["storage"]),
        ("grappe status --only ", ["h1", "h2", "h3", "sw1"]),
        ("grappe preflight ", ["h1", "h2", "h3"]),
        ("grappe explain duplicate-m", ["duplicate-mac"]),
        ("grappe explain host-pack", ["host-packages"]),
        ("grappe twin fault pull h1/", ["h1/eth0", "h1/eth1"]),
        ("grappe twin shell o", ["operator"]),
        ("grappe schema ver", ["verify"]),
    ],
)
def test_names_are_completed(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


def test_completion_takes_the_file_of_the_line_and_is_silent_when_it_is_broken(tmp_path: Path) -> None:
    other = SITE.parents[1] / "kvm-openvswitch" / "site.yaml"
    assert completed(f"grappe --file {other} status --only ") == ["newbox"]
    broken = tmp_path / "broken.yaml"
    broken.write_text("site: [")
    for site in (broken, tmp_path / "none.yaml", tmp_path):
        assert completed("grappe vm start ", site) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_shown(shell: str) -> None:
    assert "_GRAPPE_COMPLETE" in run(_GRAPPE_COMPLETE=f"source_{shell}").stdout
