"""The preflight's question, asked of a real host, and its judgement of good and bad ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from component.libvirt_lab import Lab, lab, missing
from component.libvirt_site import SCOPE, SITE
from grappe.model.finding import Finding
from grappe.model.site import Datapath
from grappe.platforms.kvm import preflight

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")

USERSPACE = replace(SITE, hosts={SCOPE: replace(SITE.hosts[SCOPE], datapath=Datapath.USERSPACE)})


@pytest.fixture(scope="module")
def host() -> Iterator[Lab]:
    with lab() as running:
        yield running


def ask(host: Lab, ahead: float = 0) -> dict[str, Finding]:
    found = preflight.findings(USERSPACE, SCOPE, host.run(preflight.questions()), time.time() - ahead)
    return {f.code: f for f in found}


def test_a_host_that_has_everything_is_left_alone(host: Lab) -> None:
    host.sh("cp /bin/sleep /mnt/chronyd; /mnt/chronyd 1000 >/dev/null 2>&1 &")
    found = ask(host)
    assert not found.keys() - {"host-without-kvm", "host-release"}, found


def test_interface_files_that_nobody_reads_are_named(host: Lab) -> None:
    host.sh("mv /etc/network/interfaces /mnt/interfaces")
    try:
        found = ask(host)
    finally:
        host.sh("mv /mnt/interfaces /etc/network/interfaces")
    assert "host-interfaces-source" in found


def test_missing_programs_become_packages_to_install(host: Lab) -> None:
    host.sh("mount --bind /dev/null /usr/bin/virsh; mount --bind /dev/null /usr/bin/qemu-img")
    try:
        found = ask(host)
    finally:
        host.sh("umount /usr/bin/virsh /usr/bin/qemu-img")
    assert preflight.packages([found["host-packages"]]) == ("libvirt-clients", "qemu-utils")
    assert "virsh, qemu-img" in found["host-packages"].message


def test_a_daemon_that_does_not_answer_is_named(host: Lab) -> None:
    host.stop_libvirt()
    try:
        found = ask(host)
    finally:
        host.start_libvirt()
    assert found["host-service"].message == "libvirt is installed and does not answer"


def test_a_clock_that_is_off_is_measured(host: Lab) -> None:
    assert 115 < int(ask(host, ahead=120)["host-clock"].data["seconds"]) < 125
