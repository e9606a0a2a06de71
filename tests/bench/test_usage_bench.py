"""The time of the Usage and Cost pages depends on the roll-up tables, not on the request log.

Each page is compared with a sum over the roll-up table and a page without figures, which are
measured in the same run, so that the speed of the machine does not matter. `BENCH_ROWS=100000` and `DATABASE_URL` choose size and database; run with
`pytest tests/bench/test_usage_bench.py -s` to see the times.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from gateway.models import UsageHour
from tests.bench.filled_log import fill_log

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
ATTEMPTS = 10


@pytest.mark.bench
@pytest.mark.timeout(1800)
@pytest.mark.django_db(transaction=True)
@pytest.mark.wide(every=0)
def test_usage_and_cost_pages_take_a_few_times_the_sum_of_the_roll_ups() -> None:
    fill_log(ROWS)
    client = Client()
    client.cookies["timezone"] = "America/New_York"
    client.force_login(User.objects.create_superuser("admin"))
    sum_ms = _best_ms(lambda: UsageHour.objects.between(None).totals())
    empty_ms = _best_ms(lambda: client.get(reverse("password")))
    print(f"{connection.vendor}: {ROWS} rows of the log, {UsageHour.objects.count()} of roll-ups")
    print(f"sum {sum_ms:.1f} ms, page without figures {empty_ms:.1f} ms")
    slow_pages = {}
    for name, (page, query) in PAGES.items():
        elapsed_ms = _best_ms(lambda page=page, query=query: client.get(reverse(page), query))
        ratio = elapsed_ms / (sum_ms + empty_ms)
        print(f"{name:24} {elapsed_ms:7.1f} ms, {ratio:4.1f} x")
        if ratio > MAX_RATIO:
            slow_pages[name] = ratio
    assert slow_pages == {}


def _best_ms(run: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ATTEMPTS):
        started = time.perf_counter()
        run()
        best = min(best, (time.perf_counter() - started) * 1000)
    return best
