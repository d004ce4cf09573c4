"""Codes of losing the way to a device."""

from grappe.check.code import Code
from grappe.model.finding import Severity

MANAGEMENT_ON_BRIDGE = Code(
    name="management-on-bridge",
    severity=Severity.INFO,
    title="The management address lives on a bridge",
    what="""
    The address by which hosts are reached is on a bridge; where it is on the NIC today it will move.
    """,
    why="""
    This is the step that sends people to rescue mode: the notes that do it by hand edit the interfaces
    file, run `service networking restart` on the remote host, and hope. Grappe does it as one guarded step:
    the device itself undoes it when nobody logs in again in time.
    """,
    mend="Nothing to mend. Have the console's address at hand the first time.",
)
MANAGEMENT_WITHOUT_UPLINK = Code(
    name="management-without-uplink",
    severity=Severity.ERROR,
    title="The management network does not leave the host",
    what="Every management address of a host is on an attachment without an uplink.",
    why="Nobody outside can reach it: after the change the host is running and lost.",
    mend="Put a management network on the attachment whose NIC is cabled to it.",
)
MANAGEMENT_NOT_ON_PORT = Code(
    name="management-not-on-port",
    severity=Severity.ERROR,
    title="The switch port does not carry the host's management network",
    what="""
    A host's management network crosses an uplink whose switch port is declared without it, or with it
    tagged where the host has it untagged.
    """,
    why="The host is cut off as soon as both ends are what they are declared to be.",
    mend="Remove the port's own declaration; it follows from the host.",
)
GUARD_TOO_SHORT = Code(
    name="guard-too-short",
    severity=Severity.RISK,
    title="The guard gives too little time",
    what="The dead-man's timer runs out in less than 15 seconds.",
    why="""
    After a change the switch learns anew, spanning tree may take its time, and a new ssh connection has to
    come up. A guard that fires before that undoes sound changes, and the undo itself is one more cut.
    """,
    mend="Use 60 seconds (the default) or more.",
)
GUARD_TOO_LONG = Code(
    name="guard-too-long",
    severity=Severity.WARNING,
    title="The guard leaves a host cut off for long",
    what="The dead-man's timer runs for more than ten minutes.",
    why="For that long a host that was cut off stays cut off, and its VMs with it.",
    mend="Use a few minutes at most.",
)
NO_ACCESS = Code(
    name="no-access",
    severity=Severity.ERROR,
    title="There is no way to a device",
    what="A host or a managed switch has no address by which Grappe could reach it.",
    why="It can be neither read nor configured.",
    mend="Write `access: ADDRESS`, or declare the switch `platform: unmanaged`.",
)
ACCESS_SHARED = Code(
    name="access-shared",
    severity=Severity.ERROR,
    title="Two devices are reached at one address",
    what="Two hosts or switches have the same access address and port.",
    why="The configuration of one would be written onto the other.",
    mend="Correct the address that is wrong.",
)
ACCESS_NOT_DECLARED = Code(
    name="access-not-declared",
    severity=Severity.WARNING,
    title="A host is reached at an address that it shall not have",
    what="""
    The access address lies in a subnet that the host is on, and is not among the host's declared addresses.
    """,
    why="""
    Grappe logs in there today; what is not declared is not kept. When the interface is made as declared,
    that address may go, and the session with it.
    """,
    mend="""
    Declare the address, or let `access:` be the address that the host shall keep. Acknowledge it while
    moving from one to the other.
    """,
)
REMOVED_NETWORK_ACTIVE = Code(
    name="removed-network-active",
    severity=Severity.INFO,
    title="A libvirt network to be removed may be running",
    what="The declaration removes a libvirt network, and there are KVM hosts where it usually runs.",
    why="""
    `virsh net-undefine default` alone leaves it active: virbr0, its dnsmasq and its NAT rules stay until
    the next reboot, and the list shows a network that no file defines. VMs that still use it lose their
    link.
    """,
    mend="Nothing to mend: Grappe stops it first, then undefines it, and asks for its adoption before.",
)
REMOVED_BUT_DECLARED = Code(
    name="removed-but-declared",
    severity=Severity.ERROR,
    title="Something is declared and removed",
    what="A libvirt network is named in `removed:`, and a fabric has it.",
    why="It cannot be both there and gone.",
    mend="Take it out of `removed:`, or give the fabric another `libvirt_network`.",
)
