"""Changes that cut the operator off: the device takes them back by itself, whoever is left to see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from twin.cluster import EXAMPLES, TwinCluster, twin_of

TIMEOUT = 15
CONFIGURATION = """
cat /etc/network/interfaces /etc/network/interfaces.d/*
ip -br addr; ip route
ovs-vsctl --bare list Port
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwinCluster]:
    file: Path = tmp_path_factory.mktemp("lock") / "site.yaml"
    text = (EXAMPLES / "kvm-openvswitch" / "site.yaml").read_text().split("\nvms:")[0]
    file.write_text(f"{text}\nguard: {{timeout: {TIMEOUT}s}}\n")
    with twin_of(file, "lock") as cluster:
        cluster.grappe("apply", "--yes", "--adopt", "all")
        yield cluster


def changed(box: TwinCluster, name: str, old: str, new: str) -> TwinCluster:
    """The same twin under a declaration with one change."""
    text = box.file.read_text()
    assert old in text
    file = box.file.with_name(f"{name}.yaml")
    file.write_text(text.replace(old, new))
    return TwinCluster(file, box.name)


CUTS = {
    "management on a VLAN that its cable does not carry": ("fabric: outside,", "fabric: outside, vlan: 50,"),
    "a typo in the host's own address": ("internet: .10", "internet: .110"),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_change_that_cuts_the_line_is_undone_by_the_device(box: TwinCluster, cut: str) -> None:
    before = box.on("newbox", "sh", "-c", CONFIGURATION)
    wrong = changed(box, "wrong", *CUTS[cut])
    began = time.monotonic()
    said = wrong.grappe("apply", "--yes", "--partial", status=1)
    assert "the device undid the stage by itself" in said
    assert "UNDONE: everything of the failed stage is as it was before" in said
    assert time.monotonic() - began < 120  # a wait with a limit, not a measure
    assert "fires: nobody came back in time" in box.on("newbox", "cat", "/var/lib/grappe/journal")
    box.grappe("apply", "--yes")  # what earlier, unguarded stages have made
    assert box.drift() == {}
    assert box.on("newbox", "sh", "-c", CONFIGURATION) == before


def test_it_is_undone_when_the_operators_process_is_killed(box: TwinCluster) -> None:
    wrong = changed(box, "killed", *CUTS["management on a VLAN that its cable does not carry"])
    argv = [sys.executable, "-m", "grappe", "-f", str(wrong.file), "--twin-name", wrong.name]
    process = subprocess.Popen([*argv, "apply", "--yes", "--partial"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    armed = next((line for line in process.stdout if "will undo this by itself" in line), "")
    assert armed, "the guard was never armed"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    limit, seen = time.monotonic() + TIMEOUT + 30, ""
    while "fired" not in seen.rpartition("armed for")[2]:
        assert time.monotonic() < limit, seen
        time.sleep(0.5)
        seen = box.on("newbox", "cat", "/var/lib/grappe/journal")
    assert "cut off" in box.grappe("status", status=1)
    assert "--resume" in box.grappe("apply", "--yes", status=1)
    box.grappe("apply", "--abort")
    box.grappe("apply", "--yes")
    assert box.drift() == {}
