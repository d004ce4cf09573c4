"""A file -> a document: the site, and where everything in it stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path as FilePath

from grappe.document.complaints import check_shape, locate, written_part
from grappe.document.partial import WrittenNames
from grappe.document.problem import START, DeclarationError, Position, Problem, dotted
from grappe.document.resolve.context import Context
from grappe.document.resolve.places import candidates, origins
from grappe.document.resolve.site import resolve
from grappe.document.source import MAX_CHARACTERS, Node, read
from grappe.model.site import Path, Site


@dataclass(frozen=True)
class Document:
    """A declaration that was read: what it says and where it says it."""

    site: Site
    filename: str
    root: Node
    origins: dict[Path, Path]
    """Places of the model -> where they stand in the file, where that is another place."""

    def position(self, path: Path) -> Position:
        """Return where a place of the model stands in the file: it, or its nearest ancestor that is written.

        Paths may start as the model's mappings do (`("hosts", "h1", …)`) or as the file does
        (`("pools", "p", "hosts", "h1", …)`); what a host takes from its pool is found there.
        """
        places = candidates(path, self.origins)
        return locate(self.root, min(places, key=lambda place: _unwritten(self.root, place)))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of what the file says; comments, layout and order of keys do not count."""
        text = json.dumps(self.root.data(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _unwritten(root: Node, path: Path) -> int:
    """Return how many parts of a path are not in the file."""
    node, missing = root, 0
    for part in path:
        child = node.child(part)
        if child is None:
            missing += 1
        else:
            node = child
    return missing


def load(path: FilePath) -> Document:
    """Read a file. Raises OSError when it cannot be read and DeclarationError when it cannot be used."""
    with path.open("rb") as file:
        raw = file.read(4 * MAX_CHARACTERS + 1)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DeclarationError([_not_utf8(raw, error, str(path))]) from None
    return loads(text, str(path))


def _not_utf8(raw: bytes, error: UnicodeDecodeError, filename: str) -> Problem:
    before = raw[: error.start]
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    return Problem(
        path=(),
        position=Position(before.count(b"\n") + 1, column),
        message="not UTF-8 text",
        found=f"byte 0x{raw[error.start]:02x}",
        hint="save the file as UTF-8",
        filename=filename,
    )


def loads(text: str, filename: str = "<text>") -> Document:
    """Read a text. Raises DeclarationError with every problem."""
    root, problems = read(text)
    if problems and any(not p.path for p in problems):
        raise _error(filename, problems)
    if not isinstance(root.value, dict):
        raise _error(filename, [*problems, _not_a_mapping(root)])
    shape, wrong = check_shape(root)
    problems.extend(wrong)
    if shape is None:
        raise _error(filename, problems)
    site, context = resolve(shape)
    problems.extend(_placed(root, _relevant(root, context, partial=bool(problems))))
    if problems:
        raise _error(filename, problems)
    return Document(site, filename, root, origins(site, context.templates))


def _not_a_mapping(root: Node) -> Problem:
    if root.value is None:
        return Problem(
            path=(), position=START, message="the file is empty", hint="grappe init writes a first one"
        )
    found = "a list" if isinstance(root.value, list) else "text"
    return Problem(
        path=(),
        position=root.position,
        message="the file",
        expected="a mapping that begins with site: NAME",
        found=found,
    )


def _error(filename: str, problems: Iterable[Problem]) -> DeclarationError:
    return DeclarationError(replace(p, filename=filename) for p in problems)


def _relevant(root: Node, context: Context, *, partial: bool) -> Iterator[Problem]:
    """What to say of names and meanings. Of a partial file: only names that stand nowhere in it."""
    if not partial:
        yield from context.problems
    written = WrittenNames(root)
    for problem, kind, name in context.unknown:
        if not partial or not written.has(kind, name):
            yield problem


def _placed(root: Node, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Put before each message the place as it stands in the file, and the position."""
    for problem in problems:
        place = dotted(written_part(root, problem.path))
        message = f"{place}: {problem.message}" if problem.message else place
        yield replace(problem, message=message, position=locate(root, problem.path))
