"""The probe and its conductor on real Open vSwitch: what is planted is found, and nothing stays behind."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from component.probe_lab import Lab, NamespaceTransport, wait_until
from grappe.transport.base import TransportError
from grappe.verify import probe
from grappe.verify.conduct import Conductor, Tempo, roll_call, roll_calls
from grappe.verify.explain import Problem, problems
from grappe.verify.rollcall import Heard, Kind, RollCall, State

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="namespaces with Open vSwitch are made by root here"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    laboratory = Lab(3)
    yield laboratory
    laboratory.close()


def hold(lab: Lab) -> RollCall:
    return roll_call(lab.plan(), lab.transports())


def faults(call: RollCall) -> list[Problem]:
    return [problem for problem in problems(call) if problem.state is not State.UNPROVED]


def planted(lab: Lab, device: str, fault: str, mend: str) -> RollCall:
    """Hold a roll call with a fault planted behind everybody's back."""
    lab.sh(device, fault)
    try:
        return hold(lab)
    finally:
        lab.sh(device, mend)


def test_a_sound_site_passes_whole_and_leaves_nothing_behind(lab: Lab) -> None:
    before = [(lab.ports(device), lab.links(device)) for device in lab.pids], lab.processes()
    start = time.monotonic()
    call = hold(lab)
    took = time.monotonic() - start
    assert faults(call) == []
    assert not call.counts[State.UNPROVED]
    assert all(jumbo.state is State.HEARD for jumbo in call.jumbo)
    assert took < 10  # the benchmark holds it to 2 s; here other tests share the machine
    assert ([(lab.ports(device), lab.links(device)) for device in lab.pids], lab.processes()) == before
    assert lab.sh("h1", "cat /sys/class/net/br0/mtu").strip() == "9000"


def test_a_wrong_tag_on_a_hosts_port_is_named_with_both_networks(lab: Lab) -> None:
    call = planted(lab, "h2", "ovs-vsctl set port web0 tag=10", "ovs-vsctl set port web0 tag=6")
    (problem,) = faults(call)
    assert (problem.device, problem.interface) == ("h2", "web0")
    assert problem.cause == "the port is on DMZ (VLAN 10) instead of WEB (VLAN 6)"


def test_a_guests_port_without_its_tag_leaks_every_vlan_with_its_tag(lab: Lab) -> None:
    call = planted(lab, "h1", "ovs-vsctl clear port vnet0 tag", "ovs-vsctl set port vnet0 tag=6")
    (problem,) = faults(call)
    assert (problem.state, problem.device, problem.interface) == (State.LEAK, "h1", "vnet0 (guest of h1)")
    assert "(1, 6, 10, 12, 20 seen)" in problem.cause
    point = next(n for n, p in enumerate(call.plan.points) if (p.device, p.interface) == ("h1", "vnet0"))
    leaks = {
        (voice.network, frame.tags)
        for voice, row in zip(call.plan.voices, call.cells, strict=True)
        for frame in row[point].frames
    }
    assert leaks == {("LAN", (1,)), ("WEB", (6,)), ("DMZ", (10,)), ("STORAGE", (12,)), ("APP", (20,))}


@pytest.mark.parametrize(
    ("device", "port", "cause"),
    [
        ("sw", "sfp2", "sw sfp2 does not let them through"),
        ("h2", "eth1", "frames arrive at h2 eth1 but not behind it"),
    ],
)
def test_a_vlan_missing_on_a_trunk_is_named_at_its_end(lab: Lab, device: str, port: str, cause: str) -> None:
    whole, gap = "trunks=1,6,10,12,20", "trunks=1,10,12,20"
    call = planted(lab, device, f"ovs-vsctl set port {port} {gap}", f"ovs-vsctl set port {port} {whole}")
    (problem,) = faults(call)
    assert (problem.device, problem.networks) == ("h2", ("WEB",))
    assert problem.cause.startswith(cause)


@pytest.mark.parametrize(("device", "interface", "culprit"), [("h2", "eth1", "h2"), ("sw", "sfp3", "h3")])
def test_mtu_1500_on_one_hop_is_found_in_both_directions(
    lab: Lab, device: str, interface: str, culprit: str
) -> None:
    call = planted(lab, device, f"ip link set {interface} mtu 1500", f"ip link set {interface} mtu 9000")
    lost = {
        (call.plan.speaker(jumbo.pair.voice).device, call.plan.points[jumbo.pair.target].device)
        for jumbo in call.jumbo
        if jumbo.state is State.DEAF
    }
    others = {"h1", "h2", "h3"} - {culprit}
    assert lost == {(culprit, other) for other in others} | {(other, culprit) for other in others}
    (problem,) = faults(call)
    assert (problem.device, problem.cause) == (culprit, f"{device} {interface} has MTU 1500")


