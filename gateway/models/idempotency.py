"""Stored responses of the management API, replayed when a request is repeated."""

from __future__ import annotations

import datetime as dt
from typing import Self, TypeVar

from django.db import models
from django.utils import timezone

Row = TypeVar("Row", bound=models.Model)

RETENTION = dt.timedelta(hours=24)


class IdempotentResponseQuerySet(models.QuerySet[Row]):
    """Responses by a digest of the caller, the operation and the idempotency key."""

    def past_retention(self) -> Self:
        """Responses older than RETENTION."""
        return self.filter(created_at__lt=timezone.now() - RETENTION)


class IdempotentResponse(models.Model):
    """One response. `status` is 0 while the request is in progress; `body` is encrypted.

    `request_digest` is a digest of the request body: reusing a key for another body is an error.
    """

    key_digest = models.CharField(max_length=64, unique=True)
    request_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = IdempotentResponseQuerySet["IdempotentResponse"].as_manager()

    def __str__(self) -> str:
        return f"{self.status} of {self.created_at:%Y-%m-%d %H:%M}"
