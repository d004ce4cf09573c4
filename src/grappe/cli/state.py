"""What every verb shares: the global options, and what they lead to."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from grappe.cli.errors import fail, os_words
from grappe.cli.exits import BAD_INPUT

if TYPE_CHECKING:
    from grappe.app import Cluster
    from grappe.document import Document


@dataclass(frozen=True, slots=True)
class State:
    """The global options."""

    file: Path
    twin: bool
    twin_name: str | None
    ssh_config: Path | None = None

    def document(self) -> Document:
        """Load the declaration. Raises DeclarationError; ends the program when it cannot be read."""
        from grappe.document import load

        self._readable()
        return load(self.file)

    def cluster(self) -> Cluster:
        """The declaration with its devices: the twin's with --twin, the real ones otherwise."""
        self._readable()
        from grappe import app

        return app.twin(self.file, self.twin_name) if self.twin else app.real(self.file, self.ssh_config)

    def _readable(self) -> None:
        try:
            with self.file.open("rb") as file:
                file.read(1)
        except FileNotFoundError:
            hint = "name one with --file FILE or GRAPPE_FILE, or write a first one: grappe init > site.yaml"
            fail(f"{self.file}: there is no such declaration", hint, status=BAD_INPUT)
        except (OSError, ValueError) as error:  # ValueError: a name with a NUL
            said = os_words(error) if isinstance(error, OSError) else str(error)
            fail(f"{said}; expected a declaration (YAML text)", status=BAD_INPUT)


def state(context: typer.Context) -> State:
    """The global options of a command's context."""
    found = context.find_object(State)
    if found is None:
        raise RuntimeError("the command was called without its group")
    return found


def must_know(
    kind: str, words: Iterable[str], known: Collection[str], where: str = "in the declaration"
) -> None:
    """End the program when a word is not among the known names of its kind; the nearest name is told."""
    from grappe.document.problem import nearest, one_of

    wrong = [word for word in dict.fromkeys(words) if word not in known]
    if not wrong:
        return
    close = [name for word in wrong if (name := nearest(word, known))]
    if close:
        hint = f"did you mean {', '.join(close)}?"
    elif known:
        hint = f"expected {one_of(known, kind)}" + (f": {', '.join(known)}" if len(known) > 8 else "")
    else:
        hint = f"there is none {where}"
    fail(f"no {kind} {', '.join(wrong)} {where}", hint, status=BAD_INPUT)
