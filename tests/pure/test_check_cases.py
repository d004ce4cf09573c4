"""Every code is found where it is, and not where it nearly is."""

from __future__ import annotations

import pytest

from grappe.check import CATALOGUE, check
from grappe.document import loads
from pure.check_cases.table import BASE, CASES, Case, site_with


def codes_of(case_changes: tuple) -> set[str]:
    return {finding.code for finding in check(site_with(case_changes))}


def label(case: Case) -> str:
    return case.code


def test_the_base_site_has_no_finding() -> None:
    assert check(loads(BASE, "base.yaml").site) == ()


@pytest.mark.parametrize("case", CASES, ids=label)
def test_the_change_is_found(case: Case) -> None:
    assert case.code in codes_of(case.bad)


@pytest.mark.parametrize("case", [c for c in CASES if c.good], ids=label)
def test_the_near_miss_is_not_found(case: Case) -> None:
    assert case.code not in codes_of(case.good)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_what_is_found_says_where_and_what(case: Case) -> None:
    for finding in check(site_with(case.bad)):
        assert finding.at
        assert finding.message
        assert not finding.message.endswith(".")
        assert finding.severity is CATALOGUE[finding.code].severity


def test_every_code_of_the_catalogue_is_made_by_a_case() -> None:
    assert {case.code for case in CASES} == set(CATALOGUE)


def test_every_code_that_is_made_is_in_the_catalogue() -> None:
    made = set().union(*(codes_of(case.bad) for case in CASES))
    assert made == set(CATALOGUE)
