"""Hourly sums: they equal the log, count nothing twice, and outlive its rows."""

from __future__ import annotations

import datetime as dt
import random
import threading
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections

from gateway import store
from gateway.models import (
    EndUserDay,
    EndUserHour,
    LatencyHour,
    RequestLog,
    TargetHour,
    UsageDay,
    UsageHour,
)
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.store import usage
from gateway.usage_querysets import LAST_BUCKET, Totals, bucket_of, quantile
from tests.store.factories import STARTED, make_record

pytestmark = pytest.mark.django_db

# A whole hour before STARTED.
HOUR = STARTED - STARTED % 3600


def failed_attempt(provider: str = "openai", model: str = "gpt-5", **values: Any) -> Attempt:
    target = f"{provider}/{model}"
    return Attempt(target=target, provider=provider, model=model, dialect="openai_chat", **values)


def answered_record(id: str = "req_1", **values: Any) -> LogRecord:
    fields = {
        "provider": "openai",
        "model": "gpt-5",
        "key_id": 7,
        "key_prefix": "sk-dgm-mira",
        "input_tokens": 100,
        "output_tokens": 20,
        "cost_usd": Decimal("0.0000012345"),
        "first_token_ms": 400.0,
        "duration_ms": 2000.0,
        "attempts": [failed_attempt()],
    }
    return make_record(id, **(fields | values))


def totals() -> Totals:
    return UsageHour.objects.all().totals()


def state() -> list[Any]:
    """Return all rows of the roll-ups."""
    tables = (UsageHour, UsageDay, EndUserHour, EndUserDay, TargetHour, LatencyHour)
    return [sorted(t.objects.values_list(*t.KEYS, *t.SUMS)) for t in tables]


def test_a_batch_is_summed_by_hour_key_route_and_model() -> None:
    store.write([answered_record(f"req_{n}") for n in range(3)])
    row = UsageHour.objects.get()
    assert row.hour.timestamp() == HOUR
    assert (row.key_id, row.key_prefix, row.route) == (7, "sk-dgm-mira", "fast")
    assert (row.provider, row.model, row.requests) == ("openai", "gpt-5", 3)
    assert (row.input_tokens, row.output_tokens) == (300, 60)


def test_later_batches_add_to_the_same_row() -> None:
    store.write([answered_record("req_1")])
    store.write([answered_record("req_2", started_at=STARTED + 1)])
    assert UsageHour.objects.get().requests == 2


def test_each_hour_has_its_own_usage_row() -> None:
    store.write([answered_record("req_1"), answered_record("req_2", started_at=STARTED + 3600)])
    assert [row.requests for row in UsageHour.objects.order_by("hour")] == [1, 1]


def test_costs_are_added_exactly() -> None:
    store.write([answered_record(f"req_{n}", cost_usd=Decimal("0.1")) for n in range(10)])
    assert totals().cost == Decimal(1)


def test_a_replayed_batch_is_not_counted_again() -> None:
    batch = [answered_record(f"req_{n}") for n in range(5)]
    store.write(batch)
    before = state()
    store.write(batch)
    store.write(batch[2:4])
    assert state() == before


def test_the_new_rows_of_a_half_replayed_batch_are_counted() -> None:
    store.write([answered_record("req_1")])
    store.write(
        [
            answered_record("req_1"),
            answered_record("req_2"),
            answered_record("req_2"),
            answered_record("req_3"),
        ]
    )
    assert totals().requests == RequestLog.objects.count() == 3


def test_an_entry_twice_in_a_batch_counts_once() -> None:
    store.write([answered_record("same"), answered_record("same"), answered_record("other")])
    assert totals().requests == 2


def test_an_invalid_row_does_not_affect_the_sums_of_others() -> None:
    store.write(
        [
            answered_record("before"),
            answered_record("poison", error="\ud800"),
            answered_record("after"),
        ]
    )
    assert totals().requests == 3


def test_an_unstorable_row_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    store.write([answered_record("before"), answered_record("hopeless", adaptations=[object()])])
    assert totals().requests == RequestLog.objects.count() == 1


@pytest.mark.parametrize("tokens", [10**30, -5, 2**62], ids=["huge", "negative", "overflowing"])
def test_an_absurd_count_does_not_affect_the_sum(tokens: int) -> None:
    store.write(
        [answered_record("absurd", input_tokens=tokens), answered_record("good", input_tokens=3)]
    )
    store.write([answered_record("later", input_tokens=4)])
    assert (totals().requests, totals().input_tokens) == (3, 7)


