"""A site's twin as the tests use it: the command line as an operator types it, the console for faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grappe.twin.lab import Lab

EXAMPLES = Path(__file__).parents[2] / "examples"
EVIDENCE = Path(__file__).parents[2] / ".evidence"


@dataclass(frozen=True)
class TwinCluster:
    """One running twin of a declaration, under a name of its own."""

    file: Path
    name: str

    @property
    def lab(self) -> Lab:
        return Lab.attach(self.name)

    def grappe(self, *words: str, status: int | None = 0, timeout: float = 240) -> str:
        """Run a verb against the twin; the output, once the exit status is as expected."""
        command = [sys.executable, "-m", "grappe", "--file", str(self.file), "--twin-name", self.name, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        said = f"$ grappe {' '.join(words)}  -> {done.returncode}\n{done.stdout}{done.stderr}"
        assert status is None or done.returncode == status, said
        return done.stdout + done.stderr

    def json(self, *words: str, status: int | None = 0) -> Any:
        return json.loads(self.grappe(*words, "--json", status=status))

    def on(self, node: str, *argv: str, check: bool = True) -> str:
        """Run a program on a node's console, behind Grappe's back."""
        done = self.lab.exec(node, list(argv))
        assert not check or done.returncode == 0, (
            f"{node}: {argv} -> {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def drift(self) -> dict[str, list[str]]:
        """What `status` finds, device by device: `kind name: message`."""
        told = self.json("status", status=None)
        found: dict[str, list[str]] = {}
        for item in told["drift"]:
            found.setdefault(item["scope"], []).append(f"{item['kind']} {item['name']}: {item['message']}")
        for scope, reason in told["unknown"].items():
            found.setdefault(scope, []).append(f"unknown: {reason}")
        for refused in told["refused"]:
            found.setdefault(refused["where"].split("/")[0], []).append(f"refused: {refused['message']}")
        return found


@contextmanager
def twin_of(file: Path, name: str, *options: str) -> Iterator[TwinCluster]:
    """Bring a twin up, and down again whatever happened; leave evidence of the hosts when a test failed."""
    cluster = TwinCluster(file, f"{name}-{os.getpid()}")
    cluster.grappe("twin", "up", *options)
    try:
        yield cluster
    finally:
        cluster.grappe("twin", "down", status=None)
