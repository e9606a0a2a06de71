"""The time of the Usage and Cost pages depends on the roll-up tables, not on the request log.

Each page is compared with a sum over the roll-up table and a page without figures, which run
just before it, and the median of these ratios counts: the speed of a machine changes from one
second to the next, so that the shortest times of each would compare two speeds of the machine.
`BENCH_ROWS=100000` and `DATABASE_URL` choose size and database; run with
`pytest tests/bench/test_usage_bench.py -s` to see the times.
"""

from __future__ import annotations

import os

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from gateway.models import UsageHour
from tests.bench.filled_log import fill_log
from tests.bench.machine_speed import elapsed_ms

ROWS = int(os.environ.get("BENCH_ROWS", "20000"))
PAGES = {
    "usage 24h": ("usage", {"span": "24h"}),
    "usage 30d by model": ("usage", {"span": "30d"}),
    "usage 30d by team": ("usage", {"span": "30d", "by": "team"}),
    "usage 12m by key": ("usage", {"span": "12m", "by": "key"}),
    "cost": ("cost", {}),
    "cost of one provider": ("cost", {"provider": "openai"}),
}
# With 100,000 rows of the log the two references take 45 to 60 ms together, so this is 300 ms at
# most. Reading the log instead of roll-ups takes more than that.
MAX_RATIO = 5.0
ATTEMPTS = 11


@pytest.mark.bench
@pytest.mark.timeout(1800)
@pytest.mark.django_db(transaction=True)
@pytest.mark.wide(every=0)
def test_usage_and_cost_pages_take_a_few_times_the_sum_of_the_roll_ups() -> None:
    fill_log(ROWS)
    client = Client()
    client.cookies["timezone"] = "America/New_York"
    client.force_login(User.objects.create_superuser("admin"))
    print(f"{connection.vendor}: {ROWS} rows of the log, {UsageHour.objects.count()} of roll-ups")
    ratios = {}
    for name, (page, query) in PAGES.items():
        rounds = [
            (
                elapsed_ms(lambda: UsageHour.objects.between(None).totals()),
                elapsed_ms(lambda: client.get(reverse("password"))),
                elapsed_ms(lambda page=page, query=query: client.get(reverse(page), query)),
            )
            for _ in range(ATTEMPTS)
        ]
        # An odd number of rounds: the median is one of them.
        sum_ms, empty_ms, page_ms = sorted(rounds, key=_ratio)[ATTEMPTS // 2]
        ratios[name] = _ratio((sum_ms, empty_ms, page_ms))
        print(
            f"{name:24} {page_ms:7.1f} ms, {ratios[name]:4.1f} x "
            f"(sum {sum_ms:.1f} ms, page without figures {empty_ms:.1f} ms)"
        )
    assert {name: ratio for name, ratio in ratios.items() if ratio > MAX_RATIO} == {}


def _ratio(times_ms: tuple[float, float, float]) -> float:
    sum_ms, empty_ms, page_ms = times_ms
    return page_ms / (sum_ms + empty_ms)
