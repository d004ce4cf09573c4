"""`grappe twin`: the site on this machine, with real switches and VMs, and faults to try."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from grappe.cli import complete
from grappe.cli.errors import fail, os_words, speaking
from grappe.cli.exits import BAD_INPUT
from grappe.cli.output import say, say_json
from grappe.cli.state import State, must_know, state

if TYPE_CHECKING:
    from grappe.twin.lab import Lab, LabStatus

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Try a site on this machine: up, down, status, shell, fault.

Hosts and switches come up with their own Open vSwitch, libvirt and SSH, and with cables that can be pulled.
Only cables and factory settings are laid; everything else comes from grappe --twin apply. Needs Linux, and
root or an ordinary user with subordinate ids (uidmap).""",
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

    return Lab.attach(_name(found))


def _name(found: State) -> str:
    return found.twin_name or found.document().site.name


@app.command()
@speaking()
def up(
    context: typer.Context,
    qemu: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            autocompletion=complete.hosts,
            help="A host to run as a machine with its own kernel and systemd; repeatable.",
        ),
    ] = None,
) -> None:
    """Bring the twin up; it stays until grappe twin down.

    Makes namespaces, virtual cables and processes of its own; nothing of this machine's network is touched.
    Its files lie in /var/lib/grappe/twin/NAME (root) or ~/.local/state/grappe/twin/NAME.

    \b
    Examples:
      grappe twin up
      grappe --twin-name try2 twin up       a second one beside it
      grappe twin up --qemu h1              h1 boots Debian, for what needs a real reboot
    """
    from grappe.twin.bring_up import bring_up

    found = state(context)
    document = found.document()
    must_know("host", qemu or (), document.site.hosts)
    machines = dict.fromkeys(qemu or (), "qemu")
    lab = bring_up(document.site, found.twin_name or document.site.name, machines, say)
    say(_status_text(lab.status()))


@app.command()
@speaking()
def down(context: typer.Context) -> None:
    """Take the twin down: every process, namespace, interface and file of it."""
    from grappe.twin.lab import Lab

    name = _name(state(context))
    if name not in Lab.names() and Lab.sweep(name):
        say(f"twin {name} was not up; what a killed one had left is removed")
        return
    Lab.attach(name).down()
    say(f"twin {name} is down")


@app.command()
@speaking()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tell what runs in the twin, and which cables are pulled or have no carrier."""
    found = _lab(state(context)).status()
    if as_json:
        say_json(_status_json(found))
    else:
        say(_status_text(found))


@app.command(context_settings={"ignore_unknown_options": True})
@speaking()
def shell(
    context: typer.Context,
    host: Annotated[
        str,
        typer.Argument(
            help="Host or switch, or `operator`: the person's own place.", autocompletion=complete.consoles
        ),
    ],
    command: Annotated[list[str] | None, typer.Argument(help="Command instead of a shell.")] = None,
) -> None:
    """Open a shell on a host's console, past its network.

    \b
    Examples:
      grappe twin shell h1
      grappe twin shell sw1 -- ovs-vsctl show
      grappe twin shell operator -- ping -c 1 192.168.10.11
    """
    lab = _lab(state(context))
    words = command or ["/bin/bash", "-l"]
    if host == "operator":
        become(lab.operator_argv(words))
    must_know("place", [host], [*(node.name for node in lab.blueprint.nodes), "operator"], "in the twin")
    become(lab.shell_argv(host, words))


def become(argv: list[str]) -> NoReturn:
    """Become a program; end with its words when it cannot be started."""
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - an argv list, and to become that program is the point
    except OSError as error:
        fail(f"{argv[0]} cannot be started: {os_words(error)}")


@app.command()
@speaking()
def fault(
    context: typer.Context,
    what: Annotated[Fault, typer.Argument(help="What to do.")],
    where: Annotated[
        str, typer.Argument(help="HOST, or HOST/NIC for a cable.", autocompletion=complete.faults)
    ],
) -> None:
    """Hurt the twin, or heal it: cables, power, the way of management.

    \b
    Examples:
      grappe twin fault pull h1/eth1         grappe twin fault plug h1/eth1
      grappe twin fault power-off h2         grappe twin fault power-on h2
      grappe twin fault cut-management h3    grappe twin fault restore-management h3
    """
    node, _, nic = where.partition("/")
    if (what in (Fault.PULL, Fault.PLUG)) != bool(nic):
        expected = "HOST/NIC" if what in (Fault.PULL, Fault.PLUG) else "HOST"
        fail(f"{what}: expected {expected}, found {where}", "grappe twin status lists them", status=BAD_INPUT)
    lab = _lab(state(context))
    must_know("host or switch", [node], [one.name for one in lab.blueprint.nodes], "in the twin")
    if nic:
        must_know(
            "NIC", [where], [f"{node}/{one.name}" for one in lab.blueprint.node(node).nics], "in the twin"
        )
    _do(lab, what, node, nic)
    say(f"{what}: {where}")


def _do(lab: Lab, what: Fault, node: str, nic: str) -> None:
    match what:
        case Fault.PULL:
            lab.pull_cable(node, nic)
        case Fault.PLUG:
            lab.plug_cable(node, nic)
        case Fault.POWER_OFF:
            lab.power_off(node)
        case Fault.POWER_ON:
            lab.power_on(node)
        case Fault.CUT_MANAGEMENT:
            lab.cut_management(node)
        case Fault.RESTORE_MANAGEMENT:
            lab.restore_management(node)


_DARK = "no carrier (a port is down, as before a first apply)"


def _status_text(found: LabStatus) -> str:
    user = "as an ordinary user" if found.rootless else "as root"
    lines = [f"twin {found.name}, {user}"]
    for node in found.nodes:
        down = [name for name, runs in node.services.items() if not runs]
        trouble = f"  not running: {', '.join(down)}" if down else f"  {node.text}" if node.text else ""
        what = node.kind if node.machine == "namespace" else f"{node.kind} ({node.machine})"
        lines.append(f"  {node.name:<12} {what:<14} {node.state:<8} {node.ssh}{trouble}")
    lines += [
        f"  {'cable':<12} {c.a} - {c.b}: {_DARK if c.plugged else 'pulled out'}"
        for c in found.cables
        if not c.carrier
    ]
    return "\n".join(lines)


def _status_json(found: LabStatus) -> dict[str, Any]:
    from dataclasses import asdict

    made = asdict(found)
    return {"format": "grappe/twin-status/1", **made, "state_dir": str(found.state_dir)}
