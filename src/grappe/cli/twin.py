"""`grappe twin`: the site on this machine, with real switches and VMs, and faults to try."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from grappe.cli.state import State, fail, say, speaking, state

if TYPE_CHECKING:
    from grappe.twin.lab import Lab, LabStatus

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Bring the declared site up on this machine: hosts and switches with their own Open vSwitch,"
        " libvirt and SSH, cables that can be pulled. Only cables and factory settings are laid; everything"
        " else comes from grappe --twin apply."
    ),
)


class Fault(StrEnum):
    """What can be done to a twin."""

    PULL = "pull"
    PLUG = "plug"
    POWER_OFF = "power-off"
    POWER_ON = "power-on"
    CUT_MANAGEMENT = "cut-management"
    RESTORE_MANAGEMENT = "restore-management"


def _lab(found: State) -> Lab:
    from grappe.twin.lab import Lab

    return Lab.attach(found.twin_name or found.document().site.name)


@app.command()
def up(
    context: typer.Context,
    qemu: Annotated[
        list[str] | None,
        typer.Option(help="A host to run as a machine with its own kernel and systemd; repeatable."),
    ] = None,
) -> None:
    """Bring the twin up. It stays until `grappe twin down`."""
    from grappe.twin.bring_up import bring_up

    found = state(context)
    document = found.document()
    unknown = sorted(set(qemu or ()) - document.site.hosts.keys())
    if unknown:
        fail(f"no host {', '.join(unknown)}", f"hosts: {', '.join(document.site.hosts)}")
    with speaking():
        machines = dict.fromkeys(qemu or (), "qemu")
        lab = bring_up(document.site, found.twin_name or document.site.name, machines, say)
        say(_status_text(lab.status()))


@app.command()
def down(context: typer.Context) -> None:
    """Take the twin down: every process, namespace, interface and file of it."""
    with speaking():
        lab = _lab(state(context))
        lab.down()
        say(f"twin {lab.blueprint.name} is down")


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tell what runs in the twin and which cables are plugged."""
    with speaking():
        found = _lab(state(context)).status()
        say(_status_json(found) if as_json else _status_text(found))


@app.command(context_settings={"ignore_unknown_options": True})
def shell(
    context: typer.Context,
    host: Annotated[str, typer.Argument(help="Host or switch; `operator` for the person's own place.")],
    command: Annotated[list[str] | None, typer.Argument(help="Command instead of a shell.")] = None,
) -> None:
    """Open a shell on a host's console, past its network."""
    with speaking():
        lab = _lab(state(context))
        words = command or ["/bin/bash", "-l"]
        argv = lab.operator_argv(words) if host == "operator" else lab.shell_argv(host, words)
    os.execvp(argv[0], argv)  # noqa: S606 - an argv list, and to become that program is the point


@app.command()
def fault(
    context: typer.Context,
    what: Annotated[Fault, typer.Argument(help="What to do.")],
    where: Annotated[str, typer.Argument(help="HOST, or HOST/NIC for a cable.")],
) -> None:
    """Hurt the twin, or heal it: cables, power, the way of management."""
    node, _, nic = where.partition("/")
    if (what in (Fault.PULL, Fault.PLUG)) != bool(nic):
        expected = "HOST/NIC" if what in (Fault.PULL, Fault.PLUG) else "HOST"
        fail(f"{what} takes {expected}, found {where}", "grappe twin status lists them")
    with speaking():
        lab = _lab(state(context))
        if what is Fault.PULL:
            lab.pull_cable(node, nic)
        elif what is Fault.PLUG:
            lab.plug_cable(node, nic)
        else:
            _FAULTS[what](lab, node)
        say(f"{what}: {where}")


_FAULTS = {
    Fault.POWER_OFF: lambda lab, node: lab.power_off(node),
    Fault.POWER_ON: lambda lab, node: lab.power_on(node),
    Fault.CUT_MANAGEMENT: lambda lab, node: lab.cut_management(node),
    Fault.RESTORE_MANAGEMENT: lambda lab, node: lab.restore_management(node),
}


def _status_text(found: LabStatus) -> str:
    user = "as an ordinary user" if found.rootless else "as root"
    lines = [f"twin {found.name}, {user}"]
    for node in found.nodes:
        down = [name for name, runs in node.services.items() if not runs]
        trouble = f"  not running: {', '.join(down)}" if down else f"  {node.text}" if node.text else ""
        what = node.kind if node.machine == "namespace" else f"{node.kind} ({node.machine})"
        lines.append(f"  {node.name:<12} {what:<14} {node.state:<8} {node.ssh}{trouble}")
    lines += [
        f"  {'cable':<12} {c.a} - {c.b}: {'no carrier' if c.plugged else 'pulled out'}"
        for c in found.cables
        if not c.carrier
    ]
    return "\n".join(lines)


def _status_json(found: LabStatus) -> str:
    from dataclasses import asdict

    return json.dumps({"format": "grappe/twin-status/1", **asdict(found)}, default=str, indent=2)
