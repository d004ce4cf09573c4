"""Run the few programs that image building needs, with errors a person can act on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


class BuildError(Exception):
    """An image could not be built or started: `reason` says what was seen, `hint` what to do."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason + (f" ({hint})" if hint else ""))
        self.reason, self.hint = reason, hint


def require(program: str, package: str) -> str:
    """Return the path of `program`; BuildError names the Debian package that brings it.

    The system folders are searched too: an ordinary user's PATH lacks /usr/sbin.
    """
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        raise BuildError(f"program {program} not found", f"install it: apt-get install {package}")
    return found


def run(argv: Sequence[str], *, cwd: Path | None = None, hint: str = "", timeout: float = 600.0) -> str:
    """Run a program to its end and return its output; BuildError with the last lines when it fails."""
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError:
        raise BuildError(f"program {argv[0]} not found", hint) from None
    except subprocess.TimeoutExpired:
        raise BuildError(f"{argv[0]} did not end within {timeout:.0f} s", hint) from None
    if done.returncode != 0:
        tail = "; ".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise BuildError(f"{' '.join(argv[:3])} … ended with status {done.returncode}: {tail}", hint)
    return done.stdout
