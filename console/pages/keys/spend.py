"""Spend of keys, teams and providers compared with their budgets, by the UTC calendar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.models import ApiKey, Provider, Team, UsageHour
from gateway.routing.limits import Budget, window_start
from gateway.usage_querysets import UsageRange

SPANS: tuple[tuple[str, Promise], ...] = (
    ("day", _("Today")),
    ("week", _("This week")),
    ("month", _("This month")),
    ("total", _("Total")),
)
# Share of the budget at which a bar warns, unless its owner sets another.
DEFAULT_WARNING_PERCENT = 80


class Gauge(NamedTuple):
    """Spend of one span; `share` is a percentage of the budget, None without one.

    At `warning_percent`, its bar warns.
    """

    span: str
    label: Promise
    spent: Decimal
    budget: Decimal | None
    warning_percent: int = DEFAULT_WARNING_PERCENT

    @property
    def remaining(self) -> Decimal | None:
        """The rest of the budget; never below zero."""
        return None if self.budget is None else max(self.budget - self.spent, Decimal(0))

    @property
    def share(self) -> int | None:
        """The percentage of the budget, at most 100."""
        if self.budget is None:
            return None
        if self.budget <= 0:
            return 100
        return min(100, int(self.spent * 100 / self.budget))

    @property
    def level(self) -> str:
        """The CSS class of its bar: how close the budget is to exhaustion."""
        share = self.share or 0
        return "bad" if share >= 100 else "warn" if share >= self.warning_percent else ""


def gauges(keys: Sequence[ApiKey], now: datetime) -> dict[int, list[Gauge]]:
    """Return the spend of each key by row id: today, this week, this month and in total."""
    key_ids = [key.pk for key in keys]
    return _gauges_by_key(
        keys,
        {
            span: _usage(span, now).of_keys(key_ids).spend_by_key()
            for span, _label in SPANS
            if _is_shown(span, keys)
        },
    )


def team_gauges(teams: Sequence[Team], now: datetime) -> dict[int, list[Gauge]]:
    """Return the spend of each team by row id."""
    members = ApiKey.objects.memberships()
    spend_by_span: dict[str, dict[int, Decimal]] = {}
    for span, _label in SPANS:
        by_key = _usage(span, now).spend_by_key()
        sums = spend_by_span[span] = {}
        for key_id, team_ids in members.items():
            for team_id in team_ids:
                sums[team_id] = sums.get(team_id, Decimal(0)) + by_key.get(key_id, Decimal(0))
    return _gauges_by_key(teams, spend_by_span)


def provider_gauges(rows: Sequence[Provider], now: datetime) -> dict[int, list[Gauge]]:
    """Return the spend of each provider by row id, from the charges of its responses."""
    names = [row.name for row in rows]
    spend_by_span = {}
    for span, _label in SPANS:
        if _is_shown(span, rows):
            spend = _usage(span, now).filter(provider__in=names).spend_by_provider()
            spend_by_span[span] = {row.pk: spend.get(row.name, Decimal(0)) for row in rows}
    return _gauges_by_key(rows, spend_by_span)


def global_gauges(budget: Budget, now: datetime) -> list[Gauge]:
    """Return the spend of all requests together."""
    return [
        Gauge(
            span,
            label,
            _usage(span, now).totals().charged or Decimal(0),
            getattr(budget, f"{span}_usd"),
            budget.soft_percent or DEFAULT_WARNING_PERCENT,
        )
        for span, label in SPANS
        if span != "week" or budget.week_usd is not None
    ]


def _is_shown(span: str, rows: Sequence[ApiKey | Team | Provider]) -> bool:
    """Whether any of these rows has a gauge of the span; the week only if it has a budget."""
    return span != "week" or any(row.budget_week_usd is not None for row in rows)


def _gauges_by_key(
    rows: Sequence[ApiKey | Team | Provider], spend_by_span: dict[str, dict[int, Decimal]]
) -> dict[int, list[Gauge]]:
    return {
        row.pk: [
            Gauge(
                span,
                label,
                spend_by_span[span].get(row.pk, Decimal(0)),
                _budget_usd(row, span),
                row.budget_soft_percent or DEFAULT_WARNING_PERCENT,
            )
            for span, label in SPANS
            if _is_shown(span, [row])
        ]
        for row in rows
    }


def tightest(gauges: Sequence[Gauge]) -> Gauge:
    """Return the gauge closest to its limit; this month's without any budget."""
    bound = [gauge for gauge in gauges if gauge.budget is not None]
    return max(bound, key=lambda gauge: gauge.share or 0) if bound else gauges[-2]


def _usage(span: str, now: datetime) -> UsageRange[UsageHour]:
    return UsageHour.objects.in_range(window_start(now.timestamp(), span))


def _budget_usd(row: ApiKey | Team | Provider, span: str) -> Decimal | None:
    amount: Decimal | None = getattr(row, f"budget_{span}_usd")
    return amount
