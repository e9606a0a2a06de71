"""The response cache in the database, shared by all processes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Self, TypeVar

from django.db import models
from django.db.models import Count, Sum

Row = TypeVar("Row", bound=models.Model)


class CachedResponseQuerySet(models.QuerySet[Row]):
    """Cached responses."""

    def of_routes(self, ids: Iterable[int]) -> Self:
        """Responses of the routes with these row ids."""
        return self.filter(route_id__in=list(ids))

    def expired(self, now: dt.datetime) -> Self:
        """Responses that may no longer be served."""
        return self.filter(expires_at__lte=now)

    def by_route(self) -> dict[int, tuple[int, int]]:
        """Number of entries and their total bytes, by the route's row id."""
        rows = self.order_by().values("route_id").annotate(n=Count("pk"), bytes=Sum("size_bytes"))
        return {row["route_id"]: (row["n"], row["bytes"]) for row in rows}


class CachedResponse(models.Model):
    """One cached response.

    `key` is a keyed digest of the request and of who may get the response, `blob` a
    `gateway.relay.exchange.cached_response.CachedResponse`, compressed like the bodies of
    requests.
    """

    key = models.CharField(max_length=64, primary_key=True)
    # No foreign key: a response may be written after its route was deleted.
    route_id = models.BigIntegerField(db_index=True)
    blob = models.BinaryField()
    size_bytes = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_index=True)
    expires_at = models.DateTimeField(db_index=True)

    objects = CachedResponseQuerySet["CachedResponse"].as_manager()

    class Meta:
        verbose_name = "cached response"

    def __str__(self) -> str:
        return f"{self.key[:12]} of route {self.route_id}"
