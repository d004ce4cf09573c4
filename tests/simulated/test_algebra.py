"""The planner keeps its promises over random worlds. GRAPPE_CASES sets the number of cases per promise."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulated.properties import PROPERTIES
from simulated.world import WIDTH

CASES = int(os.environ.get("GRAPPE_CASES", "1000"))
COSTLY = {"arrives_after_an_interruption": 4}
"""Promises that make a plan per prefix get a part of the cases."""
WORLDS = st.binary(min_size=WIDTH, max_size=WIDTH)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PROPERTIES)
def test_the_planner(name: str) -> None:
    @settings(
        max_examples=CASES // COSTLY.get(name, 1),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(WORLDS)
    def holds(data: bytes) -> None:
        PROPERTIES[name](data)

    holds()
