"""A VM's power as an intention: start, stop, console. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from grappe.graph.change import Change, Difference
from grappe.graph.resource import Key, Refusal, Resource

VM = "vm"
RUNNING, OFF = "running", "shut off"


def power(host: str, vm: str, seen: Mapping[Key, Resource], *, on: bool) -> Difference:
    """What starts a VM or shuts it down; nothing when it is so already, refused when it is not made."""
    found = seen.get(Key(host, VM, vm))
    wanted = RUNNING if on else OFF
    if found is None:
        refusal = Refusal("vm-missing", f"{host}/{VM}/{vm}", "is not made yet", "grappe apply makes it")
        return Difference((), refusals=(refusal,))
    if found.running.get("state") == wanted:
        return Difference(())
    after = replace(found, running={**found.running, "state": wanted})
    return Difference((Change(found.key, found, after),))


def console_argv(vm: str) -> list[str]:
    """Words that open a VM's serial console on its host."""
    return ["virsh", "--connect=qemu:///system", "console", "--force", f"--domain={vm}"]
