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
    """One mistake: what it is called, where it is, the text before and after, and the promise it breaks."""

    name: str
    where: Any
    old: str
    new: str
    promise: str

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
    Mutation(
        "removals do not wait for those that leave",
        _P._edges_of_removals,
        "leaving.append((leaver, removal))",
        "pass",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "removals do not mind those that stay",
        _P._edges_of_removals,
        "users.setdefault(removal, []).append(key)",
        "pass",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "a contradiction does not keep what is needed",
        _P._edges_of_needs,
        "contradicted[maker].append(change.key)",
        "pass",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "hand-overs are not one group",
        _P._take,
        "self.groups.union(index, giver)",
        "pass",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "hand-overs have no direction",
        _P._take,
        "self.hand_overs.append((giver, index))",
        "pass",
        "orders_inside_steps",
    ),
    Mutation(
        "holders of claims are ignored",
        _P._hand_over_claims,
        "holders.get(claim)",
        "None",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "a claim is taken from those that keep it",
        _P._take,
        "or self._keeps(giver, token)",
        "",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "rivals for a claim are both served",
        _P._take,
        "elif taker != index",
        "elif False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "users do not wait for makers",
        _P._edges_of_needs,
        "self.edges.append((maker, index))",
        "pass",
        "arrives_after_an_interruption",
    ),
    Mutation(
        "missing needs are overlooked",
        _P._need_unchanged,
        "elif need not in self.seen",
        "elif False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "refused resources serve as needs",
        _P._need_unchanged,
        "if need in self.refused",
        "if False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "users go ahead of updates",
        _P._edges_of_needs,
        "self.wishes.append((maker, index))",
        "pass",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "wishes are never given up",
        _P._give_up_wishes,
        "not inside(e)",
        "True",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "given-up wishes pass no refusal on",
        _P._give_up_wishes,
        "self.given_up = [e for e in self.wishes if inside(e)]",
        "pass",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "refusals do not spread",
        _P.refuse_dependents,
        "if not self.broken",
        "if True",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "refusals do not spread in groups",
        _P.refuse_dependents,
        "*members[self.groups.find(index)], ",
        "",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "circles over scopes are merged",
        _P._wide,
        "> 1",
        "> 9",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "circles are not merged",
        _P.merge_circles,
        "self.groups.union(component[0], index)",
        "pass",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "refusals of diff are not passed on",
        plan._refused,
        'len(parts := r.where.split("/", 2)) == 3',
        "len(parts := ()) == 3",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "heap order reversed",
        schedule._priority,
        "return (False, min(",
        "return (False, -min(",
        "follows_ranks_where_nothing_else_decides",
    ),
    Mutation(
        "removals in the order of makes",
        schedule._priority,
        "return (True, -max(",
        "return (True, max(",
        "follows_ranks_where_nothing_else_decides",
    ),
    Mutation(
        "wrong parity",
        schedule._with_parity,
        "!=",
        "==",
        "guards_the_way_in",
    ),
    Mutation(
        "no parity",
        schedule._with_parity,
        "floor + (floor % 2 != int(guarded))",
        "floor",
        "guards_the_way_in",
    ),
    Mutation(
        "scopes do not wait for each other",
        _S.follow,
        "+ gap",
        "+ 0",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "followers forget the stage they need",
        _S.follow,
        "max(self.stage[then], self.stage[first] + gap)",
        "gap",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "groups are not sorted by stage",
        schedule.schedule,
        "ordered.sort(key=places.stage.__getitem__)",
        "pass",
        "uses_as_few_stages_as_steps_allow",
    ),
    Mutation(
        "removals are not put off",
        schedule._phases,
        "_Phase.REMOVE if n in removals",
        "_Phase.MAKE if n in removals",
        "removes_last",
    ),
    Mutation(
        "removals start beside a guarded stage",
        _S.put,
        "self._last % 2",
        "0",
        "removes_last",
    ),
    Mutation(
        "removals a make waits for are put off",
        schedule._phases,
        "removals -= _reachable(makes, predecessors)",
        "pass",
        "removes_last",
    ),
    Mutation(
        "the irreversible is like the rest",
        schedule.schedule,
        "any(map(final, g))",
        "False",
        "leaves_the_irreversible_for_the_end",
    ),
    Mutation(
        "what waits for the irreversible is not late",
        schedule._phases,
        "_reachable(finals, successors)",
        "finals",
        "leaves_the_irreversible_for_the_end",
    ),
    Mutation(
        "the irreversible shares its stage",
        _S.put,
        "is not final",
        "is None",
        "leaves_the_irreversible_for_the_end",
    ),
    Mutation(
        "inner order by name",
        schedule.sequence,
        "(musts.count[i] > 0, likes.count[i] > 0)",
        "0",
        "orders_inside_steps",
    ),
    Mutation(
        "steps of all batches are one",
        plan._batch,
        '"+".join(batches)',
        '""',
        "joins_only_what_the_device_makes_together",
    ),
    Mutation(
        "every group is a step of its own in a guarded stage",
        plan._stage_steps,
        "joint = coupled is not None",
        "joint = coupled is None",
        "joins_only_what_the_device_makes_together",
    ),
    Mutation(
        "all guarded scopes at once",
        plan._coupled_sets,
        "if one in number and other in number",
        "for one, other in zip(scopes, scopes[1:])",
        "guards_the_way_in",
    ),
    Mutation(
        "undo in forward order",
        plan._step,
        "in reversed(changes)",
        "in changes",
        "orders_inside_steps",
    ),
    Mutation(
        "undo does it again",
        plan._step,
        "c.reverse() for c",
        "c for c",
        "undoes_every_prefix",
    ),
    Mutation(
        "undo leaves out removals",
        plan._step,
        "for c in reversed(changes))",
        "for c in reversed(changes) if c.after)",
        "undoes_every_prefix",
    ),
    Mutation(
        "undeclared attributes are forgotten",
        change.merged,
        "**seen.running, ",
        "",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "undeclared persistent attributes are forgotten",
        change.merged,
        "**seen.persistent, ",
        "",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "what is seen wins over what is wanted",
        change.merged,
        "{**seen.running, **wanted.running}",
        "{**wanted.running, **seen.running}",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "drift of the next boot is overlooked",
        change.settled,
        "and not differences(wanted.persistent, seen.persistent)",
        "",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "foreign objects count as settled",
        change.settled,
        "seen.marked or wanted.role is not Role.OWNED",
        "True",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "adoption is not asked for",
        _C._differs,
        "and not self.adopted(wanted.key)",
        "and False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "foreign objects are removed when declared absent",
        _C.absent,
        "elif not seen.marked and not self.adopted(key)",
        "elif False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "data goes when declared absent",
        _C.absent,
        "elif self.kinds[key.kind].data",
        "elif False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "hardware goes when declared absent",
        _C.absent,
        "seen.role is not Role.OWNED",
        "False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "foreign objects are leftovers",
        _C.leftovers,
        "if not seen.marked",
        "if False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "data is a leftover",
        _C.leftovers,
        "elif self.kinds[key.kind].data",
        "elif False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "hardware is a leftover",
        _C.leftovers,
        "or seen.role is not Role.OWNED",
        "",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "other scopes are emptied",
        _C.leftovers,
        "or key.scope not in scopes",
        "",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "what could not be lowered is a leftover",
        _C.leftovers,
        "if refused and",
        "if False and",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "leftovers stay",
        _C.leftovers,
        "self.changes.append(Change(key, seen, None))",
        "pass",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "derived resources are planned",
        _C.wanted,
        "wanted.role is Role.DERIVED",
        "False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "missing hardware is made",
        _C._missing,
        "wanted.role is Role.OWNED",
        "True",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "fixed attributes are changed",
        _C._differs,
        "if frozen",
        "if False",
        "reaches_what_the_rules_allow",
    ),
    Mutation(
        "changes in any order",
        _P.__init__,
        "sorted(changes, key=lambda c: c.key)",
        "list(changes)[::-1]",
        "reaches_what_the_rules_allow",
    ),
)


def _cases() -> list[bytes]:
    dice = random.Random(20_26)
    return [dice.randbytes(WIDTH) for _ in range(_LIMIT)]


CASES = _cases()


def _breaks(promise: str) -> bool:
    for data in CASES:
        try:
            PROPERTIES[promise](data)
        except (AssertionError, DeviceError):
            return True
    return False


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
        broken = _breaks(mutation.promise)
    finally:
        target.__code__ = sound
    assert broken, f"{mutation.promise} still holds when {mutation.name}"


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
