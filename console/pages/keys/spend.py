"""What keys and teams have spent of their budgets, from the sums by hour, by UTC's calendar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.models import ApiKey, Team, UsageHour
from gateway.routing.limits import began

SPANS: tuple[tuple[str, Promise], ...] = (
    ("day", _("Today")),
    ("week", _("This week")),
    ("month", _("This month")),
    ("total", _("In all")),
)
# From this share on a bar warns.
NEARLY = 80


class Gauge(NamedTuple):
    """One span's spending; `share` is a percentage of the budget, None without one."""

    span: str
    label: Promise
    spent: Decimal
    budget: Decimal | None

    @property
    def left(self) -> Decimal | None:
        """What may still be spent; never below zero."""
        return None if self.budget is None else max(self.budget - self.spent, Decimal(0))

    @property
    def share(self) -> int | None:
        """Percent of the budget, at most 100."""
        if self.budget is None:
            return None
        if self.budget <= 0:
            return 100
        return min(100, int(self.spent * 100 / self.budget))

    @property
    def level(self) -> str:
        """The class of its bar: how near the end is."""
        share = self.share or 0
        return "bad" if share >= 100 else "warn" if share >= NEARLY else ""


def gauges(keys: Sequence[ApiKey], now: datetime) -> dict[int, list[Gauge]]:
    """The spending of each key by its row id: today, this week, this month and in all."""
    return _gauges(keys, {span: _spent(span, now) for span, _label in SPANS})


def team_gauges(teams: Sequence[Team], now: datetime) -> dict[int, list[Gauge]]:
    """The same of each team, by the row id of the team."""
    members = ApiKey.objects.memberships()
    spent: dict[str, dict[int, Decimal]] = {}
    for span, _label in SPANS:
        by_key = _spent(span, now)
        sums = spent[span] = {}
        for key_id, of in members.items():
            for team_id in of:
                sums[team_id] = sums.get(team_id, Decimal(0)) + by_key.get(key_id, Decimal(0))
    return _gauges(teams, spent)


def _gauges(
    rows: Sequence[ApiKey | Team], spent: dict[str, dict[int, Decimal]]
) -> dict[int, list[Gauge]]:
    return {
        row.pk: [
            Gauge(span, label, spent[span].get(row.pk, Decimal(0)), _budget(row, span))
            for span, label in SPANS
            # Few have a budget for it, and few think in it.
            if span != "week" or row.budget_week_usd is not None
        ]
        for row in rows
    }


def tightest(found: Sequence[Gauge]) -> Gauge:
    """The gauge that ends first; this month's where there is no budget at all."""
    bound = [gauge for gauge in found if gauge.budget is not None]
    return max(bound, key=lambda gauge: gauge.share or 0) if bound else found[-2]


def _spent(span: str, now: datetime) -> dict[int, Decimal]:
    return UsageHour.objects.spend_by_key(since=began(now.timestamp(), span))


def _budget(row: ApiKey | Team, span: str) -> Decimal | None:
    found: Decimal | None = getattr(row, f"budget_{span}_usd")
    return found
