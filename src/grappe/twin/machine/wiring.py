"""Join a tap to a cable's end so that every frame passes as it is: VLAN tags, jumbo, LACP, spanning tree.

tc's mirred action moves a frame before anyone here looks at it; a Linux bridge would learn addresses, swallow
pause frames (BR_GROUPFWD_MACPAUSE) and need every link-local address opened port by port.
"""

from __future__ import annotations

from pathlib import Path

from grappe.twin.blueprint import GENEROUS_MTU
from grappe.twin.guest.tools import require, run

_HINT = "the kernel needs tc's ingress, u32 and mirred: modprobe -a sch_ingress cls_u32 act_mirred"


def join(tap: str, cable: str) -> None:
    """Make the kernel hand all frames from `cable` to `tap` and back, in the network namespace of the caller.

    Both must exist; earlier joints of `cable` are undone first. Raises BuildError.
    """
    ip = require("ip", "iproute2")
    for link in (tap, cable):
        _silence(link)
        run([ip, "link", "set", "dev", link, "mtu", str(GENEROUS_MTU), "up"])
    _redirect(cable, tap)
    _redirect(tap, cable)


def _silence(link: str) -> None:
    """Keep the kernel here from sending anything of its own on the cable."""
    switch = Path("/proc/sys/net/ipv6/conf") / link / "disable_ipv6"
    if switch.exists():
        switch.write_text("1")


def _redirect(source: str, target: str) -> None:
    tc = require("tc", "iproute2")
    run([tc, "qdisc", "replace", "dev", source, "clsact"], hint=_HINT)
    run([tc, "filter", "del", "dev", source, "ingress"], hint=_HINT)
    everything = ["protocol", "all", "prio", "1", "u32", "match", "u32", "0", "0"]
    action = ["action", "mirred", "egress", "redirect", "dev", target]
    run([tc, "filter", "add", "dev", source, "ingress", *everything, *action], hint=_HINT)
