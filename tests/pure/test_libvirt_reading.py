"""What real hosts answered, and what is read from it.

Each folder of `libvirt_cases/` has an `answer.txt`, recorded on a host with libvirt 9.0, and `resources.txt`.
GRAPPE_REGENERATE=1 writes the second anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grappe.graph.resource import Resource
from grappe.model.script import Answer
from grappe.model.site import Site
from grappe.platforms.kvm import libvirt_survey
from grappe.platforms.kvm.libvirt import LibvirtPart

CASES = sorted(path.parent for path in (Path(__file__).parent / "libvirt_cases").glob("*/answer.txt"))


def lines(case: Path) -> Iterator[str]:
    answer = Answer(0, (case / "answer.txt").read_text(encoding="utf-8"))
    resources, facts = LibvirtPart().understand(Site(name="lab"), "h1", [answer])
    yield from (f"{name}: {facts[name]}" for name in sorted(facts))
    for resource in sorted(resources, key=lambda r: r.key):
        yield from described(resource)


def described(resource: Resource) -> Iterator[str]:
    yield f"{str(resource.key)!r} {'ours' if resource.marked else 'foreign'}"
    for facet, values in (("running", resource.running), ("persistent", resource.persistent)):
        shown = {n: sorted(v) if isinstance(v, frozenset) else v for n, v in sorted(values.items())}
        yield f"  {facet} {shown}"
    if resource.needs:
        yield f"  needs {sorted(str(k) for k in resource.needs)}"
    yield from (f"  pending {value}" for name, value in resource.facts.items() if name == "pending" and value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_recorded_answer_is_read_exactly(case: Path) -> None:
    said = "\n".join(lines(case)) + "\n"
    expected = case / "resources.txt"
    if os.environ.get("GRAPPE_REGENERATE"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")


MADE = (Path(__file__).parent / "libvirt_cases" / "made" / "answer.txt").read_text(encoding="utf-8")


@given(st.integers(min_value=0, max_value=len(MADE) - 2))
def test_an_answer_cut_off_anywhere_is_unknown_and_never_half(length: int) -> None:
    whole = libvirt_survey.read(Answer(0, MADE))
    survey = libvirt_survey.read(Answer(1, MADE[:length]))
    assert survey.state != "up" or survey == whole
    assert survey.state == "up" or not (survey.networks or survey.pools or survey.domains or survey.files)
