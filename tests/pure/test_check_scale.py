"""The checks take time in proportion to the site: counted in calls, which a busy machine does not change."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import FrameType
from typing import Any

from grappe.check import check
from grappe.model.site import PortRef, Site
from grappe.model.units import Mac
from pure.check_cases.table import site_with


def grown(size: int, pinned: bool) -> Site:
    """The base site with so many hosts, and ten VMs for each."""
    base = site_with(())
    model, guest = base.hosts["h1"], base.vms["web1"]
    hosts, vms = {}, {}
    for number in range(size):
        name = f"h{number}"
        nics = {
            nic.name: replace(nic, cable=PortRef(switch=nic.cable.switch, port=f"p{100 + number}"))
            for nic in model.nics.values()
            if nic.cable is not None
        }
        access = replace(model.access, address=name)
        hosts[name] = replace(model, name=name, nics=nics, access=access, addresses=())
    for number in range(10 * size):
        mac = Mac("52:54:00:" + ":".join(f"{number:06x}"[i : i + 2] for i in (0, 2, 4)))
        nic = replace(guest.nics[0], mac=mac, addresses=())
        place = f"h{number % size}" if pinned else None
        vms[f"vm{number}"] = replace(guest, name=f"vm{number}", host=place, nics=(nic,))
    return replace(base, hosts=hosts, vms=vms)


def calls(site: Site) -> int:
    """Python calls that a check makes."""
    made = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal made
        made += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        check(site)
    finally:
        sys.setprofile(before)
    return made


def test_four_times_the_site_takes_four_times_the_work() -> None:
    for pinned in (True, False):
        small, large = calls(grown(50, pinned)), calls(grown(200, pinned))
        assert large < 4.6 * small, f"{small} calls for 50 hosts, {large} for 200 (pinned: {pinned})"
