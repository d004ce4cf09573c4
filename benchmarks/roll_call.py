"""Hold the roll call over the twin's real SSH, after a real apply: seconds, and the frames that were sent.

    python benchmarks/roll_call.py [--runs 5] [--sizes 3x5 13x19] [--show] [--planted]

Warm: the SSH connections are there, as after `apply`. Cold: they are opened by the roll call. `--show`
prints the last matrix of each size as `grappe verify` does, `--planted` with wrong VLANs on the switch.
"""

from __future__ import annotations

import argparse
import sys

from rig import SWITCH, Rig, Samples, machine, rig

from grappe.app import Cluster
from grappe.verify.conduct import Conductor, Tempo
from grappe.verify.points import question
from grappe.verify.render import to_text
from grappe.verify.rollcall import Plan, RollCall, State


def hold(cluster: Cluster, plan: Plan) -> tuple[RollCall, int]:
    """One roll call, as `verify` holds it, and how many frames were sent."""
    with Conductor(plan, cluster.transports, Tempo()) as conductor:
        conductor.presence()
        conductor.jumbo()
    return conductor.verdict(), sum(sum(line.sent.values()) for line in conductor.lines.values())


def once(found: Rig, what: str, seconds: Samples, frames: Samples) -> RollCall:
    """Cold, then warm; each with the look at the devices that `verify` begins with."""
    found.hang_up()
    for state in ("cold", "warm"):
        cluster = found.cluster()
        with seconds.timing(f"{what}, {state}: look and roll call"):
            survey = cluster.survey()
            plan = question(cluster.site, survey.observations)
            with seconds.timing(f"{what}, {state}: roll call alone"):
                call, sent = hold(cluster, plan)
        frames.add(what, sent)
    return call


def measure(hosts: int, networks: int, runs: int, seconds: Samples, frames: Samples) -> list[RollCall]:
    """A twin of one size, applied; every run's roll call."""
    with rig(hosts, networks) as found:
        found.grappe("apply", "--yes")
        calls = []
        for number in range(runs):
            print(f"{hosts} x {networks}: round {number + 1} of {runs}, {machine()}", flush=True)
            calls.append(once(found, f"{hosts} hosts x {networks} networks", seconds, frames))
        return calls


def planted(hosts: int, networks: int) -> RollCall:
    """The same with faults on the switch: a VLAN forgotten towards h2, another one untagged towards h3."""
    with rig(hosts, networks) as found:
        found.grappe("apply", "--yes")
        for words in (
            ("remove", "Port", "p2", "trunks", "10"),
            ("set", "Port", "p3", "vlan_mode=native-untagged", "tag=11"),
        ):
            found.lab.exec(SWITCH, ["ovs-vsctl", *words])
        cluster = found.cluster()
        return hold(cluster, question(cluster.site, cluster.survey().observations))[0]


def verdict(calls: list[RollCall]) -> str:
    """What the roll calls found, in words."""
    failed = sum(not call.ok for call in calls)
    unproved = sum(call.counts[State.UNPROVED] for call in calls)
    return f"{len(calls)} roll calls, {failed} failed, {unproved} cells unproved"


def _size(text: str) -> tuple[int, int]:
    hosts, _, networks = text.partition("x")
    return int(hosts), int(networks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--sizes", type=_size, nargs="+", default=[(3, 5), (13, 19)], metavar="HOSTSxNETWORKS"
    )
    parser.add_argument("--show", action="store_true", help="print the matrix")
    parser.add_argument("--planted", action="store_true", help="print the matrix of a hurt twin; no figures")
    wanted = parser.parse_args()
    seconds, frames, calls = Samples("s"), Samples("frames"), list[RollCall]()
    for hosts, networks in wanted.sizes:
        if wanted.planted:
            print(to_text(planted(hosts, networks)) + "\n")
            continue
        found = measure(hosts, networks, wanted.runs, seconds, frames)
        calls += found
        if wanted.show:
            print(to_text(found[-1], full=True))
    if calls:
        print(f"\n{seconds.text()}\n\n{frames.text(0)}\n\n{verdict(calls)}")
        print("aims: 2 s for 3 x 5 and 5 s for 13 x 19")
    print(f"{machine()}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
