"""The roll call's text: it fits a screen at every size, and says of every cell what was judged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grappe.verify.matrix import MARKS, WIDTH, fitted, matrix
from grappe.verify.render import to_text
from grappe.verify.rollcall import RollCall, State
from pure.test_rollcall import TRUNK, Site


@st.composite
def hurt(draw: st.DrawFn) -> Site:
    site = Site(draw(st.integers(2, 6)), draw(st.integers(1, 4)), draw(st.booleans()))
    for port in draw(st.lists(st.sampled_from(site.ports), max_size=2)):
        site.tags[port] = draw(st.integers(TRUNK, site.vlans))
    site.switch_gaps = set(
        draw(st.lists(st.tuples(st.integers(0, site.hosts - 1), st.integers(1, site.vlans)), max_size=2))
    )
    return site


@settings(max_examples=60, deadline=None)
@given(hurt())
def test_every_cell_of_a_network_is_in_its_matrix(site: Site) -> None:
    call = site.call()
    for number, network in enumerate(call.plan.networks):
        _, headings, *lines = matrix(call, number)
        senders = headings.split()[3:]
        rows = {tuple(words[: -len(senders)]): words[-len(senders) :] for words in map(str.split, lines)}
        for voice, spoken in enumerate(call.plan.voices):
            if spoken.network == network.name:
                _agrees(call, voice, senders.index(call.plan.speaker(voice).device), rows)


def _agrees(call: RollCall, voice: int, column: int, rows: dict[tuple[str, ...], list[str]]) -> None:
    for point, cell in zip(call.plan.points, call.cells[voice], strict=True):
        here = [
            marks[column]
            for line, marks in rows.items()
            if line[0] == point.device and point.interface in line[1:]
        ]
        if call.plan.voices[voice].network in dict(point.carries) or cell.state is State.LEAK:
            assert len(here) == 1, (point, rows)
            assert here[0] == MARKS[cell.state] or cell.state is State.SELF


@pytest.mark.parametrize(("hosts", "vlans"), [(3, 4), (13, 6), (40, 2)])
def test_the_text_fits_a_screen_at_every_size(hosts: int, vlans: int) -> None:
    site = Site(hosts, vlans, tags={(0, 1, "g"): TRUNK}, switch_gaps={(1, 2)})
    lines = to_text(site.call(), full=True).splitlines()
    assert max(map(len, lines)) <= WIDTH
    for device in (*(f"h{n}" for n in range(hosts)), "sw"):
        assert any(device in line.split() for line in lines), device


def test_a_wide_table_is_cut_between_columns_and_loses_none() -> None:
    rows = [[f"r{row}", *(f"{row}.{column}" for column in range(30))] for row in range(3)]
    lines = fitted(rows, 40)
    assert max(map(len, lines)) <= 40
    assert {word for line in lines for word in line.split()} == {word for row in rows for word in row}
    assert sum(line.startswith("r1") for line in lines) == lines.count("") + 1


def test_a_column_wider_than_the_screen_stays_whole() -> None:
    assert fitted([["a", "x" * 50, "b"]], 40) == ["a  " + "x" * 50, "", "a  b"]


def test_listeners_of_a_device_that_hear_the_same_share_a_line() -> None:
    site = Site(3, 2, guests=False, switch_gaps={(1, 1)})
    assert matrix(site.call(), 0) == [
        "n1 (VLAN 1, MTU 9000), sent by p1 of each",
        "to \\ from        h0    h1    h2",
        "h0 p1 up         ok    DEAF  ok",
        "h1 p1 up         DEAF  ok    DEAF",
        "h2 p1 up         ok    DEAF  ok",
        "sw s0 s2         ok    DEAF  ok",
        "sw s1            DEAF  ok    DEAF",
        "others isolated  3     3     3",
    ]
