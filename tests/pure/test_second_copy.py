"""A VM that lives on another host is not made a second time, nor started there."""

from __future__ import annotations

from grappe.graph.change import Change, Difference
from grappe.graph.resource import Key, Resource
from grappe.platforms.planning import without_second_copies


def vm(host: str, state: str) -> Resource:
    return Resource(Key(host, "vm", "web1"), running={"state": state}, persistent={"memory": 1})


def refused(change: Change, *seen: Resource) -> bool:
    difference = without_second_copies(Difference((change,)), {r.key: r for r in seen})
    assert bool(difference.refusals) != bool(difference.changes)
    return bool(difference.refusals)


def test_a_vm_is_not_made_while_it_exists_elsewhere() -> None:
    make = Change(Key("h2", "vm", "web1"), None, vm("h2", "running"))
    assert refused(make, vm("h1", "running"))
    assert refused(make, vm("h1", "shut off"))
    assert not refused(make)


def test_a_vm_is_not_started_while_another_of_its_name_exists() -> None:
    start = Change(Key("h2", "vm", "web1"), vm("h2", "shut off"), vm("h2", "running"))
    assert refused(start, vm("h1", "running"), vm("h2", "shut off"))
    assert not refused(start, vm("h2", "shut off"))


def test_its_definition_may_still_change_where_it_is() -> None:
    before = vm("h2", "running")
    after = Resource(before.key, running=before.running, persistent={"memory": 2})
    assert not refused(Change(before.key, before, after), vm("h1", "shut off"), before)
