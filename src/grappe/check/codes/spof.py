"""Codes of single points of failure."""

from grappe.check.code import Code
from grappe.model.finding import Severity

SINGLE_MANAGEMENT_LINK = Code(
    name="single-management-link",
    severity=Severity.RISK,
    title="One cable carries management",
    what="Hosts have their management address behind a single NIC.",
    why="""
    One cable, one plug, one port, and the host is running but out of reach. Where HA counts heartbeats on
    that network (the common set-up has one 1G link for it) a loose plug makes a healthy host fence itself,
    with all its VMs.
    """,
    mend="Put management on a bond, or on a second network. Acknowledge it where there is one NIC.",
)
SINGLE_STORAGE_LINK = Code(
    name="single-storage-link",
    severity=Severity.RISK,
    title="One cable carries storage",
    what="A storage network crosses a single NIC of its hosts.",
    why="""
    When the cable goes, so do the disks of every VM there: guests freeze or turn read-only, and replication
    starts over.
    """,
    mend="Put storage on a bond.",
)
SINGLE_SWITCH = Code(
    name="single-switch",
    severity=Severity.RISK,
    title="One switch carries management or storage for every host",
    what="All cables of a fabric with a management, storage or migration network end in one switch.",
    why="""
    The switch's next firmware update is an outage of the whole pool, and with HA possibly a fencing of all
    hosts at once.
    """,
    mend="Use two switches and active-backup bonds, or acknowledge that there is one.",
)
MANAGEMENT_VM_ON_LOCAL_DISK = Code(
    name="management-vm-on-local-disk",
    severity=Severity.RISK,
    title="A VM on the management network lives on one host's disk",
    what="""
    A VM with a NIC on a management network has its disks on host-local storage, in a pool of several hosts.
    """,
    why="""
    The machine that is needed to repair the pool dies with the host it is on. In a published set-up the VM
    with the management console lives on host 1's local disk: when that host fails, nothing is left to move
    the others with.
    """,
    mend="Keep it on shared storage, or keep a second one elsewhere; what Grappe does needs no such VM.",
)
VM_ON_LOCAL_DISK = Code(
    name="vm-on-local-disk",
    severity=Severity.INFO,
    title="VMs live on the disk of one host",
    what="VMs of a pool of several hosts have disks on host-local storage.",
    why="""
    They cannot be restarted elsewhere when their host dies, and emptying the host means copying their
    disks.
    """,
    mend="""
    Right for what is replicated at a higher level (Kubernetes control planes, databases); for the rest,
    shared storage.
    """,
)
