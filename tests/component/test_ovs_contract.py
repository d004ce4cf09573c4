"""The simulated Open vSwitch answers as the real ovs-vsctl and ovsdb-server do, refusals included."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grappe.model.script import Answer, Command, command
from grappe.platforms.shared import ovs, ovs_values
from simulated.sim_debian import SimOvs
from simulated.sim_debian_worlds import plan, seen, steps, wanted

_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
pytestmark = pytest.mark.skipif(
    shutil.which("ovsdb-server") is None or not _SCHEMA.exists(), reason="needs openvswitch-switch"
)

CALLS = 500

_SETTINGS = {
    "Bridge": [
        "stp_enable=true",
        "rstp_enable=maybe",
        'datapath_type="netdev"',
        'other_config:hwaddr="02:00:00:00:00:01"',
    ],
    "Port": [
        *("tag=7", "tag=4095", "tag=5000", "trunks=3,1,2", "trunks=1,4096"),
        *("vlan_mode=access", "lacp=on", "lacp=active", "bond_mode=balance-tcp"),
        'external_ids:grappe="s"',
    ],
    "Interface": [
        *("mtu_request=9000", "mtu_request=lots", 'type="internal"', 'type=""'),
        'mac="02:00:00:00:00:02"',
    ],
}


class RealOvs:
    """A database of its own; without ovs-vswitchd nothing is ever forwarded, and none is needed here."""

    def __init__(self, folder: Path) -> None:
        self.socket, self.folder = folder / "s", folder
        subprocess.run(["ovsdb-tool", "create", folder / "db", _SCHEMA], check=True)
        self.server = subprocess.Popen(
            [
                *("ovsdb-server", folder / "db", f"--remote=punix:{self.socket}"),
                *(
                    f"--unixctl={folder / 'ctl'}",
                    "--no-chdir",
                    "-vconsole:off",
                    f"--log-file={folder / 'log'}",
                ),
            ],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while not self.socket.exists():
            assert time.monotonic() < deadline, f"no socket; exit status {self.server.poll()}"
            time.sleep(0.02)
        self.call(command("ovs-vsctl", "init"))

    def call(self, asked: Command) -> Answer:
        program, *words = asked.argv
        done = subprocess.run(
            [program, f"--db=unix:{self.socket}", "--no-wait", "-vconsole:off", *words],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        self.server.send_signal(signal.SIGTERM)
        self.server.wait(20)


@pytest.fixture
def real() -> Iterator[RealOvs]:
    with tempfile.TemporaryDirectory(prefix="ovs-") as folder:  # not tmp_path: a socket's path is short
        database = RealOvs(Path(folder))
        yield database
        database.close()


def _rows(answer: Answer) -> list[dict[str, dict[str, Any]]]:
    """Tables with names in the place of uuids, sets sorted."""
    assert answer.ok, answer.err
    bridges, ports, interfaces = ovs_values.tables(answer.out)
    names = {r["_uuid"]: r["name"] for r in [*ports, *interfaces]}
    return [
        {
            row["name"]: {
                c: sorted(names[u] for u in ovs_values.several(v)) if c in ("ports", "interfaces") else v
                for c, v in row.items()
                if c != "_uuid"
            }
            for row in table
        }
        for table in (bridges, ports, interfaces)
    ]


def _random_verbs(dice: random.Random) -> Iterator[tuple[str, ...]]:
    bridges, ports = ("b0", "b1", "p0"), ("p0", "p1", "p2", "b0")
    may, gone = ("--may-exist", ""), ("--if-exists", "")
    for _ in range(dice.randint(1, 4)):
        bridge, port = dice.choice(bridges), dice.choice(ports)
        table, name = dice.choice([("Bridge", bridge), ("Port", port), ("Interface", port)])
        settings = _SETTINGS[table]
        clearable = {"Bridge": "other_config", "Port": "trunks", "Interface": "mtu_request"}[table]
        verb = dice.choice(
            [
                (dice.choice(may), "add-br", bridge),
                (dice.choice(may), "add-port", bridge, port),
                (dice.choice(may), "add-port", bridge, port),
                (dice.choice(may), "add-bond", bridge, "bond", *dice.sample(ports, 2)),
                (dice.choice(gone), "del-br", bridge),
                (dice.choice(gone), "del-port", dice.choice([*ports, "bond"])),
                ("set", table, name, dice.choice(settings)),
                ("set", table, name, *dice.sample(settings, 2)),
                ("clear", table, name, clearable),
                ("remove", "Bridge", bridge, "other_config", "hwaddr"),
            ]
        )
        yield tuple(w for w in verb if w)


def test_random_calls_end_alike(real: RealOvs) -> None:
    dice, sim = random.Random(7), SimOvs()
    refused = 0
    for number in range(CALLS):
        words = [w for verb in _random_verbs(dice) for w in ("--", *verb)]
        asked = command("ovs-vsctl", *words)
        told, model = real.call(asked), sim.call(asked)
        assert model.status == told.status, f"call {number}: {words}\nreal: {told}\nsimulated: {model}"
        refused += not told.ok
        if not told.ok and "transaction error" not in told.err:
            assert model.err == told.err, f"call {number}: {words}"
        assert _rows(sim.call(ovs.QUESTION)) == _rows(real.call(ovs.QUESTION)), f"call {number}: {words}"
    assert CALLS / 10 < refused < CALLS * 9 / 10, "too few or too many of the calls were refused"


def test_rendered_plans_and_their_undo_leave_the_same_rows(real: RealOvs) -> None:
    dice, sim = random.Random(11), SimOvs()
    for _ in range(40):
        made = plan(wanted(dice), seen(sim.call(ovs.QUESTION)))
        done = list(steps(made))
        for script in (
            [s.forward for s in done] + [s.undo for s in reversed(done)] + [s.forward for s in done]
        ):
            for asked in script:
                told, model = real.call(asked), sim.call(asked)
                assert (told.status, told.err) == (model.status, model.err) == (0, ""), asked.argv
            assert _rows(sim.call(ovs.QUESTION)) == _rows(real.call(ovs.QUESTION))
