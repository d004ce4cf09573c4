"""Observed against planned: what stops a plan, and what is only noted."""

from __future__ import annotations

from dataclasses import replace

from grappe.apply.compare import changed_since, unforeseen, unmet
from grappe.graph.change import Change
from grappe.graph.resource import Key, Resource, Role

KEY = Key("h1", "ovs-port", "eth1")
OLD = Resource(KEY, running={"tag": 6, "mtu": 1500}, persistent={"file": "x"})
NEW = replace(OLD, running={"tag": 7, "mtu": 1500})
CHANGE = Change(KEY, OLD, NEW)


def now(change: Change, seen: Resource | None, last: Resource | None = None) -> list[str]:
    return [mismatch.now() for mismatch in changed_since(change, seen, last)]


def after(change: Change, seen: Resource | None) -> list[str]:
    return [str(mismatch) for mismatch in unmet(change, seen)]


def test_what_is_as_planned_is_no_mismatch() -> None:
    assert now(CHANGE, OLD) == after(CHANGE, NEW) == []
    assert now(Change(KEY, None, NEW), None) == after(Change(KEY, OLD, None), None) == []


def test_what_changed_since_the_plan_is_named_with_both_values() -> None:
    assert now(CHANGE, replace(OLD, running={"tag": 8, "mtu": 1500})) == [
        "h1/ovs-port/eth1 tag: was 6, now 8"
    ]
    assert now(CHANGE, replace(OLD, persistent={"file": "y"})) == ["h1/ovs-port/eth1 file: was x, now y"]
    assert now(CHANGE, replace(OLD, running={"tag": 6})) == ["h1/ovs-port/eth1 mtu: was 1500, now nothing"]
    assert now(CHANGE, None) == ["h1/ovs-port/eth1: was present, now absent"]
    assert now(Change(KEY, None, NEW), OLD) == ["h1/ovs-port/eth1: was absent, now present"]


def test_attributes_that_the_change_leaves_alone_are_compared_with_our_own_last_look() -> None:
    moved = replace(OLD, running={"tag": 6, "mtu": 9000})
    assert now(CHANGE, moved) == ["h1/ovs-port/eth1 mtu: was 1500, now 9000"]
    assert now(CHANGE, moved, last=moved) == []
    wrong = replace(moved, running={"tag": 9, "mtu": 9000})
    assert now(CHANGE, wrong, last=wrong) == ["h1/ovs-port/eth1 tag: was 6, now 9"]


def test_attributes_that_appeared_are_not_ours() -> None:
    more = replace(OLD, running={**OLD.running, "rx": 5})
    assert now(CHANGE, more) == []


def test_a_step_is_measured_by_what_it_meant_to_alter() -> None:
    assert after(CHANGE, OLD) == ["h1/ovs-port/eth1 tag: expected 7, found 6"]
    assert after(CHANGE, replace(NEW, running={"tag": 7, "mtu": 9000})) == []
    assert after(Change(KEY, None, NEW), None) == ["h1/ovs-port/eth1: expected present, found absent"]
    assert after(Change(KEY, OLD, None), OLD) == ["h1/ovs-port/eth1: expected absent, found present"]
    created = Change(KEY, None, NEW)
    assert after(created, replace(NEW, persistent={})) == ["h1/ovs-port/eth1 file: expected x, found nothing"]


def test_what_else_looks_different_is_noted() -> None:
    seen = replace(NEW, running={"tag": 7, "mtu": 9000})
    assert [str(m) for m in unforeseen(CHANGE, seen)] == ["h1/ovs-port/eth1 mtu: expected 1500, found 9000"]
    assert unforeseen(CHANGE, NEW) == unforeseen(Change(KEY, None, NEW), seen) == ()


def test_the_mark_of_what_is_ours_counts_for_owned_resources_only() -> None:
    adopt = Change(KEY, replace(OLD, marked=False), OLD)
    assert after(adopt, replace(OLD, marked=False)) == [
        "h1/ovs-port/eth1 mark: expected ours, found somebody else's"
    ]
    assert after(adopt, OLD) == []
    assert now(adopt, OLD) == ["h1/ovs-port/eth1 mark: was somebody else's, now ours"]
    managed = replace(OLD, role=Role.MANAGED, marked=False)
    assert after(Change(KEY, managed, replace(managed, marked=True)), managed) == []


def test_sets_are_shown_in_order() -> None:
    change = Change(KEY, OLD, replace(OLD, running={**OLD.running, "trunks": frozenset({10, 6})}))
    assert after(change, OLD) == ["h1/ovs-port/eth1 trunks: expected {6, 10}, found nothing"]
