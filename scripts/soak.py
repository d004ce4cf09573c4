"""Repeat the hard tests and count: one line of JSON per run, so that a stopped soak can go on."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
ROWS = {
    "planner: properties over random worlds": ["tests/simulated"],
    "roll call on real Open vSwitch": ["tests/component/test_probe.py"],
    "the twin: up, cables, power, kill -9, nothing left": ["tests/twin/test_lab.py"],
    "three hosts and a switch: apply, faults named, mended, power cycle": ["tests/twin/test_cluster.py"],
    "the only NIC moves into a bridge and back": ["tests/twin/test_note_c.py"],
    "guard: cut off, undone by the device": ["tests/component/test_guard.py"],
    "a machine with its own kernel: real reboot": ["tests/twin/test_machine.py"],
}


def main(words: list[str]) -> int:
    """Run what is missing for this commit, then print the table."""
    commit = _git("rev-parse", "--short", "HEAD") + (
        "+" if _git("status", "--porcelain", "src", "tests") else ""
    )
    log = _log()
    if "--table" not in words:
        times = int(words[0]) if words else 10
        for number in range(times):
            for title, tests in ROWS.items():
                if len([r for r in _runs(log, commit) if r["row"] == title]) <= number:
                    _append(log, _run(commit, title, tests))
    print(_table(list(_runs(log, commit)), commit))
    return 0


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=TOP, capture_output=True, text=True, check=False
    ).stdout.strip()


def _log() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local/state"))
    folder = state / "grappe"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "soak.jsonl"


def _runs(log: Path, commit: str) -> Iterator[dict[str, object]]:
    if log.exists():
        for line in log.read_text().splitlines():
            run = json.loads(line)
            if run["commit"] == commit:
                yield run


def _append(log: Path, run: dict[str, object]) -> None:
    with log.open("a") as file:
        file.write(json.dumps(run) + "\n")


def _run(commit: str, title: str, tests: list[str]) -> dict[str, object]:
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-x", *tests]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    seconds = round(time.monotonic() - started, 1)
    print(f"{title}: {'passed' if done.returncode == 0 else 'FAILED'} in {seconds} s", file=sys.stderr)
    tail = "" if done.returncode == 0 else done.stdout[-4000:]
    return {"commit": commit, "row": title, "ok": done.returncode == 0, "seconds": seconds, "tail": tail}


def _table(runs: list[dict[str, object]], commit: str) -> str:
    lines = [f"Commit {commit}.", "", "| what | runs | passed | median, s |", "| --- | --- | --- | --- |"]
    for title in ROWS:
        mine = [r for r in runs if r["row"] == title]
        median = f"{statistics.median(float(str(r['seconds'])) for r in mine):.0f}" if mine else "-"
        lines.append(f"| {title} | {len(mine)} | {sum(bool(r['ok']) for r in mine)} | {median} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
