"""Money: provider bills, newer price lists, and the columns of markups."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from gateway.models.registry import RegistryRow
from gateway.querysets import RegistryRowQuerySet

if TYPE_CHECKING:
    import datetime as dt

MAX_MARKUP = 1000


def _markup_field() -> models.DecimalField[Decimal | None, Decimal | None]:
    """The factor from cost to charge; null inherits the factor of the next wider scope."""
    return models.DecimalField(
        max_digits=10,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(MAX_MARKUP))],
    )


class WithMarkup(models.Model):
    """The factor from cost to charge: 1.2 charges 20 % more; null inherits.

    The first one set applies, in the order key, team, provider, settings. Budgets count charges.
    """

    markup = _markup_field()

    class Meta:
        abstract = True


class BillLine(models.Model):
    """A line of a provider's bill: a period, and one model if it names one.

    `since` and `until` are the first and last day (UTC), both included. `origin` is the source: a
    file name, or empty for manual entry.
    """

    provider = models.CharField(max_length=63)
    since = models.DateField()
    until = models.DateField()
    model = models.CharField(max_length=200, blank=True)
    usd = models.DecimalField(max_digits=20, decimal_places=10)
    origin = models.CharField(max_length=200, blank=True)
    created_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = models.Manager["BillLine"]()

    class Meta:
        ordering = ("since", "model", "pk")
        indexes = (models.Index(fields=["provider", "since"], name="gateway_bill_provider"),)

    def __str__(self) -> str:
        return f"{self.provider} {self.since} to {self.until} {self.model}".rstrip()


class PriceUpdate(RegistryRow):
    """Prices of a newer list that differ from those in use, for review and acceptance.

    `changes` are `gateway.store.price_updates.Change` objects; `accepted` are the indexes of the
    accepted ones. `origin` is the name that the list gives itself, `list_date` its date.
    """

    name = models.CharField(max_length=200)
    origin = models.CharField(max_length=200)
    list_date = models.DateField()
    changes = models.JSONField(default=list, encoder=DjangoJSONEncoder)
    accepted = models.JSONField(default=list)
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.CharField(max_length=150, blank=True)

    objects = RegistryRowQuerySet["PriceUpdate"].as_manager()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.name

    def accept(self, indexes: list[int], author: str, moment: dt.datetime | None = None) -> None:
        """Accept exactly these changes; an empty list withdraws all of them."""
        self.accepted = sorted(index for index in set(indexes) if 0 <= index < len(self.changes))
        self.accepted_at = (moment or timezone.now()) if self.accepted else None
        self.accepted_by = author if self.accepted else ""
        self.save()
