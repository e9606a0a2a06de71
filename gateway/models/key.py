"""Client credentials."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from gateway.models.registry import RegistryRow
from gateway.querysets import ApiKeyQuerySet


def _usd() -> models.DecimalField[Decimal | None, Decimal | None]:
    """US dollars; null is no limit."""
    return models.DecimalField(
        max_digits=16,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
    )


def _limit() -> models.PositiveBigIntegerField[int | None, int | None]:
    """A count that must not be passed; null is no limit."""
    return models.PositiveBigIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])


class ApiKey(RegistryRow):
    """A client's key, of which only the public part and a keyed hash are kept.

    `routes` are names of routes it may use (`*` and `?` allowed); empty means all.
    `previous_*` is the secret before the last rotation, which is good until its time.
    Budgets are US dollars, limits are per minute but for `concurrency`; null is none.
    `last_used_at` is coarse, at most an hour behind. `store.make_key` makes one.
    """

    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=32, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    previous_prefix = models.CharField(max_length=32, blank=True, editable=False)
    previous_digest = models.BinaryField(max_length=32, null=True, editable=False)
    previous_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    routes = models.JSONField(default=list, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    log_bodies = models.BooleanField(null=True, blank=True)
    budget_total_usd = _usd()
    budget_day_usd = _usd()
    budget_month_usd = _usd()
    limit_rpm = _limit()
    limit_tpm = _limit()
    limit_concurrency = _limit()
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet["ApiKey"].as_manager()

    class Meta:
        ordering = ("name", "pk")
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def previous_until(self) -> datetime | None:
        """Until when the secret before the last rotation is good; None if it is not."""
        until = self.previous_expires_at
        if self.previous_digest is None or until is None or until <= timezone.now():
            return None
        return until
