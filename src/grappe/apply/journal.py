"""The journal: one file per run, a line of JSON per event, on disk before the event has its effect."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from grappe.apply import events
from grappe.apply.events import Event, RunBegins


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a journal: its number from 1, when (seconds since 1970), and what; None: not readable."""

    number: int
    at: float
    event: Event | None
    text: str
    """The line as it stands."""


class Journal:
    """An open journal. Every `append` is on disk when it returns. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._end_torn_line()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)

    def _end_torn_line(self) -> None:
        """A writer killed in mid-line left no newline: the next entry must not be glued to it."""
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def append(self, event: Event) -> None:
        """Write an event and flush it to the disk. Raises OSError when that fails, as on a full disk."""
        data = {"at": round(time.time(), 3), "event": events.kind(type(event)), **events.to_data(event)}
        line = json.dumps(data, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def entries(path: Path) -> tuple[Entry, ...]:
    """Read a journal. A torn line, as a killed writer leaves it, becomes an entry without an event."""
    lines = path.read_text("utf-8", "replace").splitlines()
    return tuple(_entry(number, line) for number, line in enumerate(lines, start=1))


def _entry(number: int, line: str) -> Entry:
    try:
        data = json.loads(line)
        at, kind = float(data.pop("at")), data.pop("event")
        return Entry(number, at, events.from_data(kind, data), line)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Entry(number, 0.0, None, line)


def journals(directory: Path) -> tuple[Path, ...]:
    """Journals of a directory, oldest first (their names begin with the time)."""
    return tuple(sorted(directory.glob("*.jsonl")))


def render(found: Iterable[Entry]) -> str:
    """A journal for people, a line per entry."""
    return "".join(f"{_time(entry.at)}  {_words(entry)}\n" for entry in found)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _words(entry: Entry) -> str:
    event = entry.event
    if event is None:
        return "(not readable: " + entry.text[:60] + ")"
    data = events.to_data(event)
    if isinstance(event, RunBegins):
        data["plan"] = f"{len(event.plan['stages'])} stages"
    told = ", ".join(f"{name} {_short(value)}" for name, value in data.items() if value not in ("", ()))
    return f"{events.kind(type(event)).replace('-', ' ')}: {told}"


def _short(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
