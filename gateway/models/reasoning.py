"""Reasoning state that clients cannot send back, stored between their requests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Self, TypeVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

Row = TypeVar("Row", bound=models.Model)


class ReasoningStateQuerySet(models.QuerySet[Row]):
    """Stored turns, oldest first."""

    def matching_digests(self, turns: Iterable[str], calls: Iterable[str]) -> Self:
        """Turns that match any of these digests."""
        return self.filter(Q(turn_digest__in=list(turns)) | Q(call_digest__in=list(calls)))

    def stored_within(self, age: dt.timedelta) -> Self:
        """Turns stored within `age`."""
        return self.filter(created_at__gt=timezone.now() - age)

    def prune(self, age: dt.timedelta) -> int:
        """Delete turns older than `age`; return the number of rows."""
        return self.filter(created_at__lte=timezone.now() - age).delete()[0]


class ReasoningState(models.Model):
    """One turn's reasoning and signatures, encrypted.

    `turn_digest` and `call_digest` identify the turn (`relay.exchange.reasoning_turns`); the
    API key is part of both.
    """

    turn_digest = models.CharField(max_length=32, db_index=True)
    call_digest = models.CharField(max_length=32, db_index=True)
    ciphertext = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = ReasoningStateQuerySet["ReasoningState"].as_manager()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.turn_digest
