"""Acknowledgements: what they match, and what they cannot do."""

from __future__ import annotations

import pytest

from grappe.check import blocking, check
from grappe.model.finding import Finding
from grappe.model.site import SpanningTree
from pure.check_cases.table import Change, accept, attachment, cable, site_with, switch

OFF = switch("sw1", spanning_tree=SpanningTree.NONE)
SAME_SUBNET = ("subnet: 10.10.1.0/24", "subnet: 192.168.10.0/24")


def found(code: str, *changes: Change) -> list[Finding]:
    return [finding for finding in check(site_with(changes)) if finding.code == code]


def codes(*changes: Change) -> list[str]:
    return [finding.code for finding in check(site_with(changes)) if finding.accepted is None]


def test_a_place_takes_in_what_lies_inside_it() -> None:
    (finding,) = found("no-spanning-tree", OFF, accept("no-spanning-tree", "switches", "sw1"))
    assert finding.at == ("switches", "sw1", "spanning_tree")
    assert finding.accepted == "known"


def test_a_place_does_not_take_in_its_neighbours() -> None:
    changes = (OFF, switch("sw2", spanning_tree=SpanningTree.NONE))
    accepted = found("no-spanning-tree", *changes, accept("no-spanning-tree", "switches", "sw1"))
    assert [(f.at[1], f.accepted) for f in accepted] == [("sw1", "known"), ("sw2", None)]


def test_a_name_that_begins_alike_is_another_place() -> None:
    assert codes(OFF, accept("no-spanning-tree", "switches", "sw")) == [
        "no-spanning-tree",
        "accept-without-finding",
    ]


def test_a_finding_about_two_places_can_be_accepted_at_either() -> None:
    for place in ("front", "office"):
        (finding,) = found(
            "same-subnet-two-paths", SAME_SUBNET, accept("same-subnet-two-paths", "networks", place)
        )
        assert finding.accepted == "known"


def test_the_pool_stands_for_its_hosts() -> None:
    lost = (cable("h1", "eth0", None), cable("h2", "eth2", None))
    accepted = found("nic-without-cable", *lost, accept("nic-without-cable", "pools", "p"))
    assert [f.accepted for f in accepted] == ["known", "known"]
    one = found("nic-without-cable", *lost, accept("nic-without-cable", "pools", "p", "cables", "eth0"))
    assert [f.accepted for f in one] == ["known", None]


@pytest.mark.parametrize(
    "place", ["hosts.h1", "hosts.h1.cables.eth0", "pools.p", "pools.p.hosts.h1", "pools.p.hosts.h1.cables"]
)
def test_a_place_of_a_host_may_be_written_in_the_file_in_every_form(place: str) -> None:
    line = f"site: base\naccept: [{{finding: nic-without-cable, at: {place}, reason: known}}]"
    (finding,) = found("nic-without-cable", ("site: base", line), cable("h1", "eth0", None))
    assert finding.accepted == "known"


def test_another_code_at_the_same_place_is_not_accepted() -> None:
    changes = (OFF, switch("sw1", spanning_tree=SpanningTree.NONE, mtu=1500))
    left = codes(*changes, accept("no-spanning-tree", "switches", "sw1"))
    assert left == ["path-mtu-too-small"]


def test_an_error_stays_open_and_blocks() -> None:
    changes = (attachment("h1", "rack", mtu=1500), accept("vlan-mtu-above-uplink", "hosts", "h1"))
    findings = check(site_with(changes))
    assert [f.accepted for f in blocking(findings)] == [None] * len(blocking(findings))
    assert {"vlan-mtu-above-uplink", "accept-error"} <= {f.code for f in findings}


def test_two_entries_for_one_finding_are_both_used() -> None:
    entry = accept("no-spanning-tree", "switches", "sw1")
    assert codes(OFF, entry, entry) == []


def test_an_unknown_code_is_answered_with_the_nearest() -> None:
    (finding,) = found("accept-unknown-code", accept("no-spaning-tree", "switches", "sw1"))
    assert finding.hint.startswith("did you mean no-spanning-tree")
    assert finding.at == ("accept", 0)
