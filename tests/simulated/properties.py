"""The planner's promises, one function each: they raise AssertionError when a case breaks one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, permutations

from grappe.graph.change import Action, Change
from grappe.graph.plan import Plan, Stage, Step
from grappe.model.script import Script
from simulated.oracle import Verdict, judge, reach, waits
from simulated.world import (
    KINDS,
    Case,
    DeviceError,
    SimPlatform,
    State,
    World,
    _execute,
    decode,
    execute,
    invalid,
    plan_of,
    shuffled,
    steps_in_order,
)


def reaches_what_the_rules_allow(data: bytes) -> None:
    """Carried out in full, a plan arrives at exactly what the rules allow, and nothing else has moved."""
    case = decode(data)
    world = case.world()
    verdict = judge(case, world.state)
    plan = case.plan(world)
    assert names(plan) == sorted(verdict.accepted), "changes"
    assert {r.where for r in plan.refusals} == verdict.refused, "refusals"
    assert set(map(str, plan.foreign)) == verdict.foreign
    assert set(map(str, plan.undeclared)) == verdict.undeclared
    execute(world, plan)
    assert world.state == verdict.final


def carries_out_twice_without_effect(data: bytes) -> None:
    """After a plan the next one has no steps, and refuses what was refused before."""
    case = decode(data)
    world = case.world()
    first = case.plan(world)
    execute(world, first)
    again = case.plan(world)
    assert not again.stages
    assert {r.where for r in again.refusals} == {r.where for r in first.refusals}
    for step in list(steps_in_order(first))[-1:]:
        _harmless(world, step.scope, step.forward)


def undoes_every_prefix(data: bytes) -> None:
    """Every prefix before the first irreversible step is undone exactly, and undoing twice does no harm."""
    case = decode(data)
    start = case.world()
    steps = list(steps_in_order(case.plan(start)))
    world, trail = start.copy(), [start.copy()]
    for step in steps:
        if step.irreversible:
            break
        world.run(step.scope, step.forward)
        trail.append(world.copy())
    for step, before in zip(reversed(steps[: len(trail) - 1]), reversed(trail[:-1]), strict=True):
        world.run(step.scope, step.undo)
        assert world.state == before.state
        _harmless(world, step.scope, step.undo)


def _harmless(world: World, scope: str, script: Script) -> None:
    before = world.copy()
    world.run(scope, script)
    assert world.state == before.state


def arrives_after_an_interruption(data: bytes) -> None:
    """Stopped after any step, or with a stage done on some scopes only, a new plan arrives all the same."""
    case = decode(data)
    plan = case.plan(case.world())
    goal = case.world()
    execute(goal, plan)
    for world in _interruptions(case, plan):
        execute(world, case.plan(world))
        assert world.state == goal.state


def _interruptions(case: Case, plan: Plan) -> list[World]:
    found: list[World] = []
    world = case.world()
    for stage in plan.stages:
        for scope in stage.scopes:
            alone = world.copy()
            for step in stage.of(scope):
                alone.run(scope, step.forward)
                found.append(alone.copy())
        for step in stage.steps:
            world.run(step.scope, step.forward)
        found.append(world.copy())
    return found


def runs_scopes_side_by_side(data: bytes) -> None:
    """Within a stage it does not matter how the scopes' steps interleave."""
    case = decode(data)
    plan = case.plan(case.world())
    for turn in (False, True):
        world = case.world()
        for stage in plan.stages:
            for scope in sorted(stage.scopes, reverse=turn):
                for step in stage.of(scope):
                    world.run(scope, step.forward)
        goal = case.world()
        execute(goal, plan)
        assert world.state == goal.state


def ignores_the_order_of_its_input(data: bytes) -> None:
    """The same declaration and observation in another order give the same plan."""
    case = decode(data)
    plan = case.plan(case.world())
    desired, look = shuffled(case, data[::-1] or b"\x01")
    assert plan_of(look(case.world()), desired, case) == plan


