"""The catalogue of codes, and what `explain` says."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from grappe.check.catalogue import CATALOGUE, UnknownCodeError, collect, explain, index, lookup, nearest
from grappe.check.code import Code
from grappe.model.finding import Severity


@pytest.mark.parametrize("code", CATALOGUE.values(), ids=lambda code: code.name)
def test_a_code_is_a_kebab_case_word_with_all_its_words(code: Code) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code.name)
    assert code.title[0].isupper()
    assert not code.title.endswith(".")
    for text in (code.what, code.why, code.mend):
        assert len(text.split()) >= 3
        assert text.strip().endswith((".", "…"))


@pytest.mark.parametrize("code", CATALOGUE.values(), ids=lambda code: code.name)
def test_an_explanation_fits_the_width_and_says_how_to_accept(code: Code) -> None:
    said = explain(code, width=80)
    assert said.startswith(f"{code.name} ({code.severity}): {code.title}\n")
    assert "Why it hurts" in said
    assert "How to mend it" in said
    assert ("accept:" in said.split("How to mend it")[1]) == (
        code.severity in {Severity.RISK, Severity.WARNING} or "accept:" in code.mend
    )
    body = said.split("\n\n", 1)[1].split("It can be accepted")[0]
    assert max(len(line) for line in body.splitlines()) <= 80


def test_a_code_is_found_however_it_is_written() -> None:
    assert lookup(" Same_Subnet-Two-Paths ") is CATALOGUE["same-subnet-two-paths"]


def test_an_unknown_code_names_the_nearest() -> None:
    with pytest.raises(UnknownCodeError, match="did you mean same-subnet-two-paths"):
        lookup("same-subnet-two-path")
    assert nearest("subnets")[0] == "overlapping-subnets"


def test_a_code_like_nothing_points_to_the_list() -> None:
    with pytest.raises(UnknownCodeError, match="`grappe explain` lists all codes"):
        lookup("zzz")


def test_the_index_has_a_line_for_every_code() -> None:
    assert [line.split()[0] for line in index().splitlines()] == list(CATALOGUE)


def test_a_code_cannot_be_registered_twice() -> None:
    def module(title: str) -> ModuleType:
        made = ModuleType(title)
        twice = Code(name="twice", severity=Severity.INFO, title=title, what="", why="", mend="")
        vars(made)["TWICE"] = twice
        return made

    with pytest.raises(ValueError, match="the code twice is registered twice"):
        collect((module("One"), module("Two")))
