"""The dead-man's timer on a real Debian with systemd: a unit that acts in time, and after a reboot."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import pytest

from grappe.apply import guard_script
from grappe.apply.guard_script import GuardState
from grappe.model.script import Answer, Script, command
from grappe.transport.base import TransportError
from grappe.transport.process import ProcessTransport
from twin.test_machine import INSTALLER, THERE, Rack
from twin.test_machine import rack as rack

WRONG = "10.77.0.11/24"
UNIT = "/etc/systemd/system/grappe-guard-{}.service"


@dataclass
class Way(ProcessTransport):
    """SSH from the place at the far end of the machine's cables."""

    rack: Rack
    device: str = "node1"

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        # The machine is emulated, and slow when others work too.
        words = [w.replace("ConnectTimeout=2", "ConnectTimeout=30") for w in self.rack.way()]
        return [*words, *(["-t"] if tty else []), shlex.join(argv)]

    def _start(self, argv: list[str], *, stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
        start = super()._start
        return self.rack.here(lambda: start(argv, stderr=stderr))


@pytest.fixture
def way(rack: Rack) -> Iterator[Way]:
    yield Way(rack)


def running(address: str) -> Script:
    flush = command("ip", "addr", "flush", "dev", "eno1")
    return (flush, command("ip", "addr", "add", address, "dev", "eno1"))


def written(text: str) -> Script:
    return (command("tee", "/etc/network/interfaces", stdin=text),)


def arm(way: Way, guard: str, undo: Script, forward: Script, seconds: int) -> str:
    script = guard_script.arm(guard, undo, [forward], seconds)
    return guard_script.armed(script, way.run(script, timeout=120))[1]


def state(way: Way, guard: str) -> GuardState:
    (answer,) = way.run((guard_script.poll(guard),))
    return guard_script.understand(answer)


def told(way: Way, *argv: str) -> Answer:
    (answer,) = way.run((command(*argv),))
    return answer


def ended(way: Way, guard: str, limit: float) -> GuardState:
    """Ask until the guard is over; in the meantime the line is cut, sooner or later."""
    deadline, seen = time.monotonic() + limit, "nothing"
    while time.monotonic() < deadline:
        try:
            now = state(way, guard)
        except TransportError as error:
            seen = error.reason
            continue
        if now.state not in ("armed", "firing"):
            return now
        seen = now.state
        time.sleep(0.5)
    raise AssertionError(f"the guard is not over after {limit} s; last seen: {seen}")


def test_a_unit_puts_the_address_back_when_nobody_comes_back(way: Way) -> None:
    forward = (command("touch", "/root/cut"), *running(WRONG))
    how = arm(way, "cut-0", running(THERE), forward, 30)
    assert how.startswith("systemd unit grappe-guard-cut-0.service ")
    # Started without waiting for the answer: its line is cut.
    start = way.popen(("sh", "-c", "sleep 1; " + shlex.join(guard_script.start("cut-0", 0).argv)))
    seen = ended(way, "cut-0", limit=150)
    start.kill()
    start.communicate(timeout=10)
    assert (seen.state, seen.reason) == ("fired", "nobody came back in time")
    assert told(way, "test", "-e", "/root/cut").ok, "the step did not run, so nothing was shown"
    assert THERE in told(way, "ip", "-o", "addr", "show", "dev", "eno1").out
    assert told(way, "test", "-e", UNIT.format("cut-0")).status == 1


def test_a_disarmed_unit_is_gone_and_does_nothing(way: Way) -> None:
    arm(way, "kept-0", (command("touch", "/root/undone"),), (), 60)
    assert told(way, "systemctl", "is-enabled", "grappe-guard-kept-0.service").out == "enabled\n"
    (answer,) = way.run((guard_script.disarm("kept-0"),))
    assert guard_script.understand(answer).state == "disarmed"
    assert told(way, "test", "-e", UNIT.format("kept-0")).status == 1
    assert told(way, "systemctl", "is-active", "grappe-guard-kept-0.service").out == "inactive\n"
    assert told(way, "pgrep", "-f", "guard/kept-0/watch").out == ""
    assert told(way, "test", "-e", "/root/undone").status == 1


def test_a_reboot_in_the_middle_of_an_armed_stage_comes_back_reachable(way: Way) -> None:
    before = way.rack.wait_boot()
    wrong = INSTALLER.replace(THERE, WRONG)
    undo = (*written(INSTALLER), *running(THERE))
    arm(way, "boot-0", undo, written(wrong), 3600)
    way.run((guard_script.start("boot-0", 0),))
    deadline = time.monotonic() + 20
    while told(way, "cat", "/etc/network/interfaces").out != wrong:
        assert time.monotonic() < deadline, "the step did not write the file"
        time.sleep(0.1)
    way.rack.ssh("systemctl", "reboot")
    way.rack.wait_boot(other_than=before)
    deadline = time.monotonic() + 30
    while (seen := state(way, "boot-0")).state in ("armed", "firing"):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    assert seen.state == "fired"
    assert seen.reason == "the machine was started again before anybody disarmed it"
    assert told(way, "cat", "/etc/network/interfaces").out == INSTALLER
    assert told(way, "test", "-e", UNIT.format("boot-0")).status == 1
