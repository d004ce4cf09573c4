"""YAML 1.2 text -> a tree of nodes that know where they stand.

Only ruamel.yaml's event parser is used: it is several times cheaper than its round-trip objects, and scalars
stay the text that was written, so that `.30`, `010` and `52:54:00:12:34:56` mean what people meant. Every
leaf is a string, or None for `null`, `~` and nothing at all.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import ruamel.yaml.main
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLStreamError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from grappe.document.problem import START, Position, Problem, dotted, show
from grappe.model.site import Path

MAX_CHARACTERS = 16 << 20
MAX_DEPTH = 32
MAX_NODES = 4_000_000
"""After aliases are expanded: what a few lines can claim to be must stay bounded."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{t}" for t in ("str", "int", "float", "bool", "null", "map", "seq")
)
_MERGE = "<<"
_C_PARSER: Any = getattr(ruamel.yaml.main, "CParser", None)
"""None where the package ruamel.yaml.clib is not installed."""
_PARTED = re.compile(r"\t|[|>][-+\d]*#|&\w*[^\w\s]|^[|>]")
"""Where the two parsers part (found by comparing them on random texts): tabs, `|#`, anchors such as `&a:`."""

Data = dict[str, "Data"] | list["Data"] | str | None
"""What a node says, without positions."""


@dataclass(slots=True, eq=False)
class Node:
    """A value of the file and its place. `keys` has the place of each key of a mapping."""

    value: dict[str, Node] | list[Node] | str | None
    position: Position
    keys: dict[str, Position] = field(default_factory=dict)
    weight: int = 1
    """Nodes in it, aliases expanded."""
    depth: int = 1
    """Levels in it, aliases expanded."""

    def child(self, part: str | int) -> Node | None:
        """The value of a key, or an item of a list; None when there is none."""
        if isinstance(self.value, dict):
            return self.value.get(str(part))
        if isinstance(self.value, list) and isinstance(part, int) and 0 <= part < len(self.value):
            return self.value[part]
        return None

    def data(self) -> Data:
        """What it says, without positions. Aliases share one object."""
        return _data(self, {})


def _data(node: Node, done: dict[int, Data]) -> Data:
    if isinstance(node.value, str) or node.value is None:
        return node.value
    known = done.get(id(node))
    if known is None:
        if isinstance(node.value, dict):
            known = {key: _data(child, done) for key, child in node.value.items()}
        else:
            known = [_data(child, done) for child in node.value]
        done[id(node)] = known
    return known


def read(text: str) -> tuple[Node, list[Problem]]:
    """Parse a text. Returns its tree and what is wrong; after a syntax error, the tree that came before."""
    if len(text) > MAX_CHARACTERS:
        said = Problem(
            path=(),
            position=START,
            message="the file is too long",
            expected=f"at most {MAX_CHARACTERS >> 20} Mi characters",
        )
        return Node(None, START), [said]
    reader = _read_fast(text) or _read_carefully(text)
    return reader.root or Node(None, START), reader.problems


def _read_fast(text: str) -> _Reader | None:
    """Read with ruamel.yaml's C parser; None when it is not installed, too lenient, or finds a mistake.

    It is twelve times faster and says less about mistakes, so that those are left to the other parser.
    """
    if _C_PARSER is None or _PARTED.search(text):
        return None
    reader = _Reader()
    try:
        reader.build(_c_events(_C_PARSER(text)))
    except Exception:  # whatever it was, the careful reader finds the words for it
        return None
    return None if reader.problems else reader


def _c_events(parser: Any) -> Iterator[Event]:
    while parser.check_event():
        yield parser.get_event()


def _read_carefully(text: str) -> _Reader:
    reader = _Reader()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.build(YAML(typ="safe", pure=True).parse(text))
    except _StopReadingError:
        pass
    except MarkedYAMLError as error:
        reader.complain_syntax(error)
    except (YAMLStreamError, ReaderError) as error:
        reader.complain_character(text, error)
    except Exception as error:  # the parser's own slips on odd input, e.g. IndexError: still the file's fault
        reader.complain(START, (), f"not YAML: the parser gave up ({type(error).__name__})")
    return reader


