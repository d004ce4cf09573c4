"""Memory and CPUs: whether the VMs fit, and still fit when a host is away. What is unknown says nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from grappe.check import places
from grappe.check.codes import capacity as codes
from grappe.check.view import Scope, View
from grappe.model.finding import Finding
from grappe.model.site import Host, Vm
from grappe.model.units import format_size

OVERCOMMIT = 4
"""vCPUs per CPU above which a host is said to be crowded."""


def findings(view: View) -> Iterator[Finding]:
    """All findings about capacity."""
    placed: defaultdict[str, list[Vm]] = defaultdict(list)
    pooled: defaultdict[str, list[Vm]] = defaultdict(list)
    for vm in view.site.vms.values():
        if vm.running:
            pooled[vm.pool].append(vm)
            if vm.host is not None:
                placed[vm.host].append(vm)
    for host in view.site.hosts.values():
        yield from _host(host, placed[host.name])
    for pool, hosts in view.pool_hosts.items():
        yield from _pool(pool, [h for h in hosts if not h.maintenance], pooled[pool])
    yield from _single_vms(view)


def _memory(vms: Sequence[Vm]) -> int:
    return sum(vm.memory for vm in vms)


def _vcpus(vms: Sequence[Vm]) -> int:
    return sum(vm.vcpus for vm in vms)


def _host(host: Host, vms: Sequence[Vm]) -> Iterator[Finding]:
    needed = _memory(vms)
    if host.memory is not None and needed > host.memory:
        yield codes.HOST_MEMORY_EXCEEDED.at(
            places.host(host, "memory"),
            f"{len(vms)} VMs on host {host.name} need {_size(needed)}, and it has {_size(host.memory)}",
            hint=f"take {_size(needed - host.memory)} away from it",
            data={"needed": needed, "memory": host.memory},
        )
    if host.cpus is not None and _vcpus(vms) > OVERCOMMIT * host.cpus:
        yield codes.VCPU_OVERCOMMIT.at(
            places.host(host, "cpus"),
            f"{_vcpus(vms)} vCPUs on host {host.name} share {host.cpus} CPUs",
            hint="spread the VMs, or give them fewer",
        )


def _pool(pool: str, hosts: Sequence[Host], vms: Sequence[Vm]) -> Iterator[Finding]:
    memories = [host.memory for host in hosts if host.memory is not None]
    needed = _memory(vms)
    if hosts and len(memories) == len(hosts):
        if needed > sum(memories):
            yield codes.POOL_MEMORY_EXCEEDED.at(
                places.pool(pool),
                f"{len(vms)} VMs of pool {pool} need {_size(needed)}, "
                f"and its hosts have {_size(sum(memories))}",
                data={"needed": needed, "memory": sum(memories)},
            )
        elif len(hosts) > 1 and needed > sum(memories) - max(memories):
            left = sum(memories) - max(memories)
            yield codes.POOL_CANNOT_LOSE_A_HOST.at(
                places.pool(pool),
                f"the VMs of pool {pool} need {_size(needed)}; "
                f"without its largest host {_size(left)} are left",
                hint=f"free {_size(needed - left)}, or accept that some VMs stay down",
                data={"needed": needed, "left": left},
            )
    cpus = [host.cpus for host in hosts if host.cpus is not None]
    floating = any(vm.host is None for vm in vms)
    if hosts and floating and len(cpus) == len(hosts) and _vcpus(vms) > OVERCOMMIT * sum(cpus):
        yield codes.VCPU_OVERCOMMIT.at(
            places.pool(pool),
            f"{_vcpus(vms)} vCPUs in pool {pool} share {sum(cpus)} CPUs",
            hint="spread the VMs, or give them fewer",
        )


def _single_vms(view: View) -> Iterator[Finding]:
    """VMs that are too large by themselves, against the largest host of their scope."""
    largest: dict[Scope, tuple[int | None, int | None]] = {}
    for vm in view.site.vms.values():
        scope = Scope(vm.pool, vm.host)
        if scope not in largest:
            largest[scope] = _largest(view.hosts_of(scope))
        memory, cpus = largest[scope]
        if memory is not None and vm.memory > memory:
            yield codes.VM_FITS_NOWHERE.at(
                places.vm(vm, "memory"),
                f"VM {vm.name} needs {_size(vm.memory)}, and {_where(vm)} has {_size(memory)}",
            )
        if cpus is not None and vm.vcpus > cpus:
            yield codes.VCPUS_ABOVE_CPUS.at(
                places.vm(vm, "vcpus"),
                f"VM {vm.name} has {vm.vcpus} vCPUs, and {_where(vm)} has {cpus} CPUs",
                hint=f"give it {cpus} at most",
            )


def _largest(hosts: Sequence[Host]) -> tuple[int | None, int | None]:
    memories = [h.memory for h in hosts if h.memory is not None]
    cpus = [h.cpus for h in hosts if h.cpus is not None]
    known = bool(hosts)
    return (
        max(memories) if known and len(memories) == len(hosts) else None,
        max(cpus) if known and len(cpus) == len(hosts) else None,
    )


def _where(vm: Vm) -> str:
    return f"host {vm.host}" if vm.host is not None else f"the largest host of pool {vm.pool}"


def _size(size: int) -> str:
    """Return a size in the unit that people compare it in."""
    exact = format_size(size)
    return exact if len(exact) <= 6 else f"{size / (1 << 30):.1f}G"
