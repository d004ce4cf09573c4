"""How long `grappe --help` takes: wall time, next to a Python that does nothing.

python benchmarks/help.py [--runs 10]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds(argv: list[str]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="How long `grappe --help` takes.")
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    program = str(Path(sys.executable).parent / "grappe")
    calls = {
        "grappe --help": [program, "--help"],
        "grappe plan --help": [program, "plan", "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):  # in turn, so that a busy moment hits all of them
        for name, argv in calls.items():
            taken[name].append(seconds(argv))
    nothing = statistics.median(taken["python -c pass"])
    print(f"{'':<20} {'median':>9} {'least':>9}   of {runs} runs")
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"{name:<20} {median:>7.3f} s {min(times):>7.3f} s   x {median / nothing:.1f}")


if __name__ == "__main__":
    main()
