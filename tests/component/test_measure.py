"""Outages and byte counters: the analysis alone, and the pinger on a real wire."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component.probe_lab import Lab, wait_until
from grappe.model.script import Answer
from grappe.transport.base import TransportError
from grappe.verify import pinger, wire
from grappe.verify.gaps import analyse
from grappe.verify.outage import Watch, Watched

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="namespaces with Open vSwitch are made by root here"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    laboratory = Lab(2)
    for n in (1, 2):
        laboratory.sh(
            f"h{n}", f"ip addr add 192.168.5.{n}/24 dev web0; ip addr add 192.168.12.{n}/24 dev stor0"
        )
    yield laboratory
    laboratory.close()


# Gaps


@given(st.integers(0, 80), st.integers(2, 60), st.integers(1, 80), st.floats(0, 0.005))
def test_a_planted_outage_is_measured_to_an_interval(
    before: int, lost: int, after: int, delay: float
) -> None:
    sent = [100 + n * 0.01 for n in range(before + lost + after)]
    answers = [at + delay for n, at in enumerate(sent) if not before <= n < before + lost]
    outage = analyse(sent, answers, sent[-1] + 1, 0.01)
    assert abs(outage.longest - (lost + (1 if before else 0)) * 0.01) < 0.0101
    assert (outage.sent, outage.answered, outage.open_end) == (before + lost + after, before + after, False)


def test_answers_that_come_late_all_at_once_leave_the_gap() -> None:
    sent = [n * 0.01 for n in range(100)]
    answers = [max(at, 0.7) if at > 0.3 else at for at in sent]
    outage = analyse(sent, answers, 1.5, 0.01)
    assert outage.answered == outage.sent
    assert outage.longest == pytest.approx(0.4)
    assert str(outage) == "longest gap 400 ms; 0 of 100 pings without an answer"


def test_a_gap_that_does_not_end_is_counted_and_said() -> None:
    sent = [n * 0.01 for n in range(100)]
    outage = analyse(sent, sent[:40], 2.0, 0.01)
    assert outage.open_end
    assert outage.longest == pytest.approx(0.6, abs=0.011)
    assert "not over at the end" in str(outage)


def test_no_answer_at_all_is_said_so() -> None:
    assert str(analyse([0.0, 0.01], [], 1.0, 0.01)) == "no answer to 2 pings"


def test_the_pingers_own_pause_is_not_sold_as_an_outage() -> None:
    sent = [0.0, 0.01, 0.02, 0.5, 0.51]
    assert "the pinger itself paused for 480 ms" in str(analyse(sent, sent, 1.0, 0.01))


def test_without_pings_there_is_no_gap() -> None:
    assert analyse([], [], 1.0, 0.01).longest == 0


# The pinger


@needs_root
@pytest.mark.parametrize("how", ["icmp", "arp"])
def test_a_cable_pulled_for_a_moment_is_measured(lab: Lab, how: str) -> None:
    watched = Watched("192.168.5.2", "arp" if how == "arp" else "icmp", "web0")
    with Watch(lab.transports()["h1"], watched) as watch:
        wait_until("a first answer", watch.answered)
        clock, pull = "cut -d' ' -f1 /proc/uptime", "ip link set eth1 down; sleep 0.4; ip link set eth1 up"
        took = lab.sh("h2", f"{clock}; {pull}; {clock}").split()
        seen = watch.so_far().answered
        wait_until("answers again", lambda: watch.so_far().answered > seen)
    outage = watch.stop()
    assert 0.35 < outage.longest < float(took[1]) - float(took[0]) + 1.0
    assert not outage.open_end
    assert watch.broken == ""
    gap = watch.wall(outage.gaps[0])
    assert gap[1] - gap[0] == pytest.approx(outage.longest)


@needs_root
def test_a_quiet_network_shows_no_outage(lab: Lab) -> None:
    with Watch(lab.transports()["h1"], Watched("192.168.5.2")) as watch:
        wait_until("two hundred answers", lambda: watch.so_far().answered >= 200)
    outage = watch.stop()
    assert outage.longest < 0.2
    assert outage.sent - outage.answered <= 2


@needs_root
def test_arp_probes_teach_the_target_nothing(lab: Lab) -> None:
    lab.sh("h2", "ip neigh flush all")
    with Watch(lab.transports()["h1"], Watched("192.168.12.2", "arp", "stor0")) as watch:
        wait_until("an answer", watch.answered)
    assert "192.168.12.1" not in lab.sh("h2", "ip neigh show dev stor0")


@needs_root
def test_an_interface_that_is_not_there_is_said_at_once(lab: Lab) -> None:
    with pytest.raises(TransportError, match=r"h1: no watch of 192\.168\.5\.2: .*No such device"):
        Watch(lab.transports()["h1"], Watched("192.168.5.2", "arp", "nothere"))


@needs_root
def test_a_watch_leaves_no_process_behind(lab: Lab) -> None:
    before = lab.processes()
    watch = Watch(lab.transports()["h1"], Watched("192.168.5.2"))
    assert lab.processes() != before
    watch.stop()
    assert watch.stop() is watch.stop()
    wait_until("the pinger to end", lambda: lab.processes() == before)


def test_the_pinger_is_python_3_6_and_standard_library_only() -> None:
    tree = ast.parse(Path(pinger.__file__).read_text(), feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {
        "array",
        "contextlib",
        "json",
        "os",
        "select",
        "signal",
        "socket",
        "struct",
        "sys",
        "time",
    }


def test_the_checksum_is_the_one_of_rfc_1071() -> None:
    packet = bytes.fromhex("4500003c1c4640004006 0000 ac100a63ac100a0c")
    assert pinger.checksum(packet) == 0xB1E6


# Byte counters

TABLE = """\
Inter-|   Receive                                         |  Transmit
 face |bytes packets errs drop fifo frame comp multicast|bytes packets errs drop fifo colls carrier comp
    lo:     100    2    0    0    0     0     0         0     100       2    0    0    0     0       0    0
  eth1: 5000000 4000    0    1    0     0     0         0 7000000    5000    0    2    0     0       0    0
