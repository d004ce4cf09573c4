"""The journal on a real file system: whole lines, in order, readable whatever became of its writer."""

from __future__ import annotations

import threading
from dataclasses import fields
from pathlib import Path

import pytest

from grappe.apply import events
from grappe.apply.events import Archived, Committed, Event, RunBegins, RunEnds, StepBegins
from grappe.apply.journal import Journal, entries, journals, render


def test_what_is_appended_reads_back_as_itself(tmp_path: Path) -> None:
    path = tmp_path / "state" / "r.jsonl"
    said: list[Event] = [
        StepBegins(0, 1, "h1", ("h1/port/a\nb", "h1/port/é")),
        Archived("h1", "/there", ""),
        Committed(0),
        RunEnds("done", ""),
    ]
    with Journal(path) as journal:
        for event in said:
            journal.append(event)
    with Journal(path) as journal:
        journal.append(Committed(1))
    assert [entry.event for entry in entries(path)] == [*said, Committed(1)]
    assert [entry.number for entry in entries(path)] == [1, 2, 3, 4, 5]
    assert path.stat().st_mode & 0o777 == 0o600
    assert journals(path.parent) == (path,)


@pytest.mark.parametrize("event", events.KINDS.values(), ids=events.KINDS)
def test_every_kind_of_event_reads_back_as_itself(event: type[Event], tmp_path: Path) -> None:
    samples = {
        "str": "x",
        "int": 3,
        "float": 1.5,
        "bool": True,
        "tuple[str, ...]": ("a", "b"),
        "Json": {"stages": []},
    }
    made = event(**{field.name: samples[str(field.type)] for field in fields(event)})
    with Journal(tmp_path / "j") as journal:
        journal.append(made)
    (entry,) = entries(tmp_path / "j")
    assert entry.event == made
    assert events.kind(event).replace("-", " ") in render((entry,))


def test_a_torn_last_line_hides_nothing_and_nothing_is_glued_to_it(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Journal(path) as journal:
        journal.append(Committed(0))
        journal.append(Committed(1))
    whole = path.read_bytes()
    for cut in range(len(whole) // 2 + 1, len(whole)):
        path.write_bytes(whole[:cut])
        assert [e.event for e in entries(path)][:1] == [Committed(0)]
        with Journal(path) as journal:
            journal.append(Committed(2))
        found = [e.event for e in entries(path)]
        assert found[0] == Committed(0)
        assert found[-1] == Committed(2)
        assert found[1:-1] in ([None], [Committed(1)])


def test_entries_of_a_newer_version_are_shown_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(
        '{"at": 1.0, "event": "danced"}\n{"at": 2.0, "event": "committed", "stage": 3, "new": 1}\n7\n'
    )
    assert [e.event for e in entries(path)] == [None, Committed(3), None]
    assert "danced" in render(entries(path))


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with Journal(path) as journal:

        def write(number: int) -> None:
            for _ in range(5):
                journal.append(RunEnds(str(number), "x" * 9000))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(entries(path)) == 20
    assert all(isinstance(entry.event, RunEnds) for entry in entries(path))


def test_a_plan_is_not_spelt_out_for_people(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append(RunBegins("r", "ana@x pid 1", "id", {"stages": [{}, {}], "site": "secretive"}))
    assert render(entries(tmp_path / "j")).endswith(
        "run begins: run r, holder ana@x pid 1, holder_id id, plan 2 stages\n"
    )
