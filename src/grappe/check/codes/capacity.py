"""Codes of capacity."""

from grappe.check.code import Code
from grappe.model.finding import Severity

HOST_MEMORY_EXCEEDED = Code(
    name="host-memory-exceeded",
    severity=Severity.ERROR,
    title="The VMs of a host need more memory than it has",
    what="The running VMs that are placed on a host declare together more memory than the host has.",
    why="The last ones do not start; or the host swaps, and then kills the largest process, which is a VM.",
    mend="Place some VMs elsewhere or give them less. The host itself needs a part of its memory too.",
)
POOL_MEMORY_EXCEEDED = Code(
    name="pool-memory-exceeded",
    severity=Severity.ERROR,
    title="The VMs of a pool need more memory than its hosts have",
    what="""
    The running VMs of a pool declare together more memory than all its hosts, those in maintenance left
    out.
    """,
    why="However they are placed, some do not start.",
    mend="Add a host, or take memory from VMs.",
)
POOL_CANNOT_LOSE_A_HOST = Code(
    name="pool-cannot-lose-a-host",
    severity=Severity.WARNING,
    title="The pool's VMs do not fit without its largest host",
    what="The memory of all running VMs is more than the pool has left when its largest host is away.",
    why="""
    When a host dies or is emptied for an update, VMs stay down, and which ones is decided by who starts
    first.
    """,
    mend="Keep one host's worth of memory free. Acknowledge it where some VMs may wait.",
)
VM_FITS_NOWHERE = Code(
    name="vm-fits-nowhere",
    severity=Severity.ERROR,
    title="No host is large enough for a VM",
    what="A VM needs more memory than any host has on which it may run.",
    why="It never starts.",
    mend="Give it less memory, or place it on a larger host.",
)
VCPUS_ABOVE_CPUS = Code(
    name="vcpus-above-cpus",
    severity=Severity.WARNING,
    title="A VM has more vCPUs than its host has CPUs",
    what="A VM has more virtual CPUs than the largest host on which it may run.",
    why="""
    They never run at the same time: the guest waits for locks whose holders are not running, and is slower
    than with fewer.
    """,
    mend="Give it as many vCPUs as the host has threads, at most.",
)
VCPU_OVERCOMMIT = Code(
    name="vcpu-overcommit",
    severity=Severity.WARNING,
    title="Many vCPUs per CPU",
    what="The running VMs of a host (or of a whole pool) have more than four vCPUs for each CPU.",
    why="""
    Idle guests share well; busy ones wait, and what suffers first is what is measured in milliseconds: live
    migration, heartbeats, quorum.
    """,
    mend="Spread the VMs, or give them fewer vCPUs. Acknowledge it where they are idle.",
)
