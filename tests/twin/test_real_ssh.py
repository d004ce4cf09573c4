"""The verbs without --twin: Debian machines over the operator's own SSH configuration, host keys strict."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from twin.cluster import TwinCluster, twin_of

pytestmark = pytest.mark.xdist_group("real-ssh")

# The machines are a twin's, but the file says nothing of it: it declares what is true of them.
SITE = """
site: real
networks:
  office: {fabric: office, subnet: 192.168.10.0/24, gateway: .253, roles: [management]}
  front:  {fabric: rack, vlan: 10, subnet: 10.10.1.0/24}
  store:  {fabric: rack, vlan: 12, subnet: 10.12.1.0/24, mtu: 9000, roles: [storage]}
pools:
  kvm:
    platform: kvm
    #datapath: userspace
    storage: {images: /var/lib/libvirt/images}
    attach:
      eth0: {networks: [office], bridge: false}
      eth1: {fabric: rack}
    hosts:
      h1:
        #access: hv1.example
        addresses: {office: .11, store: .11}
        cables: {eth0: desk/1, eth1: sw1/p1}
      h2:
        #access: hv2.example
        addresses: {office: .12, store: .12}
        cables: {eth0: desk/2, eth1: sw1/p2}
switches:
  sw1:
    platform: ovs_switch
    #datapath: userspace
    #access: rack-switch
    access: 192.168.10.241
  desk: {platform: unmanaged}
vms:
  web1: {memory: 96M, boot: test-guest, host: h1, nics: [{network: front, address: .21}]}
"""
NAMES = {"h1": "hv1.example", "h2": "hv2.example", "sw1": "rack-switch"}


@dataclass(frozen=True)
class Operator:
    """A person with a declaration, an ssh configuration and known hosts, and machines somewhere."""

    twin: TwinCluster
    place: Path

    @property
    def file(self) -> Path:
        return self.place / "site.yaml"

    @property
    def known_hosts(self) -> Path:
        return self.place / "known hosts"

    def grappe(self, *words: str, status: int) -> str:
        command = [sys.executable, "-m", "grappe", "--ssh-config", "ssh_config", "-f", "site.yaml", *words]
        done = subprocess.run(
            command,
            cwd=self.place,
            env={**os.environ, "XDG_STATE_HOME": str(self.place / "state")},
            capture_output=True,
            text=True,
            timeout=240,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, f"$ grappe {' '.join(words)} -> {done.returncode}\n{said}"
        return said

    def bridges(self, device: str) -> list[str]:
        return self.twin.on(device, "ovs-vsctl", "list-br").split()


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    place = tmp_path_factory.mktemp("operator")
    (place / "machines.yaml").write_text(SITE)
    real = re.sub(r"\n +access: 192\.168\.10\.241", "", SITE).replace("#", "")
    (place / "site.yaml").write_text(real)
    with twin_of(place / "machines.yaml", "real") as twin:
        told = twin.lab.ssh_config.read_text()
        known = twin.lab.folder.known_hosts
        for device, name in NAMES.items():
            told = re.sub(rf"^Host {device}$", f"Host {name}", told, flags=re.MULTILINE)
        (place / "ssh_config").write_text(told.replace(str(known), str(place / "known hosts")))
        (place / "known hosts").write_text(known.read_text())
        yield Operator(twin, place)


def test_an_unknown_host_key_is_not_accepted_and_the_way_out_is_told(operator: Operator) -> None:
    kept = operator.known_hosts.read_text()
    operator.known_hosts.write_text("".join(li for li in kept.splitlines(True) if not li.startswith("h1 ")))
    try:
        said = operator.grappe("status", status=1)
        assert re.search(r"h1: unknown: its host key is not known on this machine", said), said
        assert "connect once by hand, ssh -F ssh_config hv1.example" in said
        operator.grappe("apply", "--yes", "--only", "h1", status=1)
        assert operator.bridges("h1") == []
        assert "h1 " not in operator.known_hosts.read_text()
    finally:
        operator.known_hosts.write_text(kept)


def test_a_changed_host_key_is_refused_loudly_and_nothing_is_touched(operator: Operator) -> None:
    kept = operator.known_hosts.read_text()
    keys = dict(line.split(" ", 1) for line in kept.splitlines(True))
    keys["h1"] = keys["h2"]
    forged = "".join(f"{name} {key}" for name, key in keys.items())
    operator.known_hosts.write_text(forged)
    try:
        for verb in (("plan",), ("status",), ("apply", "--yes", "--only", "h1")):
            said = operator.grappe(*verb, status=1)
            assert re.search(r"h1: .*ITS HOST KEY HAS CHANGED", said), said
            assert f"ssh-keygen -f '{operator.known_hosts}' -R h1 and connect once by hand" in said, said
        assert operator.bridges("h1") == []
        assert operator.known_hosts.read_text() == forged
    finally:
        operator.known_hosts.write_text(kept)


def test_a_silent_host_is_unknown_and_the_rest_goes_on(operator: Operator) -> None:
    operator.twin.lab.power_off("h2")
    try:
        plan = operator.grappe("plan", status=1)
        assert re.search(r"left out: h2: .*(did not lead to it|the line broke)", plan), plan
        assert not re.search(r"^\s+h2\b", plan, re.MULTILINE), plan
        said = operator.grappe("apply", "--yes", status=1)
        assert "h2" in said
        assert operator.bridges("h1") == ["br-rack"]
        assert operator.bridges("sw1") == ["bridge1"]
        left = operator.grappe("status", status=1)
        assert re.search(
            r"h2: unknown: the way that your ssh configuration names .* did not lead to it", left
        ), left
        assert "h1: as declared" in left, left
    finally:
        operator.twin.lab.power_on("h2")


def test_once_it_is_back_the_same_command_finishes(operator: Operator) -> None:
    operator.grappe("apply", "--yes", status=0)
    assert "nothing to do" in operator.grappe("plan", status=0)
    operator.grappe("status", status=0)
    operator.grappe("verify", status=0)
    assert re.search(r"web1 .*running", operator.grappe("vm", "list", status=0))


def test_the_journal_lies_with_the_operator(operator: Operator) -> None:
    assert list((operator.place / "state/grappe/sites/real").glob("*.jsonl"))
    assert "run ends: outcome done" in operator.grappe("journal", status=0)
