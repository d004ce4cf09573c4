"""Plans between random Open vSwitch configurations, rendered by the platform, on a simulated switch."""

from __future__ import annotations

import copy
import os
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grappe.model.script import Script
from grappe.platforms.shared import ovs
from simulated.sim_debian import SimOvs
from simulated.sim_debian_worlds import plan, seen, steps, wanted

CASES = int(os.environ.get("GRAPPE_CASES", "1000")) // 4


def _run(switch: SimOvs, script: Script) -> None:
    answers = switch.run(script)
    assert all(a.ok for a in answers), f"{answers[-1].err}{script[len(answers) - 1].argv}"


@settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_each_configuration_is_reached_from_each_other_undone_exactly_and_reached_again(seed: int) -> None:
    dice, switch = random.Random(seed), SimOvs()
    for _ in range(3):
        desired = wanted(dice)
        made = plan(desired, seen(switch.call(ovs.QUESTION)))
        assert not made.refusals
        trail = []
        for step in steps(made):
            trail.append((step, copy.deepcopy(switch.tables)))
            _run(switch, step.forward)
        again = plan(desired, seen(switch.call(ovs.QUESTION)))
        assert again.empty, [c.attributes() for c in again.changes]
        for step, before in reversed(trail):
            for _twice in range(2):
                _run(switch, step.undo)
                assert switch.tables == before
        for step, _before in trail:
            for _twice in range(2):
                _run(switch, step.forward)
        assert plan(desired, seen(switch.call(ovs.QUESTION))).empty
