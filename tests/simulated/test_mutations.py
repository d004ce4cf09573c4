"""The promises have teeth: each small mistake planted in the planner breaks one of them.

A mutation replaces a piece of one function's source; its code object is swapped, so that every caller gets
it. A mutation whose text is no longer in the source fails too: it would test nothing.
"""

from __future__ import annotations

import inspect
import random
import textwrap
from collections import Counter
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import pytest

from grappe.graph import change, order, plan, schedule
from simulated.properties import PROPERTIES
from simulated.world import WIDTH, DeviceError, decode

_LIMIT = 700
"""Cases to try before a mutation is said to survive."""


@dataclass(frozen=True)
class Mutation:
    """One mistake: what it is called, the function it is in, and the text before and after."""

    name: str
    where: Any
    old: str
    new: str

    def code(self) -> Any:
        source = textwrap.dedent(inspect.getsource(self.where))
        assert source.count(self.old) >= 1, f"{self.name}: {self.old!r} is not in {self.where.__qualname__}"
        scope: dict[str, Any] = {}
        exec(compile(source.replace(self.old, self.new), self.name, "exec"), {**_globals(self.where)}, scope)
        made = scope[self.where.__name__]
        return made.__code__


def _globals(function: FunctionType) -> dict[str, Any]:
    return function.__globals__


_P = order._Planner
_C = change._Collector
_S = schedule._Stages

MUTATIONS = (
    Mutation("removals do not wait for those that leave", _P._edges_of_removals, "leaving.append((leaver, removal))", "pass"),
    Mutation("removals do not mind those that stay", _P._edges_of_removals, "users.setdefault(removal, []).append(key)", "pass"),
    Mutation("a contradiction does not keep what is needed", _P._edges_of_needs, "contradicted[maker].append(change.key)", "pass"),
    Mutation("hand-overs are not one group", _P._take, "self.groups.union(index, giver)", "pass"),
    Mutation("hand-overs have no direction", _P._take, "self.hand_overs.append((giver, index))", "pass"),
    Mutation("holders of claims are ignored", _P._hand_over_claims, "holders.get(claim)", "None"),
    Mutation("a claim is taken from those that keep it", _P._take, "or self._keeps(giver, token)", ""),
    Mutation("rivals for a claim are both served", _P._take, "elif taker != index", "elif False"),
    Mutation("users do not wait for makers", _P._edges_of_needs, "self.edges.append((maker, index))", "pass"),
    Mutation("missing needs are overlooked", _P._need_unchanged, "elif need not in self.seen", "elif False"),
    Mutation("refused resources serve as needs", _P._need_unchanged, "if need in self.refused", "if False"),
    Mutation("users go ahead of updates", _P._edges_of_needs, "self.wishes.append((maker, index))", "pass"),
    Mutation("wishes are never given up", _P._give_up_wishes, "not inside(e)", "True"),
    Mutation("given-up wishes pass no refusal on", _P._give_up_wishes, "self.given_up = [e for e in self.wishes if inside(e)]", "pass"),
    Mutation("refusals do not spread", _P.refuse_dependents, "if not self.broken", "if True"),
    Mutation("refusals do not spread in groups", _P.refuse_dependents, "*members[self.groups.find(index)], ", ""),
    Mutation("circles over scopes are merged", _P._wide, "> 1", "> 9"),
    Mutation("circles are not merged", _P.merge_circles, "self.groups.union(component[0], index)", "pass"),
    Mutation("refusals of diff are not passed on", plan._refused, "len(parts := r.where.split(\"/\", 2)) == 3", "len(parts := ()) == 3"),
    Mutation("heap order reversed", schedule._priority, "return (False, min(", "return (False, -min("),
    Mutation("removals in the order of makes", schedule._priority, "return (True, -max(", "return (True, max("),
    Mutation("wrong parity", schedule._with_parity, "!=", "=="),
    Mutation("no parity", schedule._with_parity, "floor + (floor % 2 != int(guarded))", "floor"),
    Mutation("scopes do not wait for each other", _S.follow, "+ gap", "+ 0"),
    Mutation("followers forget the stage they need", _S.follow, "max(self.stage[then], self.stage[first] + gap)", "gap"),
    Mutation("groups are not sorted by stage", schedule.schedule, "ordered.sort(key=places.stage.__getitem__)", "pass"),
    Mutation("removals are not put off", schedule._phases, "_Phase.REMOVE if n in removals", "_Phase.MAKE if n in removals"),
    Mutation("removals start beside a guarded stage", _S.put, "self._last % 2", "0"),
    Mutation("removals a make waits for are put off", schedule._phases, "removals -= _reachable(makes, predecessors)", "pass"),
    Mutation("the irreversible is like the rest", schedule.schedule, "any(map(final, g))", "False"),
    Mutation("what waits for the irreversible is not late", schedule._phases, "_reachable(finals, successors)", "finals"),
    Mutation("the irreversible shares its stage", _S.put, "is not final", "is None"),
    Mutation("inner order by name", schedule.sequence, "(musts.count[i] > 0, likes.count[i] > 0)", "0"),
    Mutation("steps of all batches are one", plan._batch, "\"+\".join(batches)", "\"\""),
    Mutation("every group is a step of its own in a guarded stage", plan._stage_steps, "joint = coupled is not None", "joint = coupled is None"),
    Mutation("all guarded scopes at once", plan._coupled_sets, "if one in number and other in number", "for one, other in zip(scopes, scopes[1:])"),
    Mutation("undo in forward order", plan._step, "in reversed(changes)", "in changes"),
    Mutation("undo does it again", plan._step, "c.reverse() for c", "c for c"),
    Mutation("undo leaves out removals", plan._step, "for c in reversed(changes))", "for c in reversed(changes) if c.after)"),
    Mutation("undeclared attributes are forgotten", change.merged, "**seen.running, ", ""),
    Mutation("undeclared persistent attributes are forgotten", change.merged, "**seen.persistent, ", ""),
    Mutation("what is seen wins over what is wanted", change.merged, "{**seen.running, **wanted.running}", "{**wanted.running, **seen.running}"),
    Mutation("drift of the next boot is overlooked", change.settled, "and not differences(wanted.persistent, seen.persistent)", ""),
    Mutation("foreign objects count as settled", change.settled, "seen.marked or wanted.role is not Role.OWNED", "True"),
    Mutation("adoption is not asked for", _C._differs, "and not self.adopted(wanted.key)", "and False"),
    Mutation("foreign objects are removed when declared absent", _C.absent, "elif not seen.marked and not self.adopted(key)", "elif False"),
    Mutation("data goes when declared absent", _C.absent, "elif self.kinds[key.kind].data", "elif False"),
    Mutation("hardware goes when declared absent", _C.absent, "seen.role is not Role.OWNED", "False"),
    Mutation("foreign objects are leftovers", _C.leftovers, "if not seen.marked", "if False"),
    Mutation("data is a leftover", _C.leftovers, "elif self.kinds[key.kind].data", "elif False"),
    Mutation("hardware is a leftover", _C.leftovers, "or seen.role is not Role.OWNED", ""),
    Mutation("other scopes are emptied", _C.leftovers, "or key.scope not in scopes", ""),
    Mutation("what could not be lowered is a leftover", _C.leftovers, "if refused and", "if False and"),
    Mutation("leftovers stay", _C.leftovers, "self.changes.append(Change(key, seen, None))", "pass"),
    Mutation("derived resources are planned", _C.wanted, "wanted.role is Role.DERIVED", "False"),
    Mutation("missing hardware is made", _C._missing, "wanted.role is Role.OWNED", "True"),
    Mutation("fixed attributes are changed", _C._differs, "if frozen", "if False"),
    Mutation("changes in any order", _P.__init__, "sorted(changes, key=lambda c: c.key)", "list(changes)[::-1]"),
)  # fmt: skip


