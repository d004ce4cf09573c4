"""Whatever stands in the file, the only answers are a document or a DeclarationError."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grappe.document import DeclarationError, first_file, loads, source
from grappe.document.shape import SiteShape
from grappe.document.source import Node

EXAMPLES = [
    p.read_text(encoding="utf-8") for p in (Path(__file__).parents[2] / "examples").glob("*/site.yaml")
]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 5000),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(
        [".1", "10.0.0.0/24", "::1", "LAN", "front", "svc{vlan}", "1-5", "*", "h1/p1", "test-guest", "kvm"]
    ),
)
KEYS = st.one_of(
    st.sampled_from(
        [*SiteShape.model_fields, "LAN", "front", "h1", "none", "eth0", "platform", "hosts", "attach"]
    ),
    st.sampled_from(
        ["vlan", "subnet", "nics", "network", "disks", "boot", "memory", "address", "addresses", "tagged"]
    ),
    st.text(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


MOVES = st.lists(st.tuples(st.integers(0), st.integers(0)), max_size=6)
"""Which part goes where in its tree; both counted modulo the number of parts."""


def _answer(text: str) -> list[str]:
    """The problems; none for a document. Every problem is one line with a place in the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            loads(text, "f").site  # noqa: B018
        except DeclarationError as error:
            lines = [str(p) for p in error.problems]
            assert lines
            assert all("\n" not in line and line.startswith("f:") for line in lines)
            assert all(p.position.line >= 1 and p.position.column >= 1 for p in error.problems)
            return lines
    return []


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=200))
@example("a: &a [*a]")
@example("%YAML 3.0\n---\n")
@example("? ?\n")
@example("site: \ud800")
@example('site: "\\uD800"')
@example("!<")
@example("- &a\n- *a: *a\n")
@example("site: s\nnetworks: {a: {subnet: ۱۰.0.0.0/24}}\n")
@example("site: s\nnetworks: {a: {vlan: ²}}\n")
@example("site: s\nguard: {timeout: 1٣}\n")
def test_any_text_gets_an_answer(text: str) -> None:
    _answer(text)


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="abs:-[]{}&*!|>'\"#%@`,? \n\t0.<~", max_size=60))
def test_any_yaml_punctuation_gets_an_answer(text: str) -> None:
    _answer(text)


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_data_gets_an_answer(data: dict[str, Any]) -> None:
    _answer(json.dumps({"site": "s", **data}))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*EXAMPLES, first_file()]), st.data())
def test_any_damage_to_a_right_file_gets_an_answer(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = min(len(text), start + data.draw(st.integers(0, 40)))
    _answer(text[:start] + data.draw(st.text(max_size=10)) + text[end:])


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, child in items for p in _paths(child, (*path, key)))]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*EXAMPLES, first_file()]), VALUES, st.data())
def test_any_value_anywhere_gets_an_answer(text: str, value: Any, data: st.DataObject) -> None:
    tree = source.read(text)[0].data()
    path = data.draw(st.sampled_from(_paths(tree)[1:]))
    holder: Any = tree
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    _answer(json.dumps(tree))


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from([*EXAMPLES, first_file()]),
    st.lists(st.tuples(st.integers(0), st.integers(0)), max_size=6),
)
def test_any_mixture_of_right_parts_gets_an_answer(text: str, moves: list[tuple[int, int]]) -> None:
    tree = source.read(text)[0].data()
    for start, end in moves:
        paths = _paths(tree)[1:]
        if not paths:
            break
        value = json.loads(json.dumps(_at(tree, paths[start % len(paths)])))
        *way, last = paths[end % len(paths)]
        holder = _at(tree, way)
        if start % 5 == 0:
            del holder[last]
        elif isinstance(holder, dict) and start % 5 == 1:
            holder[str(paths[start % len(paths)][-1])] = value
        else:
            holder[last] = value
    _answer(json.dumps(tree))


def _at(tree: Any, path: Iterable[Any]) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _flat(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {(k, node.keys[k]): _flat(v) for k, v in node.value.items()}
    if isinstance(node.value, list):
        return [_flat(v) for v in node.value]
    return node.value and (node.value, node.position)


@pytest.mark.skipif(source._C_PARSER is None, reason="ruamel.yaml.clib is not installed")
@settings(max_examples=500, deadline=None)
@given(st.one_of(st.sampled_from(EXAMPLES), st.text(alphabet="ab:-[]{}&*!|'\"# \né~0", max_size=60)))
def test_both_parsers_read_the_same(text: str) -> None:
    fast = source._read_fast(text)
    careful = source._read_carefully(text)
    if fast is None:
        return
    assert [str(p) for p in fast.problems] == [str(p) for p in careful.problems]
    assert (fast.root and _flat(fast.root)) == (careful.root and _flat(careful.root))


@pytest.mark.skipif(source._C_PARSER is None, reason="ruamel.yaml.clib is not installed")
@pytest.mark.parametrize("text", [*EXAMPLES, first_file()])
def test_right_files_take_the_fast_parser(text: str) -> None:
    assert source._read_fast(text) is not None
