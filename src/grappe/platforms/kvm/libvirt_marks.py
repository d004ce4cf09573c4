"""Ownership of libvirt objects that have no room for a mark: port groups, pools, volumes.

A mark is a small file on the host, one per object, written before the object is made (a mark without an
object says nothing). It names the object, its parent's uuid and the site, so that an object of the same name
that someone made later in another network or pool is not taken for ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

from grappe.model.script import Command, command

DIRECTORY = "/var/lib/grappe/marks/libvirt"

_SPACE = UUID("6f1d5a0e-6f0a-5b6e-9d5e-6b1f0c6c7a11")

_WRITE = """set -eu
umask 077
mkdir -p "$1"
while read -r id text; do
  printf '%s\\n' "$text" > "$1/$id.new"
  mv -f "$1/$id.new" "$1/$id.json"
done
"""

_ERASE = """set -eu
directory=$1
shift
for id; do rm -f "$directory/$id.json" "$directory/$id.fresh"; done
"""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """One object of a site: its kind, its name (as in its key), and the uuid of what it lies in."""

    kind: str
    name: str
    parent: str
    site: str

    @property
    def id(self) -> str:
        """Name of the mark's file, always the same for the same object."""
        return str(uuid5(_SPACE, "\0".join((self.kind, self.name))))

    @property
    def file(self) -> str:
        """The mark's path."""
        return f"{DIRECTORY}/{self.id}.json"

    def line(self) -> str:
        """The mark as it is written: one line of JSON."""
        said = {"kind": self.kind, "name": self.name, "parent": self.parent, "site": self.site}
        return json.dumps(said, sort_keys=True)


def read(text: str) -> frozenset[Mark]:
    """Marks from the files' lines; a line that is not a mark is passed over (the object is then foreign)."""
    return frozenset(mark for line in text.splitlines() if (mark := _mark(line)) is not None)


def _mark(line: str) -> Mark | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, Mapping):
        return None
    return Mark(*(str(said.get(name, "")) for name in ("kind", "name", "parent", "site")))


def set_marks(marks: Iterable[Mark]) -> tuple[Command, ...]:
    """Write marks: one command, none when there is nothing to write."""
    lines = [f"{mark.id} {mark.line()}\n" for mark in sorted(marks)]
    return (command("sh", "-c", _WRITE, "marks", DIRECTORY, stdin="".join(lines)),) if lines else ()


def erase_marks(marks: Iterable[Mark]) -> tuple[Command, ...]:
    """Remove marks: one command, none when there is nothing to remove."""
    ids = [mark.id for mark in sorted(marks)]
    return (command("sh", "-c", _ERASE, "marks", DIRECTORY, *ids),) if ids else ()


def derived_uuid(*words: str) -> str:
    """The uuid that an object made by Grappe has: always the same for the same words."""
    return str(uuid5(_SPACE, "\0".join(words)))
