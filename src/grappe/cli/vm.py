"""`grappe vm`: list, start, stop, console."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from grappe.cli.state import BAD_INPUT, FOUND, fail, say, speaking, state

if TYPE_CHECKING:
    from grappe.app import Cluster
    from grappe.model.site import Vm
    from grappe.platforms.planning import Survey

app = typer.Typer(no_args_is_help=True, help="List, start and stop VMs, and open their consoles.")

Name = Annotated[str, typer.Argument(help="Name of the VM, as declared.")]


@app.command("list")
def list_vms(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List declared VMs and those found on the hosts, with their state."""
    with speaking():
        cluster = state(context).cluster()
        survey = cluster.survey()
    rows = list(_rows(cluster, survey))
    if as_json:
        say(json.dumps({"format": "grappe/vms/1", "vms": rows, "unknown": dict(survey.unknown)}, indent=2))
        return
    widths = [max(len(str(r[c])) for r in [*rows, {c: c for c in _COLUMNS}]) for c in _COLUMNS]
    for row in [{c: c.upper() for c in _COLUMNS}, *rows]:
        say("  ".join(f"{row[c]!s:<{w}}" for c, w in zip(_COLUMNS, widths, strict=True)).rstrip())
    for scope, reason in survey.unknown.items():
        say(f"not asked: {scope}: {reason}")


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
def start(context: typer.Context, name: Name) -> None:
    """Start a VM that is made and stopped."""
    _switch(context, name, on=True)


@app.command()
def stop(context: typer.Context, name: Name) -> None:
    """Ask a VM to shut down by its power button, and wait until it has. It is never killed."""
    _switch(context, name, on=False)


def _switch(context: typer.Context, name: str, *, on: bool) -> None:
    from grappe.cli.run import Consent, run_plan, settle_past
    from grappe.graph.plan import Level
    from grappe.operate.power import power

    with speaking():
        cluster = state(context).cluster()
        host = _host(cluster, _vm(cluster, name))
        survey = cluster.survey(frozenset({host}))
        if host in survey.unknown:
            fail(f"{host}: {survey.unknown[host]}")
        change = power(host, name, survey.resources, on=on)
        plan = cluster.planned(change, survey)
        settle_past(cluster, resume=False, abort=False)
        consent = Consent(yes=True, limit=Level.GUEST_RESTART, partial=False)
        if not run_plan(cluster, plan, consent, undo_all=False):
            raise typer.Exit(FOUND)


@app.command()
def console(context: typer.Context, name: Name) -> None:
    """Open a VM's serial console; Ctrl-] leaves it."""
    from grappe.operate.power import console_argv

    with speaking():
        cluster = state(context).cluster()
        vm = _vm(cluster, name)
        argv = cluster.transports[_host(cluster, vm)].argv(console_argv(name), tty=True)
    os.execvp(argv[0], argv)  # noqa: S606 - an argv list, and to become that program is the point


def _vm(cluster: Cluster, name: str) -> Vm:
    found: Mapping[str, Vm] = cluster.site.vms
    if name not in found:
        fail(f"no VM {name}", f"VMs: {', '.join(found)}", status=BAD_INPUT)
    return found[name]


def _host(cluster: Cluster, vm: Vm) -> str:
    if vm.host is None or vm.host not in cluster.endpoints:
        fail(f"{vm.name} is on no host that can be reached", "declare host: for it", status=FOUND)
    return vm.host