class _StopReadingError(Exception):
    """Going on would be unbounded or pointless; the problem is already noted."""


@dataclass(slots=True)
class _Open:
    """A collection whose end was not seen yet."""

    node: Node
    anchor: str | None
    key: str | None = None
    key_at: Position | None = None
    """Set while the value of `key` is awaited."""
    merges: list[tuple[Node, Position]] = field(default_factory=list)


class _Reader:
    """Builds nodes from parser events, without recursion."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def complain(self, at: Position, path: Path, message: str, **more: str) -> None:
        """Note a problem; `more` is its expected, found and hint."""
        self.problems.append(Problem(path=path, position=at, message=message, **more))

    def complain_syntax(self, error: MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        if "quoted scalar" in str(error.context):
            mark = error.context_mark  # where it opened says more than where the file ends
        at = Position(mark.line + 1, mark.column + 1) if mark else START
        began = f"line {error.context_mark.line + 1}" if error.context_mark else "a line above"
        message, hint = _syntax(" ".join(f"{error.context or ''}: {error.problem or ''}".split()), began)
        self.complain(at, (), message, hint=hint)

    def complain_character(self, text: str, error: Exception) -> None:
        index = min(getattr(error, "position", 0) or 0, len(text))
        line = text.count("\n", 0, index) + 1
        column = index - (text.rfind("\n", 0, index) + 1) + 1
        found = f"U+{ord(text[index]):04X}" if index < len(text) else ""
        self.complain(Position(line, column), (), "a character that YAML does not allow", found=found)

    def build(self, events: Iterator[Event]) -> None:
        for event in events:
            if isinstance(event, DocumentStartEvent):
                self._start_document(_at(event))
            elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                self._open(event)
            elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                self._close()
            elif isinstance(event, ScalarEvent):
                self._scalar(event)
            elif isinstance(event, AliasEvent):
                self._alias(event)

    def _start_document(self, at: Position) -> None:
        self._documents += 1
        if self._documents > 1:
            self.complain(
                at,
                (),
                "a second YAML document",
                expected="one document in a file",
                hint="remove the line ---",
            )
            raise _StopReadingError

    def _path(self) -> Path:
        parts: list[str | int] = []
        for frame in self._stack:
            if isinstance(frame.node.value, list):
                parts.append(len(frame.node.value))
            elif frame.key is not None:
                parts.append(frame.key)
        return tuple(parts)

    def _tag(self, event: MappingStartEvent | SequenceStartEvent | ScalarEvent) -> None:
        tag = _tag(event)
        if tag and tag != "!" and tag not in _PLAIN_TAGS:
            self.complain(
                _at(event),
                self._path(),
                "YAML tags are not used here",
                found=show(tag.replace("tag:yaml.org,2002:", "!!")),
            )

    def _open(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        self._tag(event)
        if len(self._stack) >= MAX_DEPTH:
            self._stop(_at(event), "nested too deeply", f"at most {MAX_DEPTH} levels")
        node = Node({} if isinstance(event, MappingStartEvent) else [], _at(event))
        self._stack.append(_Open(node, event.anchor))

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.key_at is None:
            for merged, at in frame.merges:
                self._merge(frame.node, merged, at)
        if frame.anchor:
            self._anchors[frame.anchor] = frame.node
        self._place(frame.node)

    def _scalar(self, event: ScalarEvent) -> None:
        self._tag(event)
        null = not event.style and event.value in _NULLS and not _tag(event)
        node = Node(None if null else event.value, _at(event))
        if event.anchor:
            self._anchors[event.anchor] = node
        self._place(node)

    def _alias(self, event: AliasEvent) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            inside = any(frame.anchor == event.anchor for frame in self._stack)
            said = "an alias inside its own anchor" if inside else "an alias without an anchor before it"
            self.complain(_at(event), self._path(), said, found=show(f"*{event.anchor}"))
            node = Node(None, _at(event))
        self._place(node, _at(event))

    def _place(self, node: Node, at: Position | None = None) -> None:
        """Put a finished node where it belongs: the root, an item, a key or a value."""
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        holder = frame.node.value
        if isinstance(holder, list):
            holder.append(node)
            self._weigh(frame.node, node)
        elif frame.key_at is None:
            self._key(frame, node, at or node.position)
        elif isinstance(holder, dict):
            self._value(frame, holder, node)

    def _key(self, frame: _Open, node: Node, at: Position) -> None:
        frame.key_at = at
        frame.key = node.value if isinstance(node.value, str) else None
        if frame.key is None:
            self.complain(at, self._path(), "not a key", expected="a name", found=show(node.data()))
        elif frame.key in frame.node.keys:
            first = frame.node.keys[frame.key]
            self.complain(
                at,
                self._path(),
                f"{dotted(self._path())}: written twice; it stands already in line {first.line}",
            )
            frame.key = None

    def _value(self, frame: _Open, holder: dict[str, Node], node: Node) -> None:
        key, at = frame.key, frame.key_at
        frame.key = frame.key_at = None
        if key is None or at is None:
            return
        if key == _MERGE:
            frame.merges.append((node, at))
            return
        if node.value is None:
            node = Node(None, at)  # nothing has no place of its own: the two parsers differ there
        holder[key] = node
        frame.node.keys[key] = at
        self._weigh(frame.node, node)

    def _weigh(self, parent: Node, child: Node) -> None:
        """Count what a node holds and how deep: aliases let a short text claim much of both."""
        parent.weight += child.weight
        parent.depth = max(parent.depth, child.depth + 1)
        if parent.weight > MAX_NODES:
            said = "too much once its aliases are expanded"
            self._stop(parent.position, said, f"at most {MAX_NODES:,} values")
        if parent.depth > MAX_DEPTH:
            self._stop(parent.position, "nested too deeply", f"at most {MAX_DEPTH} levels")

    def _stop(self, at: Position, message: str, expected: str) -> NoReturn:
        self.complain(at, (), message, expected=expected)
        raise _StopReadingError

    def _merge(self, node: Node, merged: Node, at: Position) -> None:
        """`<<: *common`: the keys of the other mapping that are not given here."""
        sources = merged.value if isinstance(merged.value, list) else [merged]
        for source in sources:
            if not isinstance(source.value, dict) or not isinstance(node.value, dict):
                self.complain(
                    at,
                    (*self._path(), _MERGE),
                    "<<: nothing to merge",
                    expected="a mapping",
                    found=show(source.data()),
                )
                continue
            for key, child in source.value.items():
                if key not in node.value:
                    node.value[key] = child
                    node.keys[key] = source.keys[key]
                    self._weigh(node, child)


def _at(event: Event) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _tag(event: MappingStartEvent | SequenceStartEvent | ScalarEvent) -> str:
    """Return the tag that is written, or nothing; the two parsers keep it in different attributes."""
    return str(getattr(event, "ctag", None) or event.tag or "")


_SYNTAX = (
    ("'\\t'", "a tab where YAML wants spaces", "indent with spaces, never with tabs"),
    (
        "values are not allowed",
        "a second ': '",
        "a text with ': ' in it needs quotes; or the line above ends too early",
    ),
    (
        "expected ',' or",
        "a brace or bracket is not closed",
        "it opened in {began}; or a comma is missing here",
    ),
    ("<block end>", "this line is not indented like its neighbours", "they begin in {began}"),
    ("quoted scalar", "a quote is not closed", ""),
)
"""The parser's words, ours, and what to do."""


def _syntax(said: str, began: str) -> tuple[str, str]:
    """Return the parser's complaint in words for people, and a hint."""
    for sign, message, hint in _SYNTAX:
        if sign in said:
            return message, hint.format(began=began)
    return f"not YAML: {said.strip(': ')}", ""
