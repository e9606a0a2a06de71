"""Answers of the management API that are given again to a request that is sent again."""

from __future__ import annotations

import datetime as dt
from typing import Self, TypeVar

from django.db import models
from django.utils import timezone

Row = TypeVar("Row", bound=models.Model)

RETENTION = dt.timedelta(hours=24)


class IdempotentResponseQuerySet(models.QuerySet[Row]):
    """Answers by the digest of who asked for what under which key."""

    def stale(self) -> Self:
        """Those whose time is over."""
        return self.filter(created_at__lt=timezone.now() - RETENTION)


class IdempotentResponse(models.Model):
    """One answer. `status` is 0 while the request is under way; `body` is sealed.

    `asked` is a digest of the body, so that a key is not used for two things.
    """

    key_digest = models.CharField(max_length=64, unique=True)
    request_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = IdempotentResponseQuerySet["IdempotentResponse"].as_manager()

    def __str__(self) -> str:
        return f"{self.status} of {self.created_at:%Y-%m-%d %H:%M}"
