"""A few short turns of the bench of limits: nothing fails, and nothing costs a multiple.

The ceiling is far above the goal, as other tests may run on the same cores; the figures are
printed (`-s`), and `python -m tests.bench.limits` is what the goal is measured with.
"""

from __future__ import annotations

import pytest

from tests.bench import limits, measure, programs

# Of what a request costs without limits, budgets and the look for a kept answer.
MOST = 5.0


@pytest.mark.bench
@pytest.mark.timeout(240)
@pytest.mark.skipif(
    bool(programs.missing_packages()),
    reason=f"apt-get install {' '.join(programs.missing_packages())}",
)
@pytest.mark.wide(every=0)
def test_limits_budgets_and_cache_cost_less_than_a_multiple_of_a_plain_request() -> None:
    with measure.running_stack() as stack:
        measured = limits.measure_costs(stack, rounds=3, count=150)
    lines = limits.table(measured)
    print("\n".join(lines))
    assert len(lines) == len(limits.DIALECT_PAIRS) * len(limits.VARIANTS)
    assert limits.worst(measured) < MOST
