from __future__ import annotations

from collections.abc import Iterator

import pytest

from component.libvirt_lab import Lab, lab, missing
from component.libvirt_site import SITE, Bench

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")


@pytest.fixture(scope="module")
def host() -> Iterator[Lab]:
    with lab() as running:
        yield running


@pytest.fixture
def bench(host: Lab) -> Iterator[Bench]:
    host.clear()
    yield Bench(host, SITE)
    host.clear()


def test_from_bare_everything_reads_back_as_itself_and_the_second_plan_is_empty(bench: Bench) -> None:
    bench.apply()
    assert bench.wanted_but_not_seen() == {}
    assert bench.plan().empty
