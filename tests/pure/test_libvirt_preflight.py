"""The preflight's judgement, over answers of good, bad and strange hosts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grappe.model.script import Answer
from grappe.model.site import Access, Datapath, Host, Nic, Platform, Site
from grappe.model.units import Mac
from grappe.platforms.kvm import preflight

HOST = Host(
    name="h1",
    pool="p",
    platform=Platform.KVM,
    access=Access(address="h1"),
    nics={"eno1": Nic(name="eno1"), "lan": Nic(name="lan", mac=Mac("52:54:00:00:00:02"))},
)
GOOD = """now 1000
uid 0
os debian 12
version openvswitch ovs-vsctl (Open vSwitch) 3.1.0
version libvirt 9.0.0
version qemu QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)
version python3 Python 3.11.2
answers openvswitch
answers libvirt
datapath kernel
kvm device
kvm processor
time chronyd
interfaces sourced
nic eno1 52:54:00:00:00:01 0000:00:1f.6
nic eno2 52:54:00:00:00:02 0000:01:00.0
""" + "".join(f"program {p}\n" for p in preflight._PROGRAMS)


def judge(answer: str, host: Host = HOST, clock: float = 1001.0) -> dict[str, str]:
    said = [Answer(0, answer + "end\n")]
    found = preflight.findings(Site(name="s", hosts={"h1": host}), "h1", said, clock)
    return {f.code: f.message for f in found}


def test_a_good_host_is_left_alone() -> None:
    assert judge(GOOD) == {}


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("uid 0", "uid 1000", "host-not-root", "user id 1000"),
        ("program ifup\n", "", "host-packages", "not there: ifup"),
        (
            "Open vSwitch) 3.1.0",
            "Open vSwitch) 2.13.8",
            "host-version",
            "openvswitch is 2.13.8, expected 2.15",
        ),
        ("libvirt 9.0.0", "libvirt 6.0.0", "host-version", "libvirt is 6.0.0, expected 7.0"),
        ("os debian 12", "os ubuntu 24.04", "host-release", "runs ubuntu 24.04"),
        ("os debian 12", "os debian 11", "host-release", "runs debian 11"),
        ("os debian 12\n", "", "host-release", "runs unknown"),
        ("answers libvirt\n", "", "host-service", "libvirt is installed and does not answer"),
        ("datapath kernel", "datapath userspace", "host-datapath", "kernel module"),
        ("kvm device\n", "", "host-without-kvm", "cannot be opened"),
        ("kvm device\nkvm processor\n", "", "host-without-kvm", "nor does the processor"),
        ("now 1000", "now 900", "host-clock", "101 s behind"),
        ("time chronyd\n", "", "host-time-service", "no time service"),
        ("interfaces sourced\n", "", "host-interfaces-source", "interfaces.d"),
        (
            "uid 0",
            "uid 0\nrival eno1 NetworkManager",
            "host-network-manager",
            "NetworkManager configures eno1",
        ),
        ("uid 0", "uid 0\nrival eno2 netplan", "host-network-manager", "netplan configures eno2"),
    ],
)
def test_what_is_lacking_is_named(old: str, new: str, code: str, message: str) -> None:
    assert old in GOOD
    found = judge(GOOD.replace(old, new))
    assert list(found) == [code]
    assert message in found[code]


def test_what_is_no_trouble_is_not_mentioned() -> None:
    modular = GOOD.replace("program libvirtd\n", "program virtqemud\n")
    assert judge(modular) == {}
    assert judge(GOOD + "rival wlan0 NetworkManager\n") == {}
    assert judge(GOOD, clock=996.0) == {}
    userspace = replace(HOST, datapath=Datapath.USERSPACE)
    assert judge(GOOD.replace("datapath kernel", "datapath userspace"), userspace) == {}


def test_an_answer_that_broke_off_is_no_good_host() -> None:
    with pytest.raises(preflight.PreflightError, match="h1 broke off its answer"):
        preflight.findings(Site(name="s", hosts={"h1": HOST}), "h1", [Answer(255, GOOD)], 1000.0)


def test_packages_are_installed_only_by_name_and_without_a_question() -> None:
    found = preflight.findings(Site(name="s", hosts={"h1": HOST}), "h1", [Answer(0, "now 1\nend\n")], 1.0)
    names = preflight.packages(found)
    assert {"openvswitch-switch", "ifupdown", "libvirt-daemon-system", "chrony"} <= set(names)
    update, install = preflight.install(names)
    assert update.argv[-1] == "update"
    assert install.argv[install.argv.index("--") + 1 :] == names
    assert "DEBIAN_FRONTEND=noninteractive" in install.argv
    assert preflight.install(()) == ()
