"""Bills compared with computed costs, and possible explanations of the difference."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateway import store
from gateway.accounting.bills import BilledLine, import_bill, read_csv, reconcile
from gateway.models import BillLine, Change, RequestLog
from gateway.relay.exchange.log_record import HEDGE_LOSER, Attempt, LogRecord
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db

DAY = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
TODAY = DAY.date()
NEXT = DAY + dt.timedelta(days=1)


def log_record(id: str, **values: Any) -> LogRecord:
    fields: dict[str, Any] = {
        "started_at": (DAY + dt.timedelta(hours=3)).timestamp(),
        "provider": "openai",
        "model": "gpt-5",
        "input_tokens": 10,
        "output_tokens": 5,
        "usage_source": "reported",
        "cost_usd": Decimal("0.5"),
    }
    return make_record(id, **(fields | values))


def import_test_bill(*lines: BilledLine, provider: str = "openai") -> int:
    return import_bill(provider, lines, origin="bill.csv", author="ada")


def test_a_file_is_read_by_the_names_of_its_columns() -> None:
    text = "\ufeffDate,Model,Amount\n2026-11-20,gpt-5,$1.10\n2026-11-20T00:00:00Z,gpt-5,0.4\n\n"
    assert read_csv(text) == [BilledLine(TODAY, TODAY, Decimal("1.50"), "gpt-5")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must name the columns"),
        ("day,tokens\n", "must name the columns"),
        ("day,cost\nsoon,1\n", "line 2: `soon` is not a date"),
        ("day,cost\n2026-11-20,much\n", "line 2: `much` is not an amount"),
        ("day,cost\n2026-11-20,NaN\n", "line 2: `NaN` is not an amount"),
        ("day,cost\n2026-11-20\n", "line 2: `` is not an amount"),
        ('day,cost\n2026-11-20,"' + "1" * 200_000, "is not CSV: field larger"),
    ],
)
def test_a_file_that_is_no_bill_is_refused_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_csv(text)


def test_each_day_and_model_is_beside_its_line_of_the_bill() -> None:
    store.write([log_record("r1"), log_record("r2", model="gpt-5-mini", cost_usd=Decimal("0.1"))])
    import_test_bill(
        BilledLine(TODAY, TODAY, Decimal("0.6"), "gpt-5-2026-08-01"),
        BilledLine(TODAY, TODAY, Decimal(2), "dall-e-3"),
    )
    reconciliation = reconcile("openai", DAY, NEXT)
    assert [(d.model, d.totals.cost, d.billed, d.difference) for d in reconciliation.days] == [
        ("dall-e-3", 0, 2, 2),
        ("gpt-5", Decimal("0.5"), Decimal("0.6"), Decimal("0.1")),
        ("gpt-5-mini", Decimal("0.1"), None, None),
    ]
    assert (reconciliation.totals.cost, reconciliation.billed, reconciliation.difference) == (
        Decimal("0.6"),
        Decimal("2.6"),
        Decimal("2.0"),
    )


def test_without_a_bill_the_cost_difference_is_absent() -> None:
    store.write([log_record("r1")])
    reconciliation = reconcile("openai", DAY, NEXT)
    assert (reconciliation.billed, reconciliation.difference) == (None, None)


def test_a_bill_total_of_several_days_counts_once() -> None:
    store.write([log_record("r1")])
    import_test_bill(BilledLine(TODAY, TODAY + dt.timedelta(days=1), Decimal(3)))
    reconciliation = reconcile("openai", DAY, DAY + dt.timedelta(days=2))
    assert (reconciliation.billed, len(reconciliation.spans), reconciliation.days[0].billed) == (
        3,
        1,
        None,
    )


def test_other_providers_and_days_are_omitted() -> None:
    store.write([log_record("r1", provider="other"), log_record("r2", started_at=NEXT.timestamp())])
    import_test_bill(BilledLine(TODAY, TODAY, Decimal(1)), provider="other")
    reconciliation = reconcile("openai", DAY, NEXT)
    assert (reconciliation.days, reconciliation.billed, reconciliation.uncertainties) == (
        [],
        None,
        [],
    )


def test_a_second_bill_replaces_the_first() -> None:
    import_test_bill(BilledLine(TODAY, TODAY, Decimal(1)))
    assert import_test_bill(BilledLine(TODAY, TODAY, Decimal(2))) == 1
    assert [row.usd for row in BillLine.objects.all()] == [2]
    assert Change.objects.filter(kind="billline").count() == 2


def test_possible_causes_of_a_difference_are_counted() -> None:
    interrupted = Attempt(
        target="openai/gpt-5",
        provider="openai",
        model="gpt-5",
        dialect="openai_chat",
        error_kind=HEDGE_LOSER,
        cost_usd=Decimal("0.25"),
    )
    broken = Attempt(
        target="openai/gpt-5",
        provider="openai",
        model="gpt-5",
        dialect="openai_chat",
        status=200,
        first_byte_ms=10.0,
        error_kind="upstream_error",
    )
    store.write(
        [
            log_record("unknown", cost_usd=None),
            log_record("estimated", usage_source="estimated"),
            log_record("cut", outcome="cut"),
            log_record("left", outcome="client_closed"),
            log_record("shadow", shadow_of="r1"),
            log_record("hedged", provider="other", attempts=[interrupted]),
            log_record("late", provider="other", attempts=[broken]),
        ]
    )
    doubts = {d.reason: (d.requests, d.usd) for d in reconcile("openai", DAY, NEXT).uncertainties}
    assert doubts == {
        "unknown": (1, None),
        "estimated": (1, Decimal("0.5")),
        "cut": (1, Decimal("0.5")),
        "closed": (1, Decimal("0.5")),
        "shadow": (1, Decimal("0.5")),
        "hedged": (1, Decimal("0.25")),
        "broken": (1, None),
    }


def failed_attempts(count: int) -> list[LogRecord]:
    """Log requests with one to three attempts each, most of which failed."""
    draw = random.Random(7)
    return [
        log_record(
            f"r{number}",
            started_at=DAY.timestamp() + draw.uniform(0, 2 * 86_400),
            provider=draw.choice(["openai", "other", ""]),
            attempts=[
                Attempt(
                    target="",
                    provider=draw.choice(["openai", "other"]),
                    model=draw.choice(["gpt-5", "gpt-6"]),
                    dialect="openai_chat",
                    status=draw.choice([None, 200, 503]),
                    first_byte_ms=draw.choice([None, 12.0]),
                    error_kind=draw.choice([None, HEDGE_LOSER, "upstream_error"]),
                    cost_usd=draw.choice([None, None, Decimal("0.0000012345"), Decimal(0)]),
                )
                for _ in range(draw.randint(1, 3))
            ],
        )
        for number in range(count)
    ]


def test_failed_attempts_are_counted_as_in_the_log_without_reading_it() -> None:
    store.write(failed_attempts(300))
    attempts = [
        attempt
        for row in RequestLog.objects.started_between(DAY, NEXT)
        for attempt in row.attempts
        if attempt["provider"] == "openai" and attempt.get("error_kind")
    ]
    costs = [Decimal(a["cost_usd"]) for a in attempts if a.get("cost_usd") is not None]
    broken = [
        a
        for a in attempts
        if a.get("cost_usd") is None and a.get("status") == 200 and "first_byte_ms" in a
    ]
    with CaptureQueriesContext(connection) as queries:
        reconciliation = reconcile("openai", DAY, NEXT).uncertainties
    counts = {
        d.reason: (d.requests, d.usd) for d in reconciliation if d.reason in {"hedged", "broken"}
    }
    assert counts == {"hedged": (len(costs), sum(costs)), "broken": (len(broken), None)}
    assert len(broken) > 5
    assert not [query["sql"] for query in queries if "attempts" in query["sql"]]


def test_a_bill_reads_no_table_from_its_beginning() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL plans by statistics, which an empty table has none of")
    with CaptureQueriesContext(connection) as queries:
        reconcile("openai", DAY, NEXT)
    plans = []
    with connection.cursor() as cursor:
        for query in queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plans += [step[3] for step in cursor.fetchall()]
    assert any(step.startswith("SEARCH gateway_targethour") for step in plans)
    assert [step for step in plans if step.startswith("SCAN")] == []


def test_days_without_a_bill_are_not_part_of_the_difference() -> None:
    store.write([log_record("r1"), log_record("r2", started_at=NEXT.timestamp())])
    import_test_bill(BilledLine(TODAY, TODAY, Decimal("0.6")))
    reconciliation = reconcile("openai", DAY, DAY + dt.timedelta(days=2))
    assert (reconciliation.totals.cost, reconciliation.covered.cost) == (
        Decimal("1.0"),
        Decimal("0.5"),
    )
    assert (reconciliation.difference, reconciliation.partially_covered) == (Decimal("0.1"), True)
    assert not reconcile("openai", DAY, NEXT).partially_covered