def test_mtu_1500_on_a_hosts_own_port_only_shows_in_one_direction(lab: Lab) -> None:
    small, whole = (f"ovs-vsctl set interface stor0 mtu_request={mtu}" for mtu in (1500, 9000))
    call = planted(lab, "h2", small, whole)
    (problem,) = faults(call)
    assert problem.device == "h2"
    assert "lost from it only (h2 to h1, h2 to h3)" in problem.seen
    assert problem.cause == "h2 stor0 has MTU 1500"


def test_a_pulled_cable_is_one_problem(lab: Lab) -> None:
    call = planted(lab, "h3", "ip link set eth1 down", "ip link set eth1 up")
    (problem,) = faults(call)
    assert problem.device == "h3"
    assert problem.networks == ("LAN", "WEB", "DMZ", "STORAGE", "APP")
    assert "the interface is down" in problem.cause


def test_a_host_without_a_probe_is_unproved(lab: Lab) -> None:
    class Broken(NamespaceTransport):
        def popen(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
            raise TransportError(self.device, f"no way to start {argv[0]}")

    call = roll_call(lab.plan(), {**lab.transports(), "h3": Broken(lab, "h3")})
    assert call.reports["h3"].reason == "h3: no way to start python3"
    assert call.ok
    assert {
        cell.state for row in call.cells for n, cell in enumerate(row) if call.plan.points[n].device == "h3"
    } <= {State.UNPROVED, State.SELF}


def test_a_probe_that_never_answers_costs_only_its_patience(lab: Lab) -> None:
    class Mute(NamespaceTransport):
        def popen(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
            return super().popen(("cat",)) if argv else super().popen(argv)

    tempo = Tempo(patience=2.0)
    start = time.monotonic()
    call = roll_call(lab.plan(), {**lab.transports(), "h3": Mute(lab, "h3")}, tempo)
    assert "its probe" in call.reports["h3"].reason
    assert time.monotonic() - start < 20
    assert call.ok


def test_a_missing_python_is_said_with_the_devices_own_words(lab: Lab) -> None:
    class Bare(NamespaceTransport):
        def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:
            return super().argv(
                ["sh", "-c", "echo python3: not found >&2; exit 127"] if argv else [], tty=tty
            )

    call = roll_call(lab.plan(), {**lab.transports(), "h3": Bare(lab, "h3")})
    assert "python3: not found" in call.reports["h3"].reason


@pytest.mark.parametrize("end", ["input", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_however_the_probe_ends_its_ports_go(lab: Lab, end: str) -> None:
    before = lab.ports("h1"), lab.processes()
    plan = lab.plan()
    with Conductor(plan, lab.transports(), Tempo(patience=10.0)) as conductor:
        conductor.shout()
        extra = set(lab.ports("h1")) - set(before[0])
        assert len(extra) == 1
        if end.startswith("SIG"):
            os.kill(probe_process(lab, "h1"), signal.Signals[end])
        if end == "input":
            conductor.lines["h1"].close(time.monotonic() + 10)
        wait_until("the temporary port to go", lambda: lab.ports("h1") == before[0])
    wait_until("every probe and guard to end", lambda: lab.processes() == before[1])
    assert all(lab.ports(device) == lab.ports("h1") for device in ("h2", "h3"))


def probe_process(lab: Lab, device: str) -> int:
    """Find a node's probe; its guard leads a session of its own, and nsenter is no Python."""
    network = lab.sh(device, "readlink /proc/self/ns/net").strip()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may have ended since
            ours = b"grappe-probe" in (entry / "cmdline").read_bytes() and "python" in str(
                (entry / "exe").readlink()
            )
            pid = int(entry.name)
            if ours and str((entry / "ns/net").readlink()) == network and os.getsid(pid) != pid:
                found.append(pid)
    (pid,) = found
    return pid


def test_expired_ports_of_an_earlier_run_are_swept_and_those_of_a_running_one_are_not(lab: Lab) -> None:
    for name, expiry in (("gpold", 1000), ("gprunning", int(time.time()) + 600)):
        mark = f"external_ids:grappe-probe={expiry}"
        lab.sh("h1", f"ovs-vsctl add-port br0 {name} {mark} -- set interface {name} type=internal")
    try:
        hold(lab)
        assert "gpold" not in lab.ports("h1")
        assert "gprunning" in lab.ports("h1")
    finally:
        lab.sh("h1", "ovs-vsctl --if-exists del-port gpold -- --if-exists del-port gprunning")


def test_a_temporary_port_is_silent_and_keeps_the_bridges_mtu(lab: Lab) -> None:
    """Whatever leaves by the uplink while ports come and go has our EtherType."""
    watch = subprocess.Popen(
        [*lab.enter("h1"), "tcpdump", "-i", "eth1", "-n", "-e", "-l", "-q", "-Q", "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stderr is not None
    while "listening" not in watch.stderr.readline():
        pass
    with Conductor(lab.plan(), lab.transports()) as conductor:
        conductor.shout()
        (port,) = [name for name in lab.ports("h1") if name.startswith("gp")]
        assert lab.sh("h1", f"cat /sys/class/net/{port}/mtu /sys/class/net/br0/mtu").split() == [
            "9000",
            "9000",
        ]
        assert "NOARP" in lab.sh("h1", f"ip link show {port}")
        assert lab.sh("h1", f"cat /proc/sys/net/ipv6/conf/{port}/disable_ipv6").strip() == "1"
    lab.sh("h1", "pkill -INT -x tcpdump")  # the laboratory's own; its process namespace holds no other
    out, _ = watch.communicate(timeout=10)
    lines = [line for line in out.splitlines() if "tag:" not in line and line.strip() and line[0].isdigit()]
    assert lines
    assert [line for line in lines if "0x88b5" not in line.lower()] == []


def test_a_leak_of_a_moment_is_seen_by_rounds_during_an_operation_and_stamped(lab: Lab) -> None:
    done, rounds = threading.Event(), list[list[Heard]]()
    plan = lab.plan()
    guest = next(n for n, p in enumerate(plan.points) if (p.device, p.kind) == ("h3", Kind.GUEST_PORT))

    def leaks() -> list[Heard]:
        return [new for news in list(rounds) for new in news if new.point == guest and new.tags == (12,)]

    result = list[RollCall]()
    watch = threading.Thread(
        target=lambda: result.append(roll_calls(plan, lab.transports(), until=done, news=rounds.append))
    )
    watch.start()
    try:
        wait_until("two quiet rounds", lambda: len(rounds) > 1)
        assert leaks() == []
        start = time.time()
        lab.sh("h3", "ovs-vsctl clear port vnet0 tag")
        wait_until("the leak", leaks)
        lab.sh("h3", "ovs-vsctl set port vnet0 tag=6")
        end = time.time()
    finally:
        done.set()
        watch.join(30)
    assert start - 0.5 <= min(new.first for new in leaks()) <= end + 0.5
    assert any(problem.device == "h3" and problem.state is State.LEAK for problem in problems(result[0]))


def test_two_roll_calls_at_once_do_not_hear_each_other(lab: Lab) -> None:
    calls = list[RollCall]()
    threads = [threading.Thread(target=lambda: calls.append(hold(lab))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(calls) == 2
    assert [faults(call) for call in calls] == [[], []]


def test_the_probes_life_is_limited(lab: Lab) -> None:
    before = lab.ports("h1"), lab.processes()
    with Conductor(lab.plan(), lab.transports(), Tempo(life=1.0)):
        wait_until("the probes to leave by themselves", lambda: lab.ports("h1") == before[0])
    wait_until("every process to end", lambda: lab.processes() == before[1])


def test_the_probe_is_python_3_6_and_standard_library_only() -> None:
    source = Path(probe.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    known_in_3_6 = {"array", "collections", "contextlib", "errno", "fcntl", "json", "os", "select", "signal"}
    assert imported <= known_in_3_6 | {"socket", "struct", "subprocess", "sys", "time", "typing"}
    newer = (
        "capture_output",
        "monotonic_ns",
        "time_ns",
        "removeprefix",
        "from __future__ import annotations",
    )
    assert not [name for name in newer if name in source]


def test_a_frame_is_read_back_as_it_was_written() -> None:
    header = probe.HEADER.pack(probe.MAGIC, 1, 1, b"site", b"8 bytes.", 7, 3, probe.NOBODY, 9, 46)
    for tag in (None, 6):
        frame = probe.write_frame(b"\xff" * 6, b"\x02" * 6, tag, header, 9000)
        auxiliary = probe.AUXDATA.pack(1, len(frame), 96, 0, 0, 0, 0)
        tags, payload, size = probe.read_frame(frame[:96], auxiliary)
        assert (tags, size) == ((6,) if tag else (), 9000)
        assert payload.startswith(header)


def test_a_tag_in_the_auxiliary_data_is_the_outer_one_and_a_priority_tag_is_none() -> None:
    frame = b"\xff" * 6 + b"\x02" * 6 + b"\x81\x00\x00\x0a" + b"\x88\xb5" + b"x" * 46
    outer = probe.AUXDATA.pack(0x51, len(frame), 96, 0, 0, 6, 0x88A8)
    assert probe.read_frame(frame, outer)[0] == (6, 10)
    priority = probe.AUXDATA.pack(0x51, len(frame), 96, 0, 0, 0xE000, 0x8100)
    assert probe.read_frame(frame, priority)[0] == (10,)
