"""The columns of limits and budgets, as abstract models."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

LIMITS = {
    "limit_rpm": "requests_per_minute",
    "limit_rph": "requests_per_hour",
    "limit_rpd": "requests_per_day",
    "limit_tpm": "tokens_per_minute",
    "limit_tph": "tokens_per_hour",
    "limit_tpd": "tokens_per_day",
    "limit_concurrency": "concurrency",
}
BUDGETS = {
    "budget_day_usd": "day_usd",
    "budget_week_usd": "week_usd",
    "budget_month_usd": "month_usd",
    "budget_total_usd": "total_usd",
    "budget_soft_percent": "soft_percent",
}


def usd_field() -> models.DecimalField[Decimal | None, Decimal | None]:
    """US dollars; null is no limit."""
    return models.DecimalField(
        max_digits=16,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
    )


def _limit_field() -> models.PositiveBigIntegerField[int | None, int | None]:
    """A maximum count; null is no limit."""
    return models.PositiveBigIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])


class WithLimits(models.Model):
    """Limits of requests and tokens per minute, hour and day, and of concurrency; null is none."""

    limit_rpm = _limit_field()
    limit_rph = _limit_field()
    limit_rpd = _limit_field()
    limit_tpm = _limit_field()
    limit_tph = _limit_field()
    limit_tpd = _limit_field()
    limit_concurrency = _limit_field()

    class Meta:
        abstract = True


class WithBudgets(models.Model):
    """Budgets in US dollars per day, week and month (UTC) and in total; null is none.

    A warning is raised at `budget_soft_percent` of any of them.
    """

    budget_total_usd = usd_field()
    budget_day_usd = usd_field()
    budget_week_usd = usd_field()
    budget_month_usd = usd_field()
    budget_soft_percent = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )

    class Meta:
        abstract = True
