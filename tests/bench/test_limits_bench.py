"""A short run of the limits benchmark has no failures and stays within a multiple of the goal.

The maximum is far above the goal because other tests may run on the same cores;
`python -m tests.bench.limits` measures the goal itself. `-s` shows the figures.
"""

from __future__ import annotations

import pytest

from tests.bench import limits, measure, programs

# Times the CPU time of a request without limits, budgets and response cache.
MAX_RATIO = 5.0


@pytest.mark.bench
@pytest.mark.timeout(240)
@pytest.mark.skipif(
    bool(programs.missing_packages()),
    reason=f"apt-get install {' '.join(programs.missing_packages())}",
)
@pytest.mark.wide(every=0)
def test_limits_budgets_and_cache_cost_less_than_a_multiple_of_a_plain_request() -> None:
    with measure.running_stack() as stack:
        costs = limits.measure_costs(stack, rounds=3, count=150)
    lines = limits.table(costs)
    print("\n".join(lines))
    assert len(lines) == len(limits.DIALECT_PAIRS) * len(limits.VARIANTS)
    assert limits.highest_ratio(costs) < MAX_RATIO
