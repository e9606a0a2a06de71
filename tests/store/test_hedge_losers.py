"""The usage of hedge losers counts once in every sum, and not as a request."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from gateway import store
from gateway.accounting.bills import reconcile
from gateway.accounting.spend import spend
from gateway.models import ApiKey, Team, UsageHour
from gateway.relay.exchange.log_record import HEDGE_LOSER, Attempt, LogRecord
from gateway.routing.limits import UNITS
from gateway.store.usage import rebuild
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db

DAY = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
NEXT = DAY + dt.timedelta(days=1)


def attempt(provider: str, **values: Any) -> Attempt:
    return Attempt(target=f"{provider}/m", provider=provider, model="m", dialect="d", **values)


def hedged_request(id: str = "r1", *, started: float | None = None, **values: Any) -> LogRecord:
    """Return a request that `quick` answered and `slow` lost."""
    in_vain = attempt(
        "slow",
        error_kind=HEDGE_LOSER,
        input_tokens=100,
        cache_read_tokens=20,
        output_tokens=0,
        usage_source="estimated",
        cost_usd=Decimal("0.04"),
        charged_usd=Decimal("0.08"),
    )
    fields: dict[str, Any] = {
        "started_at": (DAY + dt.timedelta(hours=1)).timestamp() if started is None else started,
        "provider": "quick",
        "model": "m",
        "input_tokens": 90,
        "output_tokens": 10,
        "cost_usd": Decimal("0.1"),
        "charged_usd": Decimal("0.2"),
        "attempts": [in_vain, attempt("quick")],
    }
    return make_record(id, **(fields | values))


def test_each_providers_sum_has_its_own_part() -> None:
    store.write([hedged_request()])
    store.write([hedged_request()])  # a replay of the journal
    sums = {
        name[0]: totals for name, totals in UsageHour.objects.all().totals_by("provider").items()
    }
    quick, slow_sums = sums["quick"], sums["slow"]
    assert (quick.requests, quick.cost, quick.charged) == (1, Decimal("0.1"), Decimal("0.2"))
    assert (slow_sums.requests, slow_sums.cost, slow_sums.charged) == (
        0,
        Decimal("0.04"),
        Decimal("0.08"),
    )
    assert (slow_sums.input_tokens, slow_sums.cache_read_tokens, slow_sums.tokens) == (100, 20, 120)
    total = UsageHour.objects.totals()
    assert (total.requests, total.cost_units, total.tokens) == (1, 14 * UNITS // 100, 220)


def test_rebuilt_rollups_include_hedge_losers() -> None:
    store.write([hedged_request(), hedged_request("r2", attempts=[])])
    before = list(UsageHour.objects.order_by("provider").values_list(*UsageHour.SUMS))
    rebuild()
    assert list(UsageHour.objects.order_by("provider").values_list(*UsageHour.SUMS)) == before


def test_a_hedge_loser_without_a_price_has_unknown_cost() -> None:
    in_vain = attempt("slow", error_kind=HEDGE_LOSER, input_tokens=5, output_tokens=0)
    store.write([hedged_request(attempts=[in_vain])])
    slow_sums = UsageHour.objects.all().totals_by("provider")["slow",]
    assert (slow_sums.unpriced_requests, slow_sums.cost) == (1, None)


def test_an_unsent_hedge_attempt_has_no_usage_row() -> None:
    store.write([hedged_request(attempts=[attempt("slow", error_kind=HEDGE_LOSER)])])
    assert {name[0] for name in UsageHour.objects.all().totals_by("provider")} == {"quick"}


@pytest.mark.parametrize("by", ["provider", "tag"])
def test_spend_includes_hedge_losers_from_rollups_and_log(by: str) -> None:
    store.write([hedged_request(tags=["ci"])])
    rows = spend(DAY, NEXT, ("provider", by) if by == "tag" else (by,))
    by_provider = {
        r["provider"]: (r["requests"], r["input_tokens"], r["charged_usd"]) for r in rows
    }
    assert by_provider == {"quick": (1, 90, Decimal("0.2")), "slow": (0, 100, Decimal("0.08"))}


def test_a_bill_of_the_loser_is_compared_with_it() -> None:
    store.write([hedged_request()])
    reconciliation = reconcile("slow", DAY, NEXT)
    assert reconciliation.totals.cost == Decimal("0.04")
    assert [(d.reason, d.requests, d.usd) for d in reconciliation.uncertainties] == [
        ("hedged", 1, Decimal("0.04"))
    ]


def test_budgets_of_key_and_team_count_both() -> None:
    team = Team.objects.create(name="t", budget_total_usd=5)
    key = ApiKey.objects.create(name="k", prefix="sk-k", digest=b"k", team=team, budget_total_usd=5)
    store.write([hedged_request(key_id=key.pk, key_prefix="sk-k")])
    moment = DAY + dt.timedelta(hours=2)
    reconciliation = {
        name: units for name, _, units in store.recorded_spend(store.load_snapshot(), moment)
    }
    total_units = int(Decimal("0.28") * UNITS)
    assert (
        reconciliation[f"key:{key.pk}/usd/total"],
        reconciliation[f"team:{team.pk}/usd/total"],
    ) == (total_units, total_units)
