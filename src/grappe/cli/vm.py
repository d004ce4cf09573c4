"""`grappe vm`: list, start, stop, console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from grappe.cli import complete
from grappe.cli.errors import fail, speaking
from grappe.cli.exits import FOUND
from grappe.cli.output import say, say_json
from grappe.cli.state import must_know, state

if TYPE_CHECKING:
    from grappe.app import Cluster
    from grappe.model.site import Vm
    from grappe.platforms.planning import Survey

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Operate VMs: list, start, stop, console.

What a VM is comes from the declaration: grappe apply makes it.""",
)

Name = Annotated[
    str, typer.Argument(metavar="VM", help="Name of the VM, as declared.", autocompletion=complete.vms)
]


@app.command("list")
@speaking()
def list_vms(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List declared VMs and those found on the hosts, with their state.

    Touches nothing. Exit status 1 when a host does not answer.
    """
    cluster = state(context).cluster()
    survey = cluster.survey()
    rows = list(_rows(cluster, survey))
    silent = {**survey.unknown, **survey.excused}
    if as_json:
        say_json({"format": "grappe/vm-list/1", "site": cluster.site.name, "vms": rows, "unknown": silent})
    else:
        _table(rows)
        for scope, reason in silent.items():
            say(f"not asked: {scope}: {reason}")
    if survey.unknown:
        raise typer.Exit(FOUND)


def _table(rows: list[dict[str, str]]) -> None:
    heading = {c: c.upper() for c in _COLUMNS}
    widths = [max(len(str(r[c])) for r in [*rows, heading]) for c in _COLUMNS]
    for row in [heading, *rows]:
        say("  ".join(f"{row[c]!s:<{w}}" for c, w in zip(_COLUMNS, widths, strict=True)).rstrip())


_COLUMNS = ("name", "host", "state", "declared", "networks", "addresses")


def _rows(cluster: Cluster, survey: Survey) -> Iterator[dict[str, str]]:
    found = {
        (k.scope, k.name): str(r.running.get("state", "unknown"))
        for k, r in survey.resources.items()
        if k.kind == "vm"
    }
    for vm in cluster.site.vms.values():
        where = vm.host or next((s for s, n in found if n == vm.name), "")
        seen = found.pop((where, vm.name), "unknown" if where in survey.unknown else "not made")
        yield {
            "name": vm.name,
            "host": where or "not placed",
            "state": seen,
            "declared": "running" if vm.running else "stopped",
            "networks": ", ".join(n.network or n.port_group for n in vm.nics) or "-",
            "addresses": ", ".join(str(a.ip) for n in vm.nics for a in n.addresses) or "-",
        }
    for (scope, name), seen in sorted(found.items()):
        yield dict(zip(_COLUMNS, (name, scope, seen, "not declared", "-", "-"), strict=True))


@app.command()
@speaking()
def start(context: typer.Context, name: Name) -> None:
    """Start a VM that is made and stopped. Runs as a plan of one step, with a journal."""
    _switch(context, name, on=True)


@app.command()
@speaking()
def stop(context: typer.Context, name: Name) -> None:
    """Ask a VM to shut down by its power button, and wait until it has.

    It is never killed. Runs as a plan of one step, with a journal.
    """
    _switch(context, name, on=False)


def _switch(context: typer.Context, name: str, *, on: bool) -> None:
    from grappe.cli.run import Consent, run_plan, settle_past
    from grappe.graph.plan import Level
    from grappe.operate.power import power

    cluster = state(context).cluster()
    host = _host(cluster, cluster.site.vms[name]) if name in cluster.site.vms else _undeclared(cluster, name)
    survey = cluster.survey(frozenset({host}))
    silent = {**survey.unknown, **survey.excused}
    if host in silent:
        fail(f"{host}: {silent[host]}")
    plan = cluster.planned(power(host, name, survey.resources, on=on), survey)
    settle_past(cluster, resume=False, abort=False)
    consent = Consent(yes=True, limit=Level.GUEST_RESTART, partial=False)
    if not run_plan(cluster, plan, consent, undo_all=False):
        raise typer.Exit(FOUND)


def _undeclared(cluster: Cluster, name: str) -> str:
    """The host of a VM that left the declaration and still exists: it can be switched all the same."""
    found = [k.scope for k in cluster.survey().resources if k.kind == "vm" and k.name == name]
    if not found:
        must_know("VM", [name], cluster.site.vms)
    if len(found) > 1:
        fail(f"{name} is on {' and '.join(sorted(found))}", "stop one of them by hand: virsh shutdown")
    return found[0]


@app.command()
@speaking()
def console(context: typer.Context, name: Name) -> None:
    """Open a VM's serial console; Ctrl-] leaves it."""
    from grappe.cli.twin import become
    from grappe.operate.power import console_argv

    cluster = state(context).cluster()
    vm = _vm(cluster, name)
    become(cluster.transports[_host(cluster, vm)].argv(console_argv(name), tty=True))


def _vm(cluster: Cluster, name: str) -> Vm:
    found: Mapping[str, Vm] = cluster.site.vms
    must_know("VM", [name], found)
    return found[name]


def _host(cluster: Cluster, vm: Vm) -> str:
    if vm.host is None or vm.host not in cluster.endpoints:
        where = f"host {vm.host} cannot be reached from here" if vm.host else "it is placed on no host"
        fail(f"{vm.name}: {where}", "declare host: for it")
    return vm.host
