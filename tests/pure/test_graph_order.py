"""Order and stages of small plans that a person can check, and what is said of those that cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from grappe.graph.change import Change
from grappe.graph.order import Ordering, order
from grappe.graph.resource import Key, KindRules, Resource, by_key

KINDS = {"nic": KindRules(rank=0, batch="ovs"), "vm": KindRules(rank=5, batch="vm")}
NIC = Key("h1", "nic", "eth0")
VM = Key("h1", "vm", "v1")


def _thing(
    key: Key, *, needs: Iterable[Key] = (), claims: Iterable[str] = (), path: bool = False
) -> Resource:
    return Resource(key, needs=frozenset(needs), claims=frozenset(claims), path=path)


def _order(*changes: Change, seen: Iterable[Resource] = ()) -> Ordering:
    before = [c.before for c in changes if c.before is not None]
    return order(changes, by_key([*before, *seen]), KINDS)


def _shape(ordering: Ordering) -> list[tuple[int, list[str]]]:
    return [(g.stage, [str(c.key) for c in g.changes]) for g in ordering.groups]


def test_a_maker_comes_before_its_user_whatever_their_ranks() -> None:
    made = _order(Change(NIC, None, _thing(NIC, needs=[VM])), Change(VM, None, _thing(VM)))
    assert _shape(made) == [(0, ["h1/vm/v1"]), (0, ["h1/nic/eth0"])]


def test_a_change_on_the_path_gets_a_guarded_stage_and_its_user_the_next_one() -> None:
    made = _order(Change(NIC, None, _thing(NIC, path=True)), Change(VM, None, _thing(VM, needs=[NIC])))
    assert _shape(made) == [(1, ["h1/nic/eth0"]), (2, ["h1/vm/v1"])]


def test_a_user_on_another_device_waits_for_the_next_stage() -> None:
    far = Key("h2", "vm", "v2")
    made = _order(Change(NIC, None, _thing(NIC)), Change(far, None, _thing(far, needs=[NIC])))
    assert _shape(made) == [(0, ["h1/nic/eth0"]), (2, ["h2/vm/v2"])]


def test_two_that_swap_their_claims_are_one_group() -> None:
    other = Key("h1", "nic", "eth1")
    swap = _order(
        Change(NIC, _thing(NIC, claims="a"), _thing(NIC, claims="b")),
        Change(other, _thing(other, claims="b"), _thing(other, claims="a")),
    )
    assert _shape(swap) == [(0, ["h1/nic/eth0", "h1/nic/eth1"])]


def test_who_gives_stands_before_who_takes() -> None:
    giver = Key("h1", "nic", "z")
    taken = _order(
        Change(NIC, None, _thing(NIC, claims="a")),
        Change(giver, _thing(giver, claims="a"), _thing(giver)),
    )
    assert _shape(taken) == [(0, ["h1/nic/z", "h1/nic/eth0"])]


def test_a_claim_of_a_stranger_is_refused_with_his_name() -> None:
    stranger = _thing(Key("h1", "nic", "theirs"), claims=["10.0.0.1"])
    refused = _order(Change(NIC, None, _thing(NIC, claims=["10.0.0.1"])), seen=[stranger])
    assert refused.groups == ()
    assert [str(r) for r in refused.refusals] == [
        "h1/nic/eth0: needs 10.0.0.1, which h1/nic/theirs holds\n"
        "    adopt h1/nic/theirs or take 10.0.0.1 away from it by hand"
    ]


def test_a_removal_in_use_names_its_first_user_and_counts_the_others() -> None:
    users = [_thing(Key("h1", "vm", f"v{i}"), needs=[NIC]) for i in range(3)]
    refused = _order(Change(NIC, _thing(NIC), None), seen=users)
    assert [str(r) for r in refused.refusals] == [
        "h1/nic/eth0: cannot go: h1/vm/v0 and 2 more still need it\n"
        "    remove h1/vm/v0 or move it elsewhere first"
    ]


def test_a_circle_over_devices_is_refused_and_says_who_is_in_it() -> None:
    far = Key("h2", "nic", "eth0")
    refused = _order(Change(NIC, None, _thing(NIC, needs=[far])), Change(far, None, _thing(far, needs=[NIC])))
    assert refused.groups == ()
    assert [r.code for r in refused.refusals] == ["cycle", "cycle"]
    assert "(h1/nic/eth0, h2/nic/eth0 …)" in str(refused.refusals[0])


def test_mutual_needs_over_devices_that_exist_are_no_circle() -> None:
    far = Key("h2", "nic", "eth0")
    made = _order(
        Change(NIC, _thing(NIC), _thing(NIC, needs=[far])), Change(far, _thing(far), _thing(far, needs=[NIC]))
    )
    assert not made.refusals
    assert len(made.groups) == 2


def test_what_needs_a_refused_resource_is_refused() -> None:
    changes = [Change(VM, None, _thing(VM, needs=[NIC]))]
    refused = order(changes, by_key([_thing(NIC)]), KINDS, refused={NIC})
    assert [r.code for r in refused.refusals] == ["depends"]


def test_what_cannot_be_undone_comes_last_and_alone() -> None:
    other = Key("h1", "vm", "v2")
    changes = [
        Change(VM, _thing(VM), _thing(VM)),
        Change(other, _thing(other), None),
        Change(NIC, None, _thing(NIC)),
    ]
    made = order(changes, by_key([_thing(VM), _thing(other)]), KINDS, final=lambda c: c.key == VM)
    assert [(g.changes[0].key, g.final) for g in made.groups] == [(NIC, False), (other, False), (VM, True)]
    assert made.groups[-1].stage > made.groups[-2].stage