def _cases() -> list[bytes]:
    dice = random.Random(20_26)
    return [dice.randbytes(WIDTH) for _ in range(_LIMIT)]


CASES = _cases()


def _broken_promise() -> str | None:
    for name, holds in PROPERTIES.items():
        for data in CASES:
            try:
                holds(data)
            except (AssertionError, DeviceError) as problem:
                return f"{name}: {problem}"
    return None


def test_the_sound_planner_keeps_its_promises_on_these_cases() -> None:
    for data in CASES[:60]:
        for holds in PROPERTIES.values():
            holds(data)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_promise_is_broken_when(mutation: Mutation) -> None:
    target = mutation.where
    sound = target.__code__
    target.__code__ = mutation.code()
    try:
        broken = _broken_promise()
    finally:
        target.__code__ = sound
    assert broken, f"no promise is broken when {mutation.name}"


def test_the_cases_are_rich() -> None:
    """The generator makes what the promises are about: else they would hold for nothing."""
    seen: Counter[str] = Counter()
    for data in CASES:
        case = decode(data)
        made = case.plan(case.world())
        seen["clean"] += not made.refusals
        seen["guarded"] += any(s.guarded for s in made.stages)
        seen["long"] += len(made.stages) >= 4
        seen["shared guard"] += any(s.guarded and len(s.scopes) > 1 for s in made.stages)
        seen["irreversible"] += any(t.irreversible for s in made.stages for t in s.steps)
        seen["joint"] += any(len(t.changes) > 2 for s in made.stages for t in s.steps)
        seen.update({r.code for r in made.refusals})
        seen.update({c.action.value for c in made.changes})
    wanted = {"clean": 200, "guarded": 200, "long": 200, "shared guard": 5, "irreversible": 50, "joint": 200}
    wanted |= dict.fromkeys(("create", "update", "adopt", "remove"), 100)
    wanted |= {"claim": 20, "need": 20, "in-use": 20, "depends": 20, "fixed": 5, "adopt": 20, "missing": 20}
    wanted |= {"cycle": 10, "data": 5, "part": 5}
    assert {k: n for k, n in seen.items() if n < wanted.get(k, 0)} == {}
    assert wanted.keys() <= seen.keys()
