"""Check and plan synthetic sites of growing size: seconds, what one resource costs, and memory.

    python benchmarks/planning.py [--hosts 10 100 1000] [--runs 3]

Each size runs in a process of its own. Four figures, the best of the runs each:

check      all findings over the declaration
no change  a plan when everything is as declared: lowering, comparing, nothing to order
create     a plan from bare hosts: everything is made, rendered, with its undo
renumber   a plan for another VLAN id on a network that every host and switch carries

What grows like n log n costs little more per resource at 1,000 hosts than at 10; what grows like n squared
would cost a hundred times as much.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise

import sites

from grappe.check.run import check
from grappe.graph.resource import Observation
from grappe.model.finding import Severity
from grappe.model.site import Site
from grappe.platforms.planning import Survey, plan_site

FIGURES = ("check", "no change", "create", "renumber")


def best(runs: int, declare: Callable[[], Site], work: Callable[[Site], int]) -> tuple[float, int]:
    """The shortest of some runs, each over a site made anew (one keeps an index), and what was counted."""
    times: list[float] = []
    count = 0
    for _ in range(runs):
        declared = declare()
        start = time.perf_counter()
        count = work(declared)
        times.append(time.perf_counter() - start)
    return min(times), count


def measure(hosts: int, runs: int) -> dict[str, float]:
    """All figures of one size. Stops with an error when a plan is not what it should be."""
    declared = sites.site(hosts)
    platforms = sites.platforms(declared)
    bare = sites.bare(declared)
    there = sites.as_declared(declared, bare)

    def errors(site: Site) -> int:
        return len([f for f in check(site) if f.severity is Severity.ERROR])

    def changes(seen: Mapping[str, Observation]) -> Callable[[Site], int]:
        def planned(site: Site) -> int:
            plan = plan_site(site, "digest", Survey(seen), platforms)
            if plan.refusals:
                raise SystemExit(f"{len(plan.refusals)} refusals in a sound site: {plan.refusals[0]}")
            return len(plan.changes)

        return planned

    def make() -> Site:
        return sites.site(hosts)

    work = {
        "check": (make, errors),
        "no change": (make, changes(there)),
        "create": (make, changes(bare)),
        "renumber": (lambda: sites.renumbered(make()), changes(there)),
    }
    size = float(sum(len(o.resources) for o in there.values()))
    found: dict[str, float] = {"hosts": hosts, "vms": hosts * sites.VMS, "resources": size}
    for name, (declare, measured) in work.items():
        found[name], found[f"{name} count"] = best(runs, declare, measured)
    if found["check count"] or found["no change count"] or not found["create count"]:
        raise SystemExit(f"not the plans that were meant: {found}")
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def apart(hosts: int, runs: int) -> dict[str, float]:
    """Measure in a new process, so that its memory is that of one size."""
    argv = [sys.executable, __file__, "--one", str(hosts), "--runs", str(runs)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(found: list[dict[str, float]]) -> str:
    """Seconds, microseconds per resource, and growth next to what n log n and n squared would be."""
    lines = [
        f"{'hosts':>6} {'VMs':>7} {'resources':>10}" + "".join(f"{f:>12}" for f in FIGURES) + f"{'MiB':>8}"
    ]
    for row in found:
        figures = "".join(f"{row[f]:>10.3f} s" for f in FIGURES)
        lines.append(
            f"{row['hosts']:>6.0f} {row['vms']:>7.0f} {row['resources']:>10.0f}{figures}{row['memory']:>8.0f}"
        )
    lines += ["", "microseconds per resource"]
    for row in found:
        each = "".join(f"{row[f] / row['resources'] * 1e6:>12.1f}" for f in FIGURES)
        lines.append(f"{row['hosts']:>6.0f} {'':>7} {'':>10}{each}")
    lines += ["", "growth"]
    for small, large in pairwise(found):
        a, b = small["resources"], large["resources"]
        each = "".join(f"{'x ' + format(large[f] / small[f], '.1f'):>12}" for f in FIGURES)
        sort, square = b * math.log(b) / (a * math.log(a)), (b / a) ** 2
        steps = f"{small['hosts']:.0f} to {large['hosts']:.0f}"
        lines.append(f"{steps:>14} {'':>10}{each}   (n log n: x {sort:.1f}, n squared: x {square:.0f})")
    last = found[-1]
    counts = ", ".join(f"{f} {last[f'{f} count']:.0f}" for f in FIGURES[1:])
    return "\n".join([*lines, "", f"changes in the largest plans: {counts}"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Check and plan synthetic sites of growing size.")
    parser.add_argument("--hosts", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.one:
        print(json.dumps(measure(words.one, words.runs)))
    else:
        print(table([apart(n, words.runs) for n in words.hosts]))


if __name__ == "__main__":
    main()
