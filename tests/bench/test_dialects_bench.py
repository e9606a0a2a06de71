"""The CPU time of every crossing is within a multiple of that of Chat<->Messages.

`python -m tests.bench.dialects --check` tests the goal of 3; here the maximum is three times
as high, because other tests run at the same time.
"""

from __future__ import annotations

import pytest

from tests.bench.dialects import (
    COLUMNS,
    MAX_RATIO,
    Report,
    crossings_over,
    measure_crossings,
    passthrough_times,
    table,
)
from tests.dialects.crossing.clients import CLIENTS

pytestmark = pytest.mark.bench
SLACK = 3


@pytest.fixture(scope="module")
def report() -> Report:
    return measure_crossings(rounds=3)


@pytest.mark.parametrize("unit", ["requests", "texts", "calls"])
def test_no_crossing_costs_a_multiple_of_the_others(report: Report, unit: str) -> None:
    times = getattr(report, unit)
    assert crossings_over(times, MAX_RATIO * SLACK) == {}, table(unit, times)


def test_passthrough_costs_the_same_in_every_dialect(report: Report) -> None:
    times = passthrough_times(report.texts)
    assert times.keys() == CLIENTS.keys()
    assert max(times.values()) < MAX_RATIO * SLACK * min(times.values()), times


def test_every_crossing_is_measured(report: Report) -> None:
    assert len(report.requests) == len(report.texts) == len(CLIENTS) * len(COLUMNS)
    assert report.calls
