"""The seam between the laboratory and a node that is a machine with its own kernel.

The laboratory lays the cables, keeps the keys and decides when power is on. A `Machine` is what stands at
the end of the cables. Its life:

1. `prepare` on the user's machine, before anything is laid: build or fetch images into a cache (may take
   minutes, may use the network, may raise).
2. For every power-on a fresh object is made without arguments and `start` is called in a process of its
   own: pid 1 of a new PID namespace, inside the node's network namespace, root in the lab's user
   namespace, with the user's file system (and a private /run). `start` returns as soon as the machine
   runs; the laboratory waits for SSH to answer from the operator's place.
3. `carrier` tells a change of a cable (and, once after `start`, of every cable that is out).
4. `stop` is a power cut. The laboratory then kills pid 1, so no process can outlive the power; links that
   the machine made in the network namespace are removed by the laboratory.

What the machine wrote below `place.state_dir` is there again at the next `start`, until the lab goes down.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from grappe.twin.blueprint import Node

KINDS = {"qemu": "grappe.twin.machine:QemuMachine"}


@dataclass(frozen=True, slots=True)
class CableEnd:
    """The end of a cable that belongs in a NIC of the machine.

    `nic`, `mac` and `mtu` are the NIC's inside the machine (factory values); `link` is the veth in the
    node's network namespace, up, with an MTU that does not limit. Make a tap, bridge it to `link`, hand the
    tap to the machine; the NIC inside must have `mac` and be called `nic`.
    """

    nic: str
    mac: str
    mtu: int
    link: str


@dataclass(frozen=True, slots=True)
class MachinePlace:
    """Where and as what a machine starts.

    `netns` is the path of the network namespace (the calling process is in it already). `interfaces` is
    the text for /etc/network/interfaces of a first boot, `host_key` the private SSH host key the machine
    must have (its public half is `host_key` + ".pub"), `authorized_key` the line that lets the user in as
    root. `address` is where SSH will be asked. `state_dir` is private to the node and kept over power
    cycles; `cache` is what `prepare` filled, shared by labs, to be treated as read-only.
    """

    node: Node
    netns: Path
    nics: tuple[CableEnd, ...]
    state_dir: Path
    cache: Path
    interfaces: str
    host_key: Path
    authorized_key: str
    address: str


class Machine(Protocol):
    """A machine with its own kernel at the end of cables."""

    def prepare(self, node: Node, cache: Path, say: Callable[[str], None]) -> None:
        """Make ready in `cache` what `start` needs; `say` shows a line of progress."""
        ...

    def start(self, place: MachinePlace) -> None:
        """Switch the power on and return once it runs; raise with what was seen when it does not."""
        ...

    def alive(self) -> bool:
        """Whether the machine runs; asked every fifth of a second."""
        ...

    def carrier(self, nic: str, up: bool) -> None:
        """Tell the machine that the cable in `nic` was plugged in or pulled out."""
        ...

    def stop(self) -> None:
        """Cut the power, without asking the machine."""
        ...


def machine(kind: str) -> Machine:
    """Make the machine of a kind: a key of KINDS or "module:Class". Raises ValueError when there is none."""
    where = KINDS.get(kind, kind)
    module, colon, name = where.partition(":")
    if not colon:
        known = ", ".join(["namespace", *KINDS])
        raise ValueError(f"unknown kind of machine {kind!r}; known: {known}, or module:Class")
    made: Machine = getattr(importlib.import_module(module), name)()
    return made
