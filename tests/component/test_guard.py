"""The dead-man's timer on a real namespace: the only way to the device is really cut by the step."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from component.guard_lab import MOVED, THERE, WRONG, GuardLab, guard_lab, wait_for

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="network namespaces and sshd want root")
SECONDS = 15


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[GuardLab]:
    with guard_lab(tmp_path) as it:
        yield it


def lines(operator: subprocess.Popen[str]) -> list[str]:
    out, _ = operator.communicate(timeout=120)
    return out.splitlines()


def test_an_address_that_cuts_the_way_comes_back_by_itself(lab: GuardLab) -> None:
    said = lines(lab.operate(WRONG, SECONDS))
    assert said[-1].startswith("result undone d: it cannot be reached any more"), said
    assert any(line == "guard-fired nobody came back in time" for line in said)
    assert lab.address() == THERE
    assert "fires: nobody came back in time" in lab.guards()
    assert SECONDS - 2 <= seconds_under_guard(lab) <= SECONDS + 5


def test_killed_in_mid_step_the_device_comes_back_without_anybody(lab: GuardLab) -> None:
    operator = lab.operate(WRONG, SECONDS)
    assert operator.stdout is not None
    for line in operator.stdout:
        if line.startswith("step-begins"):
            wait_for(lambda: lab.address() == WRONG, f"the address {WRONG}")
            os.killpg(operator.pid, signal.SIGKILL)
            break
    operator.wait(10)
    operator.stdout.close()
    assert lab.address() == WRONG
    wait_for(lambda: lab.guards().endswith("guard r-0: fired\n"), "the guard has fired", SECONDS + 60)
    assert lab.address() == THERE
    assert SECONDS - 2 <= seconds_under_guard(lab) <= SECONDS + 5
    assert "guard r-0: fires: nobody came back in time" in lab.guards()


def seconds_under_guard(lab: GuardLab) -> float:
    """From arming to the end of the undo, by the device's own journal and clock (whole seconds)."""
    times = {line.split("guard r-0: ")[1][:5]: line.split()[0] for line in lab.guards().splitlines()}
    armed, fired = (datetime.fromisoformat(times[word]) for word in ("armed", "fired"))
    return (fired - armed).total_seconds()


def test_a_new_address_is_reached_anew_and_stays(lab: GuardLab) -> None:
    said = lines(lab.operate(MOVED, 60, MOVED))
    assert said[-1] == "result done ", said
    assert said.index("committed ") < said.index("disarmed ")
    assert lab.address() == MOVED
    assert lab.guards().splitlines()[-1].endswith("guard r-0: disarmed")
    assert lab.on_device("ls", "/var/lib/grappe/guard") == "boot\n"
    wait_for(lambda: lab.on_device("pgrep", "-f", "guard/r-0") == "", "no process of the guard is left")


def test_a_new_address_that_nobody_was_told_of_goes_back(lab: GuardLab) -> None:
    said = lines(lab.operate(MOVED, SECONDS))
    assert said[-1].startswith("result undone"), said
    assert lab.address() == THERE


def test_a_power_cut_under_an_armed_guard_is_undone_at_the_next_start(lab: GuardLab) -> None:
    operator = lab.operate(WRONG, 60)
    wait_for(lambda: lab.address() == WRONG, f"the address {WRONG}")
    os.killpg(operator.pid, signal.SIGKILL)
    operator.communicate(timeout=10)
    watch = "/var/lib/grappe/guard/r-0"
    lab.on_device("sh", "-c", f"kill -9 $(cat {watch}/pid)")
    wait_for(
        lambda: lab.on_device("sh", "-c", f"kill -0 $(cat {watch}/pid) || echo dead") == "dead\n", "death"
    )
    for _ in range(2):
        lab.on_device("sh", "/var/lib/grappe/guard/boot")
        assert lab.address() == THERE
    assert lab.guards().count("guard r-0: fires: the machine was started again") == 1
    assert lab.on_device("ls", watch).count("fired") == 1
    wait_for(lambda: lab.on_device("pgrep", "-f", watch) == "", "no process of the guard is left")
