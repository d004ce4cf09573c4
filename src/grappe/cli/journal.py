"""`grappe journal`: what was done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grappe.cli.errors import speaking
from grappe.cli.output import say, say_json
from grappe.cli.state import state

if TYPE_CHECKING:
    from grappe.apply.journal import Entry


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(journal)


@speaking()
def journal(
    context: typer.Context,
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many runs, the latest last.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Print what was done, entry by entry, from the journals on this machine.

    Every run of apply, vm start and vm stop keeps one: written, and flushed to the disk, before a device
    hears of a step. Asks no device.

    \b
    Examples:
      grappe journal                  the latest run
      grappe --twin journal --last 3
    """
    from grappe.apply.journal import entries, journals, render

    cluster = state(context).cluster()
    found = journals(cluster.journals)[-last:]
    if as_json:
        runs = [_run(path, entries(path)) for path in found]
        say_json({"format": "grappe/journal/1", "site": cluster.site.name, "runs": runs})
        return
    if not found:
        say(f"no run yet (journals are kept in {cluster.journals})")
    for path in found:
        say(f"{path}\n{render(entries(path))}")


def _run(path: Path, found: tuple[Entry, ...]) -> dict[str, Any]:
    return {"file": str(path), "entries": [_entry(entry) for entry in found]}


def _entry(entry: Entry) -> dict[str, Any]:
    """An entry; one that cannot be read has no event and keeps its text."""
    from grappe.apply import events

    if entry.event is None:
        return {"number": entry.number, "at": entry.at, "event": None, "text": entry.text}
    name, data = events.kind(type(entry.event)), events.to_data(entry.event)
    return {"number": entry.number, "at": entry.at, "event": name, "data": data}
