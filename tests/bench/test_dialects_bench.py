"""Translation costs the same order everywhere: no crossing is a multiple of Chat<->Messages.

`python -m tests.bench.dialects --check` holds it to the goal of 3; here other tests run
beside it, so the ceiling is three times that.
"""

from __future__ import annotations

import pytest

from tests.bench.dialects import (
    COLUMNS,
    MOST,
    Report,
    crossings_over,
    measure_crossings,
    passing,
    table,
)
from tests.dialects.crossing.clients import CLIENTS

pytestmark = pytest.mark.bench
SLACK = 3


@pytest.fixture(scope="module")
def report() -> Report:
    return measure_crossings(rounds=3)


@pytest.mark.parametrize("what", ["requests", "texts", "calls"])
def test_no_crossing_costs_a_multiple_of_the_others(report: Report, what: str) -> None:
    times = getattr(report, what)
    assert crossings_over(times, MOST * SLACK) == {}, table(what, times)


def test_passthrough_costs_the_same_in_every_dialect(report: Report) -> None:
    passed = passing(report.texts)
    assert passed.keys() == CLIENTS.keys()
    assert max(passed.values()) < MOST * SLACK * min(passed.values()), passed


def test_every_crossing_is_measured(report: Report) -> None:
    assert len(report.requests) == len(report.texts) == len(CLIENTS) * len(COLUMNS)
    assert report.calls
