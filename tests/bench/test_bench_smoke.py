"""A short run of the benchmark has no failures and stays within a multiple of the goals.

The maxima are far above the goals because other tests may run on the same cores;
`python -m tests.bench.run --check` measures the goals themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench import measure, programs
from tests.bench.run import Options, Report, goal_results, measure_shapes, table
from tests.bench.scenarios import SHAPES, goals

SLACK = {"x nginx": 4, "ms": 100, "s": 50, "kB": 3, "MB": 2}

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(
        bool(programs.missing_packages()),
        reason=f"apt-get install {' '.join(programs.missing_packages())}",
    ),
]


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    shapes = ("unary-1", "unary-16", "stream-first", "stream-10ms")
    with measure.running_stack() as stack:
        yield measure_shapes(stack, Options(shapes=shapes, rounds=1, duration_s=0.5, disconnects=1))


def test_no_request_of_the_benchmark_fails(report: Report) -> None:
    assert not report.failures


def test_every_benchmark_goal_is_nearly_met(report: Report) -> None:
    maxima = {(goal.shape, goal.metric): goal.maximum * SLACK[goal.unit] for goal in goals()}
    exceeded = {
        (shape, metric): report.median(shape, pair, metric)
        for (shape, metric), maximum in maxima.items()
        for pair in report.values.get(shape, {})
        if (report.median(shape, pair, metric) or 0) > maximum
    }
    assert not exceeded


@pytest.mark.wide(every=0)
def test_the_table_has_a_line_for_each_measured_dialect_pair(report: Report) -> None:
    text = "\n".join(table(report))
    assert text.count("\n| unary-16 ") == text.count("\n| stream-10ms ") == 4
    assert "streams-1000" not in text
    assert len(list(goal_results(report))) >= 10


def test_every_goal_refers_to_a_measured_value() -> None:
    without_load = {"start", "disconnect-stream", "disconnect-unary"}
    assert {goal.shape for goal in goals()} <= set(SHAPES) | without_load