def guards_the_way_in(data: bytes) -> None:
    """Path changes are in guarded stages, nothing else is, and only coupled scopes share one."""
    case = decode(data)
    plan = case.plan(case.world())
    coupled = {frozenset(p) for p in case.coupled}
    for stage in plan.stages:
        assert stage.steps, "an empty stage"
        if not stage.guarded:
            assert not any(c.path for s in stage.steps for c in s.changes)
            continue
        final = any(s.irreversible for s in stage.steps)
        assert final or len({s.scope for s in stage.steps}) == len(stage.steps), "one step per scope"
        assert len(stage.scopes) == 1 or frozenset(stage.scopes) in coupled
        verdict = judge(case, case.world().state)
        for step in stage.steps:
            _every_change_is_tied_to_the_path(step, verdict)


def _every_change_is_tied_to_the_path(step: Step, verdict: Verdict) -> None:
    must, should = waits(verdict.accepted, verdict.changes)
    far = reach(verdict.accepted, must | should)
    on_path = {str(c.key) for c in step.changes if c.path}
    for change in step.changes:
        name = str(change.key)
        assert name in on_path or any(name in far[p] and p in far[name] for p in on_path)


def removes_last(data: bytes) -> None:
    """A removal that no other change waits for comes after everything that is made or altered."""
    case = decode(data)
    plan = case.plan(case.world())
    verdict = judge(case, case.world().state)
    must, should = waits(verdict.accepted, verdict.changes)
    far = reach(verdict.accepted, must | should)
    goes = {n for n in verdict.accepted if verdict.changes[n][1] is None}
    free = {n for n in goes if far[n] <= goes}
    stage_of = {str(c.key): i for i, s in enumerate(plan.stages) for t in s.steps for c in t.changes}
    final = {str(c.key) for s in steps_in_order(plan) if s.irreversible for c in s.changes}
    late = {m for n in final for m in far[n]} | final
    for name in free - late:
        for other in verdict.accepted - goes - late:
            assert stage_of[name] >= stage_of[other], f"{name} goes before {other} is done"


def keeps_data(data: bytes) -> None:
    """Nothing that holds data is removed; what is foreign is changed only when it was adopted."""
    case = decode(data)
    plan = case.plan(case.world())
    adopted = {str(k) for k in case.adopted}
    for change in plan.changes:
        assert not (change.action is Action.REMOVE and KINDS[change.key.kind].data)
        assert not change.takes_over or str(change.key) in adopted


def leaves_the_irreversible_for_the_end(data: bytes) -> None:
    """What cannot be undone stands alone, in stages of its own, after all that does not wait for it."""
    case = decode(data)
    plan = case.plan(case.world())
    verdict = judge(case, case.world().state)
    must, should = waits(verdict.accepted, verdict.changes)
    far = reach(verdict.accepted, must | should)
    platform = SimPlatform()
    waiting: set[str] = set()
    for stage in plan.stages:
        for step in stage.steps:
            final = [c for c in step.changes if platform.irreversible(c)]
            assert bool(step.irreversible) == bool(final)
            if final:
                assert all(s.irreversible for s in stage.steps)
                waiting |= _class_and_after(final[0], far)
                assert {str(c.key) for c in step.changes} <= waiting
            for change in step.changes:
                assert not waiting or str(change.key) in waiting


def _class_and_after(change: Change, far: dict[str, set[str]]) -> set[str]:
    return {str(change.key), *far[str(change.key)]}


def orders_inside_steps(data: bytes) -> None:
    """A step whose changes can be made one by one has them in such an order, forwards and for undo."""
    case = decode(data)
    world = case.world()
    for step in steps_in_order(case.plan(world)):
        before = world.copy()
        world.run(step.scope, step.forward)
        _one_by_one(before, step.scope, step.forward)
        if not step.irreversible:
            _one_by_one(world, step.scope, step.undo)


def _one_by_one(world: World, scope: str, script: Script) -> None:
    if len(script) > 5 or _sequential(world.state, scope, script):
        return
    possible = any(_sequential(world.state, scope, p) for p in permutations(script))
    assert not possible, f"{[c.argv for c in script]} can be made one by one in another order"


