"""What keys have spent of their budgets, from the sums by hour. Days and months are UTC's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.models import ApiKey, UsageHour

SPANS: tuple[tuple[str, Promise], ...] = (
    ("day", _("Today")),
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
    """The spending of each key by its row id: today, this month and in all."""
    spent = {span: _spent(span, now) for span, _label in SPANS}
    return {
        key.pk: [
            Gauge(span, label, spent[span].get(key.pk, Decimal(0)), _budget(key, span))
            for span, label in SPANS
        ]
        for key in keys
    }


def tightest(found: Sequence[Gauge]) -> Gauge:
    """The gauge that ends first; this month's where there is no budget at all."""
    bound = [gauge for gauge in found if gauge.budget is not None]
    return max(bound, key=lambda gauge: gauge.share or 0) if bound else found[1]


def _spent(span: str, now: datetime) -> dict[int, Decimal]:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = {"day": midnight, "month": midnight.replace(day=1)}.get(span)
    return UsageHour.objects.spend_by_key(since=since)


def _budget(key: ApiKey, span: str) -> Decimal | None:
    found: Decimal | None = getattr(key, f"budget_{span}_usd")
    return found
