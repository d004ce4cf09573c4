"""Verbs of the first contact: trust, preflight."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from grappe.cli import complete
from grappe.cli.errors import fail, speaking, warn
from grappe.cli.exits import BAD_INPUT, FOUND, INTERRUPTED
from grappe.cli.output import say, say_json
from grappe.cli.state import must_know, state

if TYPE_CHECKING:
    from grappe.cli.preflight import HostReport
    from grappe.transport.host_keys import Contact

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(trust)
    app.command()(preflight)


@speaking()
def trust(
    context: typer.Context,
    devices: Annotated[
        list[str],
        typer.Argument(
            metavar="DEVICE...",
            help="Hosts and switches of the declaration.",
            autocompletion=complete.devices,
        ),
    ],
) -> None:
    """Make the first contact: show a device's SSH host key, ask, and add it to your known_hosts.

    The key is fetched on the very way that Grappe will take: your ssh configuration, ports, names and jump
    hosts count. Compare the fingerprint with the one at the device's console: ssh-keygen -lf
    /etc/ssh/ssh_host_ed25519_key.pub. A key is never added unasked, and a changed key never at all. Exit
    status 1 when a device is still not trusted.

    \b
    Example:
      grappe trust h1 h2 h3
    """
    cluster = state(context).cluster()
    must_know("device", devices, cluster.endpoints)
    refused = [device for device in devices if not _trusted(cluster.transports[device])]
    if refused:
        fail(f"not trusted: {', '.join(refused)}")


def _trusted(transport: object) -> bool:
    from grappe.transport.base import TransportError
    from grappe.transport.host_keys import State, add, contact
    from grappe.transport.ssh import OpenSsh

    if not isinstance(transport, OpenSsh):
        return True
    try:
        found = contact(transport)
    except TransportError as error:
        warn(f"{error}")
        return False
    if found.state is State.KNOWN:
        say(f"{transport.device}: its host key is known")
        return True
    if not _agreed(transport.device, found):
        return False
    add(found)
    say(f"{transport.device}: added to {found.file}")
    return True


def _agreed(device: str, found: Contact) -> bool:
    say(f"{device}: known here as {found.name}; its host key:")
    for line in found.fingerprints:
        say(f"  {line}")
    if not sys.stdin or not sys.stdin.isatty():
        warn(f"{device}: nobody is there to ask; nothing was added")
        return False
    try:
        return typer.confirm("Is it the one at its console? Add it?")
    except typer.Abort:
        fail("nothing was added", status=INTERRUPTED)


@speaking()
def preflight(
    context: typer.Context,
    hosts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[HOST...]", help="All by default.", autocompletion=complete.hosts),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Install the Debian packages that are missing; asks first.")
    ] = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tell what hosts lack before Grappe can drive them: programs, versions, services, clock, rival managers.

    Touches nothing without --install; with it, apt-get installs the named packages. Exit status 1 when a
    host is not ready or does not answer.

    \b
    Examples:
      grappe preflight
      grappe preflight h1 --install
      grappe explain host-packages
    """
    from grappe.cli.preflight import reports, to_json, to_text
    from grappe.model.site import Platform

    cluster = state(context).cluster()
    known = [h.name for h in cluster.site.hosts.values() if h.platform is Platform.KVM]
    must_know("host", hosts or (), known)
    asked = [h for h in hosts or known if hosts or not cluster.site.hosts[h].maintenance]
    found = reports(cluster, [h for h in asked if h in cluster.endpoints])
    if as_json:
        if install:
            fail("--json only tells: it does not go with --install", status=BAD_INPUT)
        say_json(to_json(cluster.site.name, found))
    else:
        say(to_text(found))
    if install and _install(context, found, yes=yes):
        found = reports(cluster, [report.host for report in found])
        say(to_text(found))
    if not all(report.well for report in found):
        raise typer.Exit(FOUND)


def _install(context: typer.Context, found: list[HostReport], *, yes: bool) -> bool:
    """Whether something was installed."""
    from grappe.cli import preflight as work
    from grappe.cli.run import ask

    wanted = {r.host: r.packages for r in found if not r.unknown and r.packages}
    if not wanted:
        say("nothing to install")
        return False
    for host, names in wanted.items():
        say(f"to install on {host}: {' '.join(names)}")
    if not yes:
        if not sys.stdin or not sys.stdin.isatty():
            fail("nobody is there to ask; nothing was installed", "agree with --yes")
        ask("Install them?", "nothing was installed")
    failures = {h: why for h, why in work.install(state(context).cluster(), wanted).items() if why}
    for host, why in failures.items():
        warn(f"{host}: not installed: {why}")
    return True