def _sequential(state: State, scope: str, script: Script) -> bool:
    trial = {k: t.copy() for k, t in state.items()}
    for command in script:
        try:
            _execute(trial, scope, command)
        except DeviceError:
            return False
        if invalid(trial):
            return False
    return True


def starts_from_what_it_saw(data: bytes) -> None:
    """Each change begins where the last one on its key ended; `touched` names the first state."""
    case = decode(data)
    world = case.world()
    plan = case.plan(world)
    seen = world.observe()
    for scope in {c.key.scope for c in plan.changes}:
        for key, expected in plan.touched(scope).items():
            assert seen.get(key) == expected


def follows_ranks_where_nothing_else_decides(data: bytes) -> None:
    """Of two neighbours in a scope's part of a stage the lower rank is made first, unless it has to wait."""
    case = decode(data)
    plan = case.plan(case.world())
    verdict = judge(case, case.world().state)
    must, should = waits(verdict.accepted, verdict.changes)
    far = reach(verdict.accepted, must | should)
    for stage in plan.stages:
        for scope in stage.scopes:
            changes = [c for s in stage.of(scope) for c in s.changes]
            here = {str(c.key) for c in changes}
            for one, other in pairwise(changes):
                a, b = str(one.key), str(other.key)
                if a in far[a] or b in far[b] or b in far[a] or _waits_elsewhere(b, here, must | should):
                    continue
                if one.after is not None and other.after is not None:
                    assert KINDS[one.key.kind].rank <= KINDS[other.key.kind].rank, f"{a} before {b}"
                if one.after is None and other.after is None:
                    assert KINDS[one.key.kind].rank >= KINDS[other.key.kind].rank, f"{a} before {b}"


def _waits_elsewhere(name: str, here: set[str], pairs: set[tuple[str, str]]) -> bool:
    return any(then == name and first not in here for first, then in pairs)


def joins_only_what_the_device_makes_together(data: bytes) -> None:
    """Outside guarded stages a step holds changes of one batch, makes or removals, or what must be one."""
    case = decode(data)
    plan = case.plan(case.world())
    verdict = judge(case, case.world().state)
    must, should = waits(verdict.accepted, verdict.changes)
    far = reach(verdict.accepted, must | should)
    for stage in plan.stages:
        for step in () if stage.guarded else stage.steps:
            free = [c for c in step.changes if str(c.key) not in far[str(c.key)]]
            assert len({(KINDS[c.key.kind].batch, c.after is None) for c in free}) <= 1


def uses_as_few_stages_as_steps_allow(data: bytes) -> None:
    """Two unguarded stages in a row are there for a reason: something in the later waits for the earlier."""
    case = decode(data)
    plan = case.plan(case.world())
    verdict = judge(case, case.world().state)
    must, should = waits(verdict.accepted, verdict.changes)
    for stage, follower in pairwise(plan.stages):
        if stage.guarded or follower.guarded or any(s.irreversible for s in follower.steps):
            continue
        if any(s.irreversible for s in stage.steps):
            continue
        assert {s.scope for s in stage.steps} and _linked(stage, follower, must | should)


def _linked(stage: Stage, follower: Stage, pairs: set[tuple[str, str]]) -> bool:
    earlier = {str(c.key) for s in stage.steps for c in s.changes}
    later = {str(c.key) for s in follower.steps for c in s.changes}
    return any(a in earlier and b in later for a, b in pairs)


def names(plan: Plan) -> list[str]:
    """Names of everything a plan changes, sorted."""
    return sorted(str(c.key) for c in plan.changes)


PROPERTIES: dict[str, Callable[[bytes], None]] = {
    f.__name__: f
    for f in (
        reaches_what_the_rules_allow,
        carries_out_twice_without_effect,
        undoes_every_prefix,
        arrives_after_an_interruption,
        runs_scopes_side_by_side,
        ignores_the_order_of_its_input,
        guards_the_way_in,
        removes_last,
        keeps_data,
        leaves_the_irreversible_for_the_end,
        orders_inside_steps,
        starts_from_what_it_saw,
        follows_ranks_where_nothing_else_decides,
        joins_only_what_the_device_makes_together,
        uses_as_few_stages_as_steps_allow,
    )
}