"""


def test_the_kernels_table_is_read() -> None:
    reading = wire.understand(Answer(0, TABLE))
    assert reading["eth1"] == wire.Counters(5000000, 7000000, 4000, 5000, 1, 2)
    assert set(reading) == {"lo", "eth1"}


def test_something_else_than_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="found: cat: No such file"):
        wire.understand(Answer(1, "", "cat: No such file"))


def test_bytes_over_the_wrong_interface_fail_the_proof() -> None:
    before = {"eth0": wire.Counters(10, 10), "eth1": wire.Counters(10, 10)}
    after = {"eth0": wire.Counters(10, 4 * 1024**2 + 10), "eth1": wire.Counters(20, 10)}
    proof = wire.prove("h1", wire.moved(before, after), over=["eth1"], among=["eth0"])
    assert not proof.ok
    assert str(proof) == "h1: 10 bytes of 4 MiB went over eth1; 4 MiB over eth0"
    assert wire.prove("h1", wire.moved(before, after), over=["eth0"], among=["eth1"]).ok


def test_a_bond_member_that_carried_nothing_is_said_unproved() -> None:
    after = {"eth1": wire.Counters(5000, 5000), "eth2": wire.Counters()}
    proof = wire.prove("h1", wire.moved({}, after), over=["eth1", "eth2"], among=[])
    assert proof.ok
    assert "unproved, for it carried nothing: eth2" in str(proof)


def test_an_interface_made_anew_counts_from_zero_and_nothing_at_all_proves_nothing() -> None:
    then = {"eth1": wire.Counters(900, 900, 9, 9)}
    assert wire.moved(then, {"eth1": wire.Counters(50, 60, 1, 1)})["eth1"].total == 110
    assert not wire.prove("h1", wire.moved(then, then), over=["eth1"], among=[]).ok


@needs_root
def test_real_bytes_are_seen_on_the_uplink_that_carried_them(lab: Lab) -> None:
    transport = lab.transports()["h1"]

    def reading() -> wire.Reading:
        return wire.understand(transport.run((wire.read(),))[0])

    before = reading()
    said = lab.sh("h1", "ping -q -c 20 -i 0.02 -s 1400 192.168.5.2")
    back = int(said.partition(" received")[0].split()[-1])
    assert back
    carried = wire.moved(before, reading())
    proof = wire.prove("h1", carried, over=["eth1"], among=["lo"], at_least=2 * back * 1400)
    assert proof.ok, f"{proof}\n{said}"
