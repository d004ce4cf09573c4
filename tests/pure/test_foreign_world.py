"""What others made, and what does not answer: shown harmlessly, edited back exactly, never cleared away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from grappe.document.load import load
from grappe.graph.change import diff
from grappe.graph.resource import Desired, Key, Observation, Resource, Role
from grappe.model.script import Answer
from grappe.model.site import Site
from grappe.model.text import harmless, one_line
from grappe.platforms.kvm.network import specify
from grappe.platforms.shared import links, ovs_values, stanzas
from grappe.platforms.shared.network import NetworkPart

HOSTILE = "p\n  sw1: as declared\x1b[2J"
FILE = "auto eth0 eth1 eth2\niface eth1 inet dhcp\n  # kept\n\n  mtu 9000\niface eth2 inet manual\nauto eth1"


@pytest.fixture(scope="module")
def site() -> Site:
    return load(Path(__file__).parents[2] / "examples" / "kvm-cluster" / "site.yaml").site


def test_a_name_cannot_forge_a_line_or_steer_the_terminal() -> None:
    assert one_line(HOSTILE) == "p␊  sw1: as declared␛[2J"
    assert harmless("a\tb\nc\x1b[2J\r\x9b\x7f") == "a\tb\nc␛[2J␍\ufffd␡"
    table = json.dumps({"headings": ["name", "ids"], "data": [[HOSTILE, ["set", [HOSTILE]]]]})
    assert ovs_values.tables(table) == [[{"name": one_line(HOSTILE), "ids": [one_line(HOSTILE)]}]]


def test_an_interface_whose_name_ip_prints_raw_does_not_hide_the_host() -> None:
    row = '[{"ifname":"x\x1b[31m","mtu":1500,"flags":[],"addr_info":[]}]'
    answers = (Answer(0, row), *(Answer(0, "") for _ in links.QUESTIONS[1:]))
    found, _facts = links.understand("h1", answers)
    assert [r.key.name for r in found] == ["x␛[31m"]


def sh(program: str, *words: str) -> None:
    subprocess.run(["sh", "-c", program, "sh", *words], check=True)


@pytest.mark.parametrize("content", [FILE, FILE + "\n", "", "\n"])
def test_a_stanza_taken_over_from_a_line_for_several_is_given_back_byte_for_byte(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "interfaces"
    file.write_text(content)
    for device in ("eth1", "eth2"):
        sh(stanzas._OUT, device, str(file))
    found, _ = stanzas.parse(f"\x01{file}\n{file.read_text()}")
    assert set(found) == ({"eth0"} if "eth0" in content else set())
    for device in ("eth2", "eth1"):
        sh(stanzas._BACK, device, str(file))
        sh(stanzas._BACK, device, str(file))
    assert file.read_text() == content


def test_a_file_that_could_not_be_written_whole_is_not_there_for_the_next_boot(tmp_path: Path) -> None:
    file = tmp_path / "grappe-eth1"
    done = subprocess.run(["sh", "-c", f"exec <&-\n{stanzas._WRITE}", "sh", str(file)], check=False)
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def observation(resources: Iterable[Resource], **facts: str) -> Observation:
    return Observation("h1", {r.key: r for r in resources}, facts)


def test_silence_of_open_vswitch_clears_nothing_away(site: Site) -> None:
    ours = stanzas.resource("h1", site.name, "br-rack", ["auto br-rack"], path=False)
    nics = [Resource(Key("h1", "link", n), running={"up": True}, role=Role.MANAGED) for n in ("eth0", "eth1")]
    seen = observation([ours, *nics], ovs="down")
    part = NetworkPart(specify)
    wanted = part.lower(site, "h1", seen)
    assert [r.code for r in wanted.refusals if r.code == "ovs-down"] == ["ovs-down"]
    assert diff([wanted], seen.resources, part.kinds).changes == ()
    # Were nothing wanted, it would go.
    assert diff([Desired()], seen.resources, part.kinds, scopes=["h1"]).changes


@pytest.mark.parametrize(
    ("state", "pending", "told"),
    [("running", (), True), ("shut off", (), False), ("running", ("nics",), False)],
)
def test_a_running_guest_whose_port_is_gone_from_its_bridge_is_said(
    site: Site, state: str, pending: tuple[str, ...], told: bool
) -> None:
    vm = Resource(Key("h1", "vm", "web1"), running={"state": state}, facts={"pending": pending})
    nics = [Resource(Key("h1", "link", n), running={"up": True}, role=Role.MANAGED) for n in ("eth0", "eth1")]
    bridge = Resource(Key("h1", "ovs-bridge", "br-rack"))
    with_bridge = NetworkPart(specify).lower(site, "h1", observation([vm, *nics, bridge], ovs="up"))
    assert any(r.code == "guest-unplugged" and "web1" in r.message for r in with_bridge.refusals) is told
    without = NetworkPart(specify).lower(site, "h1", observation([vm, *nics], ovs="up"))
    assert not any(r.code == "guest-unplugged" for r in without.refusals), "the bridge comes first"
