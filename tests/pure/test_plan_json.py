"""A plan as a file: what is written reads back as itself, and what cannot be carried out is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grappe.graph.change import Change
from grappe.graph.plan import Disruption, Level, Plan, Stage, Step
from grappe.graph.plan_json import PlanFileError, dump, load
from grappe.graph.resource import Key, Refusal, Resource, Role
from grappe.model.script import Command

NAMES = st.text(max_size=6) | st.sampled_from(["br0", "a/b", "é", "\udcff", "\n"])
SCALARS = st.none() | st.booleans() | st.integers() | NAMES
SETS = st.frozensets(NAMES, max_size=3) | st.frozensets(st.integers(), max_size=3)
VALUES = st.recursive(SCALARS | SETS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=3)
KEYS = st.builds(Key, NAMES, NAMES, NAMES)
RESOURCES = st.builds(
    Resource,
    key=KEYS,
    running=ATTRIBUTES,
    persistent=ATTRIBUTES,
    role=st.sampled_from(Role),
    needs=st.frozensets(KEYS, max_size=2),
    claims=st.frozensets(NAMES, max_size=2),
    marked=st.booleans(),
    path=st.booleans(),
    facts=ATTRIBUTES,
)
CHANGES = st.builds(Change, KEYS, st.none() | RESOURCES, st.none() | RESOURCES)
COMMANDS = st.builds(Command, st.lists(NAMES, min_size=1, max_size=3).map(tuple), NAMES, st.booleans())
SCRIPTS = st.lists(COMMANDS, max_size=2).map(tuple)
STEPS = st.builds(
    Step,
    scope=NAMES,
    changes=st.lists(CHANGES, max_size=2).map(tuple),
    forward=SCRIPTS,
    undo=SCRIPTS,
    disruption=st.builds(Disruption, st.sampled_from(Level), st.lists(NAMES, max_size=2).map(tuple)),
    irreversible=NAMES,
)
PLANS = st.builds(
    Plan,
    site=NAMES,
    digest=NAMES,
    stages=st.lists(st.builds(Stage, st.lists(STEPS, max_size=2).map(tuple), st.booleans()), max_size=2).map(
        tuple
    ),
    refusals=st.lists(st.builds(Refusal, NAMES, NAMES, NAMES, NAMES), max_size=2).map(tuple),
    frozen=st.dictionaries(NAMES, NAMES, max_size=2),
    foreign=st.lists(KEYS, max_size=2).map(tuple),
    undeclared=st.lists(KEYS, max_size=2).map(tuple),
)


@given(PLANS)
def test_a_plan_reads_back_as_itself(plan: Plan) -> None:
    text = dump(plan)
    again = load(text, digest=plan.digest)
    assert again == plan
    assert types(again) == types(plan)  # True == 1, so equality alone would not notice
    assert dump(again) == text


def types(plan: Plan) -> str:
    """Every attribute with its type, sets in a fixed order."""
    held = [r for c in plan.changes for r in (c.before, c.after) if r is not None]
    return repr([sorted((n, typed(v)) for n, v in r.running.items()) for r in held])


def typed(value: object) -> str:
    if isinstance(value, tuple | frozenset):
        return type(value).__name__ + repr(sorted(map(typed, value)))
    return repr(value)


def plan(digest: str = "d1") -> Plan:
    return Plan("home", digest, frozen={"h1": "no answer"})


def altered(**fields: object) -> str:
    return json.dumps(json.loads(dump(plan())) | fields)


def test_a_plan_of_another_version_is_refused() -> None:
    with pytest.raises(PlanFileError, match=r"expected a plan of version 1, found 2 \(written by"):
        load(altered(format="grappe/plan/2"))


def test_a_plan_that_was_edited_is_refused() -> None:
    with pytest.raises(PlanFileError, match="not as it was written"):
        load(altered(frozen={}))


def test_a_plan_of_another_declaration_is_refused() -> None:
    assert load(dump(plan()), digest="d1") == plan()
    with pytest.raises(
        PlanFileError, match=r"has changed since the plan was made \(its digest was d1, now d2\)"
    ):
        load(dump(plan()), digest="d2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a plan in JSON"),
        ("{", "expected a plan in JSON"),
        ("[]", "found a JSON list"),
        ('{"format": "x"}', "found format 'x'"),
        (altered(stages=None), "the plan is damaged: TypeError"),
        (altered(stages=[{}]), "the plan is damaged: KeyError"),
        (altered(foreign=[["h1"]]), "the plan is damaged: TypeError"),
        (altered(stages=[{"guarded": False, "steps": [{"scope": "h1", "changes": 3}]}]), "damaged"),
    ],
)
def test_what_is_no_whole_plan_is_refused(text: str, message: str) -> None:
    with pytest.raises(PlanFileError, match=message):
        load(text)


def test_an_unknown_kind_of_value_is_refused() -> None:
    change = Change(Key("h", "k", "n"), None, Resource(Key("h", "k", "n"), running={"a": frozenset({1})}))
    text = dump(Plan("home", "d", (Stage((Step("h", (change,), (), ()),)),)))
    with pytest.raises(PlanFileError, match="unknown kind of value 'bag'"):
        load(text.replace('"set"', '"bag"'))
    with pytest.raises(PlanFileError, match="a value cannot be a float"):
        load(text.replace('"a": {', '"b": 1.5, "a": {'))
