"""A host with its own kernel, systemd and ifupdown: applied, really rebooted, everything still there."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from twin.cluster import TwinCluster, twin_of

SITE = """
site: pair
networks:
  office:  {fabric: office, subnet: 192.168.10.0/24, roles: [management]}
  front:   {fabric: rack, vlan: 10, subnet: 10.10.1.0/24}
  storage: {fabric: rack, vlan: 12, subnet: 192.168.12.0/24, mtu: 9000, roles: [storage]}
pools:
  kvm:
    platform: kvm
    attach:
      eth0: {networks: [office], bridge: false}
      eth1: {fabric: rack}
    hosts:
      h1: {addresses: {office: .11, storage: .11}, cables: {eth0: desk/1, eth1: sw1/p1}}
      h2: {addresses: {office: .12, storage: .12, front: .12}, cables: {eth0: desk/2, eth1: sw1/p2}}
switches:
  sw1: {platform: ovs_switch, access: 192.168.10.241}
  desk: {platform: unmanaged}
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwinCluster]:
    file: Path = tmp_path_factory.mktemp("pair") / "site.yaml"
    file.write_text(SITE)
    with twin_of(file, "pair", "--qemu", "h2") as cluster:
        yield cluster


def over_ssh(pair: TwinCluster, *argv: str) -> subprocess.CompletedProcess[str]:
    command = ["ssh", "-F", str(pair.lab.ssh_config), "-o", "ControlPath=none", "h2", "--", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def boot_id(pair: TwinCluster) -> str:
    return over_ssh(pair, "cat", "/proc/sys/kernel/random/boot_id").stdout.strip()


@pytest.mark.timeout(900)
def test_the_kernel_datapath_carries_what_was_declared(pair: TwinCluster) -> None:
    pair.grappe("apply", "--yes", timeout=600)
    assert pair.drift() == {}
    assert over_ssh(pair, "ovs-vsctl", "get", "Bridge", "br-rack", "datapath_type").stdout.strip() == '""'
    assert "ovs-system" in over_ssh(pair, "ovs-dpctl", "show").stdout
    assert pair.json("verify")["ok"]


@pytest.mark.timeout(900)
def test_it_is_all_there_after_a_real_reboot(pair: TwinCluster) -> None:
    before = boot_id(pair)
    over_ssh(pair, "systemctl", "reboot")
    limit, seen = time.monotonic() + 400, before
    while seen in ("", before):
        assert time.monotonic() < limit, f"h2 has not come back: boot id {seen!r}, before {before!r}"
        time.sleep(1)
        seen = boot_id(pair)
    while (drift := pair.drift()) and time.monotonic() < limit:
        time.sleep(2)  # services of the boot are still starting
    assert drift == {}
    assert pair.json("verify")["ok"]
