"""What is wrong with a declaration, said so that it can be put right: where, what, expected, found, hint."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from grappe.model.site import Path

_BARE = re.compile(r"[\w.:/+*@%{}-]+", re.ASCII)
_LISTED = 8
"""So many names are listed in full; of more, only how many there are."""
_LONGEST = 60
_FEW = 4


class Position(NamedTuple):
    """A place in a text, both counted from 1."""

    line: int
    column: int


START = Position(1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    `message` says what; `expected` and `found` and `hint` may be empty. `path` is the place in the
    declaration, `position` the place in the file.
    """

    path: Path
    position: Position
    message: str
    expected: str = ""
    found: str = ""
    hint: str = ""
    filename: str = field(default="", compare=False)

    def __str__(self) -> str:
        text = f"{self.filename}:{self.position.line}:{self.position.column}: {self.message}"
        facts = [
            f"expected {self.expected}" if self.expected else "",
            f"found {self.found}" if self.found else "",
        ]
        said = ", ".join(f for f in facts if f)
        text += f": {said}" if said else ""
        return f"{text}; {self.hint}" if self.hint else text


class DeclarationError(Exception):
    """A declaration that cannot be used. `problems` has all of them, each once, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        different = {str(p): p for p in problems}
        self.problems = tuple(sorted(different.values(), key=lambda p: p.position))
        super().__init__("\n".join(str(p) for p in self.problems))


def show(value: object) -> str:
    """Return a value from the file as a message shows it: short, on one line, printable."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return _show_list(value)
    text = str(value)
    if _BARE.fullmatch(text) and len(text) <= _LONGEST:
        return text
    return json.dumps(
        text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…", ensure_ascii=not _printable(text)
    )


def _plural(kind: str) -> str:
    return " or ".join(f"{word}es" if word.endswith("ch") else f"{word}s" for word in kind.split(" or "))


def _show_list(values: Sequence[object]) -> str:
    if not values:
        return "an empty list"
    if len(values) > _FEW or not all(isinstance(v, str) for v in values):
        return "a list"
    return f"[{', '.join(show(v) for v in values)}]"


def _printable(text: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in text)


def dotted(path: Path) -> str:
    """Return a place in the declaration as people write it: `vms.web1.nics[0].address`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{show(part)}"
    return text.removeprefix(".") or "the file"


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the known name that was probably meant, or None. Case and `-`/`_` do not count."""
    plain = {_fold(name): name for name in known}
    matches = difflib.get_close_matches(_fold(word), plain, n=1, cutoff=0.6)
    return plain[matches[0]] if matches else None


def _fold(name: str) -> str:
    return name.lower().replace("-", "_")


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a hint that names the nearest name, or nothing (also when only one can be meant)."""
    name = nearest(word, known) if len(known) > 1 else None
    return f"did you mean {show(name)}?" if name else ""


def one_of(names: Collection[str], kind: str = "") -> str:
    """Return `a, b or c`; of a long list, when its kind is said, only how many there are."""
    if len(names) > _LISTED and kind:
        return f"one of {len(set(names))} {_plural(kind)}"
    words = [show(name) for name in dict.fromkeys(names)]
    if not words:
        return ""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
