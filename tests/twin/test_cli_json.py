"""What the verbs print of a running twin obeys the published schemas; two at once, and changes meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from grappe.apply import lease
from grappe.cli import schemas
from twin.cluster import EXAMPLES, TwinCluster, twin_of

ADOPT = ("--adopt", "*/libvirt-network/default", "--adopt", "*/stanza/eno1")


@pytest.fixture(scope="module")
def box() -> Iterator[TwinCluster]:
    with twin_of(EXAMPLES / "kvm-openvswitch" / "site.yaml", "json") as cluster:
        yield cluster


def closed(schema: Any) -> Any:
    """The same schema without room for keys that it does not tell of."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


def obeys(name: str, document: Any) -> None:
    Draft202012Validator(closed(schemas.published(name))).validate(document)


def test_before_and_after_apply_every_output_obeys_its_schema(box: TwinCluster, tmp_path: Path) -> None:
    obeys("twin-status", box.json("twin", "status"))
    obeys("preflight", box.json("preflight", status=None))
    before = box.json("status", status=1)
    obeys("status", before)
    assert before["refused"]
    assert {item["facet"] for item in before["drift"]} == {"running", "persistent"}
    plan = box.json("plan", *ADOPT)
    obeys("plan", plan)
    assert plan["stages"]
    box.grappe("plan", *ADOPT, "--out", str(tmp_path / "saved.plan"))
    obeys("plan", json.loads((tmp_path / "saved.plan").read_text()))
    box.grappe("apply", str(tmp_path / "saved.plan"), "--yes")
    after = box.json("status")
    obeys("status", after)
    assert after["ok"]
    obeys("vm-list", box.json("vm", "list"))
    obeys("verify", box.json("verify", status=None))
    journal = box.json("journal", "--last", "9")
    obeys("journal", journal)
    assert journal["runs"][-1]["entries"][-1]["event"] == "run-ends"


def _port(box: TwinCluster) -> str:
    lines = box.on("newbox", "virsh", "domiflist", "web1").splitlines()
    return next(line.split()[0] for line in lines if "vnet" in line)


def _hurt(box: TwinCluster, tag: int) -> None:
    box.on("newbox", "ovs-vsctl", "set", "Port", _port(box), f"tag={tag}")


def test_a_plan_is_refused_when_the_device_changed_since(box: TwinCluster, tmp_path: Path) -> None:
    _hurt(box, 20)
    box.grappe("plan", "--out", str(tmp_path / "old.plan"))
    _hurt(box, 99)
    said = box.grappe("apply", str(tmp_path / "old.plan"), "--yes", status=1)
    assert "changed since the plan: newbox/vm-port/web1/" in said
    assert "native: was 20, now 99" in said
    said = subprocess.run(
        [sys.executable, "-m", "grappe", "-f", box.file, "--twin-name", box.name, "apply"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert "nobody is there to ask; nothing was touched\n  agree with --yes" in said.stderr


def test_the_second_of_two_is_told_who_and_until_when(box: TwinCluster) -> None:
    _hurt(box, 20)
    holder = lease.Holder("somebody", "anna@elsewhere pid 7")
    box.on("newbox", *lease.take(holder).argv)
    try:
        said = box.grappe("apply", "--yes", status=1)
    finally:
        box.on("newbox", *lease.release(holder).argv)
    assert "STOPPED before anything" in said
    assert "newbox: held by anna@elsewhere pid 7 until " in said
    box.grappe("apply", "--yes")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_verify_can_be_stopped_and_leaves_nothing_behind(
    box: TwinCluster, number: signal.Signals, status: int
) -> None:
    ports = box.on("newbox", "ovs-vsctl", "--columns=name", "list", "Port")
    argv = [sys.executable, "-m", "grappe", "-f", str(box.file), "--twin-name", box.name, "verify"]
    # Tests that run in the background of a shell have SIGINT ignored, and would hand that down.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 30
    while box.on("newbox", "ovs-vsctl", "--columns=name", "list", "Port") == ports:
        assert time.monotonic() < limit, "no temporary port within 30 s"
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (status, "error: interrupted\n")
    limit = time.monotonic() + 30
    while (now := box.on("newbox", "ovs-vsctl", "--columns=name", "list", "Port")) != ports:
        assert time.monotonic() < limit, f"left behind: {now}"
        time.sleep(0.1)
    assert "as declared" in box.grappe("status")