def test_an_absurd_cost_counts_as_unknown() -> None:
    store.write([answered_record("absurd", cost_usd=Decimal("9e9")), answered_record("good")])
    assert (totals().priced_requests, totals().unpriced_requests) == (1, 1)
    assert totals().cost == Decimal("0.0000012345")


def test_an_unknown_price_is_unknown_and_not_zero() -> None:
    store.write([answered_record(cost_usd=None)])
    assert (totals().unpriced_requests, totals().cost) == (1, None)


def test_a_request_that_failed_before_any_token_has_no_price_to_know() -> None:
    store.write([make_record(outcome="error", provider="openai", model="gpt-5")])
    assert (totals().unpriced_requests, totals().cost, totals().errors) == (0, 0, 1)


def test_a_client_disconnect_is_not_an_error() -> None:
    store.write([answered_record(outcome="client_closed"), answered_record("req_2", outcome="cut")])
    assert (totals().client_closed, totals().errors) == (1, 1)


def test_a_try_that_failed_counts_against_its_own_target() -> None:
    failing_attempt = failed_attempt("anthropic", "claude", error_kind="overloaded", status=529)
    store.write([answered_record(attempts=[failing_attempt, failed_attempt(started_ms=300.0)])])
    assert TargetHour.objects.all().by_target() == {
        ("anthropic", "claude"): {"attempts": 1, "failures": 1, "successes": 0},
        ("openai", "gpt-5"): {"attempts": 1, "failures": 0, "successes": 1},
    }


def test_a_target_that_was_skipped_was_not_tried() -> None:
    store.write(
        [
            answered_record(
                attempts=[failed_attempt("anthropic", "claude", skipped="rests"), failed_attempt()]
            )
        ]
    )
    assert ("anthropic", "claude") not in TargetHour.objects.all().by_target()


def test_client_errors_are_not_target_errors() -> None:
    client_error = failed_attempt(error_kind="invalid_request", status=400)
    store.write([answered_record(outcome="error", attempts=[client_error])])
    assert TargetHour.objects.get().failures == 0


def test_the_first_token_is_timed_from_the_try_that_answered() -> None:
    failing_attempt = failed_attempt("anthropic", "claude", error_kind="timeout")
    store.write(
        [
            answered_record(
                first_token_ms=900.0, attempts=[failing_attempt, failed_attempt(started_ms=500.0)]
            )
        ]
    )
    histogram = LatencyHour.objects.of_measure("first_token").by_target()
    assert histogram == {("openai", "gpt-5"): {bucket_of(400.0): 1}}


def test_spend_by_key_is_exact_and_omits_requests_without_a_key() -> None:
    store.write(
        [
            answered_record("a", key_id=1, cost_usd=Decimal("0.25")),
            answered_record("b", key_id=1, cost_usd=Decimal("0.125")),
            answered_record("c", key_id=2, cost_usd=None),
            answered_record("d", key_id=None, key_prefix="playground", cost_usd=Decimal(5)),
        ]
    )
    spent = UsageHour.objects.in_range(None).spend_by_key()
    assert spent == {1: Decimal("0.375"), 2: Decimal(0)}
    later = dt.datetime.fromtimestamp(STARTED, dt.UTC) + dt.timedelta(hours=1)
    assert UsageHour.objects.in_range(later).spend_by_key() == {}


def test_sums_by_dimension_and_by_hour_agree() -> None:
    store.write(
        [
            answered_record("a"),
            answered_record("b", model="gpt-6"),
            answered_record("c", started_at=HOUR),
        ]
    )
    rows = UsageHour.objects.all()
    assert {name: t.requests for name, t in rows.totals_by("model").items()} == {
        ("openai", "gpt-5"): 2,
        ("openai", "gpt-6"): 1,
    }
    assert sum(t.requests for t in rows.by_hour().values()) == 3
    assert sum(t.requests for *_, t in rows.by_hour_and("key")) == 3


