"""Keys, differences and changes, one rule at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grappe.graph.change import Action, Change, diff, merged, settled
from grappe.graph.resource import Desired, Key, KindRules, Refusal, Resource, Role, differences

KINDS = {
    "port": KindRules(rank=1, batch="ovs", fixed=frozenset({"type"})),
    "vm": KindRules(rank=2, batch="vm", data=True),
}
PORT = Key("h1", "port", "p1")
WANTED = Resource(PORT, running={"tag": 5}, persistent={"tag": 5})
NAMES = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)


@given(NAMES, NAMES, NAMES, st.lists(NAMES, max_size=2))
def test_a_key_reads_back_from_what_it_prints(scope: str, kind: str, name: str, more: list[str]) -> None:
    key = Key(scope, kind, "/".join([name, *more]))
    assert Key.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "h1", "h1/port", "h1/port/", "/port/p1", "h1//p1"])
def test_what_is_no_key_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=f"^expected SCOPE/KIND/NAME, found '{text}'$"):
        Key.parse(text)


def test_keys_sort_by_scope_kind_and_name() -> None:
    keys = [Key("b", "a", "a"), Key("a", "b", "a"), Key("a", "a", "b"), Key("a", "a", "a")]
    assert sorted(keys) == keys[::-1]


def test_only_declared_attributes_differ() -> None:
    assert differences({"tag": 5}, {"tag": 6, "theirs": 1}) == {"tag": (6, 5)}
    assert differences({"tag": 5, "mtu": None}, {"tag": 5}) == {}
    assert differences({}, {"theirs": 1}) == {}


def test_merging_keeps_what_nobody_declared_in_both_facets_and_the_facts() -> None:
    seen = Resource(PORT, {"tag": 1, "a": 1}, {"b": 2}, facts={"xml": "<x/>", "uuid": "1"})
    both = merged(replace(WANTED, facts={"uuid": "2"}), seen)
    assert both.running == {"tag": 5, "a": 1}
    assert both.persistent == {"tag": 5, "b": 2}
    assert both.facts == {"xml": "<x/>", "uuid": "2"}


def test_drift_of_one_facet_or_a_missing_mark_is_not_settled() -> None:
    assert settled(WANTED, WANTED)
    assert not settled(WANTED, replace(WANTED, persistent={"tag": 6}))
    assert not settled(WANTED, replace(WANTED, running={"tag": 6}))
    assert not settled(WANTED, replace(WANTED, marked=False))
    assert settled(replace(WANTED, role=Role.MANAGED), replace(WANTED, marked=False, role=Role.MANAGED))


def test_a_change_says_what_it_does_and_its_reverse_undoes_it() -> None:
    foreign = replace(WANTED, marked=False)
    assert Change(PORT, None, WANTED).action is Action.CREATE
    assert Change(PORT, WANTED, None).action is Action.REMOVE
    assert Change(PORT, WANTED, replace(WANTED, running={})).action is Action.UPDATE
    assert Change(PORT, foreign, WANTED).action is Action.ADOPT
    change = Change(PORT, foreign, WANTED)
    assert change.takes_over
    assert change.reverse() == Change(PORT, WANTED, foreign)
    assert change.reverse().reverse() == change


def test_attributes_of_a_change_name_the_facet_and_both_values() -> None:
    change = Change(PORT, replace(WANTED, running={"tag": 1, "mtu": 9}), replace(WANTED, persistent={}))
    assert change.attributes() == (
        ("running", "mtu", 9, None),
        ("running", "tag", 1, 5),
        ("persistent", "tag", 5, None),
    )


def _refusals(*desired: Desired, seen: dict[Key, Resource]) -> list[str]:
    found = diff(desired, seen, KINDS)
    assert not found.changes
    return [f"{r.code}: {r}" for r in found.refusals]


def test_a_foreign_object_is_refused_with_the_words_to_adopt_it() -> None:
    text = _refusals(Desired((WANTED,)), seen={PORT: replace(WANTED, marked=False)})
    assert text == [
        "adopt: h1/port/p1: exists and was not made by Grappe\n"
        "    take it over with --adopt 'h1/port/p1'; undo gives it back"
    ]


def test_an_attribute_that_cannot_change_is_named_with_both_values() -> None:
    wanted = replace(WANTED, running={"type": "internal"})
    text = _refusals(Desired((wanted,)), seen={PORT: replace(WANTED, running={"type": "system"})})
    assert text == [
        "fixed: h1/port/p1: cannot be changed in place (type: 'system', wanted 'internal')\n"
        "    remove it by hand if it may go, or declare it as it is"
    ]


def test_data_is_not_removed_even_when_it_is_declared_absent() -> None:
    vm = Key("h1", "vm", "v1")
    (text,) = _refusals(Desired(absent=frozenset({vm})), seen={vm: Resource(vm)})
    assert text.startswith("data: h1/vm/v1: is declared absent but holds data, which no plan deletes")


def test_what_could_not_be_lowered_is_left_as_it_is() -> None:
    refused = Refusal("unsupported", str(PORT), "no such thing here")
    other = replace(WANTED, key=Key("h1", "port", "p2"))
    found = diff([Desired((other,), refusals=(refused,))], {PORT: WANTED, other.key: other}, KINDS)
    assert found.changes == ()
    assert found.refusals == (refused,)


def test_a_scope_nobody_speaks_of_keeps_everything_until_it_is_named() -> None:
    assert diff([], {PORT: WANTED}, KINDS).changes == ()
    assert diff([], {PORT: WANTED}, KINDS, scopes=["h1"]).changes == (Change(PORT, WANTED, None),)
