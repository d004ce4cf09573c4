"""Codes of what a host may lack before Grappe can drive it."""

from __future__ import annotations

from grappe.check.code import Code
from grappe.model.finding import Severity

NOT_ROOT = Code(
    name="host-not-root",
    severity=Severity.ERROR,
    title="Grappe does not come in as root",
    what="The account that Grappe logs in with on this host is not root.",
    why="Bridges, interface files and guests belong to root; half of a plan would be refused in mid-way.",
    mend="Let `access.user` be root (with a key), or open a way for root in your ssh configuration.",
)

PACKAGES = Code(
    name="host-packages",
    severity=Severity.ERROR,
    title="Programs are missing on a host",
    what="Programs that the KVM platform calls are not installed on this host.",
    why="Without them nothing can be seen or changed there, and what cannot be seen counts as unknown.",
    mend="Run `grappe preflight HOST --install`, or install the named Debian packages yourself.",
)

VERSION = Code(
    name="host-version",
    severity=Severity.ERROR,
    title="A program on a host is too old",
    what="A program has a version older than the oldest that Grappe's commands are known to work with.",
    why="Older versions lack options or report other text; what a plan predicts would not come true.",
    mend="Upgrade the host to a newer Debian release (12 is what Grappe is tested on), or use backports.",
)

RELEASE = Code(
    name="host-release",
    severity=Severity.WARNING,
    title="A host runs a system that Grappe is not tested on",
    what="The host does not run Debian 12 or newer.",
    why="Package names, paths and ifupdown differ between distributions.",
    mend="Try it in the twin or on a spare machine first, and look at `grappe plan` with care.",
)

SERVICE = Code(
    name="host-service",
    severity=Severity.ERROR,
    title="A service on a host does not answer",
    what="Open vSwitch or libvirt is installed on this host but does not answer.",
    why="What it holds is unknown until it answers; plans leave the host out.",
    mend="Look at `systemctl status openvswitch-switch libvirtd` and at their logs there.",
)

DATAPATH = Code(
    name="host-datapath",
    severity=Severity.ERROR,
    title="A host cannot forward with the declared datapath",
    what="The kernel module openvswitch (datapath kernel) or /dev/net/tun (datapath userspace) is missing.",
    why="`ovs-vsctl add-br` then prints an error, exits 0, and the bridge carries nothing.",
    mend="Install the distribution's kernel with its modules, or declare `datapath: userspace`.",
)

NO_KVM = Code(
    name="host-without-kvm",
    severity=Severity.RISK,
    title="A host's guests would run without hardware virtualisation",
    what="/dev/kvm is not there or may not be opened.",
    why="Guests run in QEMU's translator instead, ten to fifty times slower.",
    mend="Switch virtualisation on in the firmware (VT-x, AMD-V), or allow nested virtualisation.",
)

CLOCK = Code(
    name="host-clock",
    severity=Severity.RISK,
    title="A host's clock is off",
    what="The clocks of this host and of the machine that runs Grappe differ by seconds.",
    why="Guard timers, certificates, quorums and the comparison of logs rely on clocks that agree.",
    mend="Install chrony on both, and look at `chronyc tracking`.",
)

NO_TIME_SERVICE = Code(
    name="host-time-service",
    severity=Severity.WARNING,
    title="Nothing keeps a host's clock right",
    what="No time service (chrony, systemd-timesyncd, ntpd) runs on this host.",
    why="Clocks of virtualisation hosts drift apart by seconds a week; clusters then quarrel.",
    mend="Install chrony.",
)

NO_SOURCE = Code(
    name="host-interfaces-source",
    severity=Severity.ERROR,
    title="ifupdown does not read Grappe's files",
    what="/etc/network/interfaces has no line that reads /etc/network/interfaces.d.",
    why="What Grappe writes there would never be read, and the next boot would come up without it.",
    mend="Add the line `source /etc/network/interfaces.d/*` to /etc/network/interfaces.",
)

RIVAL = Code(
    name="host-network-manager",
    severity=Severity.ERROR,
    title="Another program configures the same NIC",
    what="NetworkManager, systemd-networkd or netplan configures a NIC that is declared in this site.",
    why="It takes the address back, or takes the NIC out of the bridge, minutes or a reboot later.",
    mend="Tell that program to leave the NIC alone, and let /etc/network/interfaces have it.",
)