# Quantiles


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_quantile_is_near_the_true_one(share: float) -> None:
    draw = random.Random(7)
    times = sorted(150 + draw.expovariate(1 / 450) for _ in range(5000))
    counts: dict[int, int] = {}
    for ms in times:
        counts[bucket_of(ms)] = counts.get(bucket_of(ms), 0) + 1
    assert quantile(counts, share) == pytest.approx(times[int(len(times) * share)], rel=0.06)


@pytest.mark.parametrize("requests", [1, 2, 7])
@pytest.mark.parametrize("ms", [12, 400, 500])
def test_the_quantiles_of_equal_times_are_equal(ms: int, requests: int) -> None:
    counts = {bucket_of(ms): requests}
    assert quantile(counts, 0.5) == quantile(counts, 0.95) == pytest.approx(ms, rel=0.06)


def test_quantiles_of_few_requests_stay_within_their_times() -> None:
    counts = {bucket_of(100): 1, bucket_of(1600): 1}
    values = [quantile(counts, share) for share in (0.0, 0.05, 0.5, 0.95, 1.0)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(100, rel=0.06)
    assert values[-1] == pytest.approx(1600, rel=0.06)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None


@pytest.mark.parametrize("ms", [-5.0, 0.0, 0.2, 1.0, 1e9])
def test_every_time_has_a_bucket(ms: float) -> None:
    assert 0 <= bucket_of(ms) <= LAST_BUCKET


# Rebuilding


def random_records() -> list[LogRecord]:
    draw, usage_rows = random.Random(3), []
    for n in range(200):
        failing_attempt = (
            [failed_attempt("anthropic", "claude", error_kind="timeout")] if n % 7 == 0 else []
        )
        values: dict[str, Any] = {
            "started_at": HOUR + n * 97.5,
            "model": draw.choice(["gpt-5", "gpt-6"]),
            "key_id": draw.choice([None, 1, 2]),
            "cost_usd": draw.choice([None, Decimal("0.0012345678")]),
            "outcome": draw.choice(["ok", "ok", "error", "cut", "client_closed"]),
            "first_token_ms": draw.uniform(20, 3000),
            "attempts": [*failing_attempt, failed_attempt(started_ms=5.0)],
        }
        usage_rows.append(answered_record(f"req_{n}", **values))
    return usage_rows


def test_a_rebuild_equals_the_writers_sums_and_is_idempotent() -> None:
    store.write(random_records())
    written = state()
    UsageHour.objects.all().delete()
    TargetHour.objects.all().update(attempts=99)
    for _ in range(2):
        usage.rebuild()
        assert state() == written


def test_a_health_check_counts_for_its_target_but_not_as_request_or_latency() -> None:
    store.write([answered_record(), answered_record("check_1", key_id=0, key_prefix="check")])
    assert (totals().requests, totals().output_tokens) == (1, 40)
    assert TargetHour.objects.get().attempts == 2
    assert sum(LatencyHour.objects.of_measure("first_token").histogram().values()) == 1


def test_a_rebuild_misses_checks_too_where_they_were_pruned() -> None:
    store.write([answered_record("check_1", key_id=0, key_prefix="check"), answered_record()])
    written = state()
    RequestLog.objects.filter(key_prefix="check").delete()
    assert usage.rebuild()[1] == 1, "the hour is kept as it is"
    assert state() == written


def test_a_rebuild_keeps_the_hours_whose_rows_were_pruned() -> None:
    store.write(random_records())
    written = state()
    cut = dt.datetime.fromtimestamp(HOUR + 1.5 * 3600, dt.UTC)
    assert RequestLog.objects.prune(cut)
    usage.rebuild()
    assert state() == written


def test_the_command_prints_its_result() -> None:
    store.write([answered_record()])
    UsageHour.objects.all().delete()
    out = StringIO()
    call_command("rollup", stdout=out)
    assert out.getvalue().startswith("hours recomputed: ")
    assert totals().requests == 1


def test_a_rebuild_of_an_empty_log_writes_nothing() -> None:
    assert usage.rebuild() == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_and_a_rebuild_lose_no_rows() -> None:
    # An in-memory SQLite is one connection shared by all threads' caches: one writer there.
    count = 3 if connection.vendor == "postgresql" else 1
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(8):
                store.write([answered_record(f"req_{number}_{n}_{i}") for i in range(20)])
                if number == 0:
                    usage._rebuild_hour(dt.datetime.fromtimestamp(HOUR, dt.UTC))
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert totals().requests == count * 160
