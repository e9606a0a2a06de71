"""The response cache's table: read and written by the relay's threads, cleared by operators."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Sequence

from django.db import models, transaction
from django.db.models import F
from django.utils import timezone

from gateway.models import CachedResponse, Route
from gateway.relay.cache.backend import CacheRow
from gateway.store import thread

# Maximum total size of the cached responses; the oldest are deleted first.
MAX_BYTES = 1024 * 1024 * 1024
PRUNE_S = 300.0
_PRUNE_ROWS = 500
_UPDATED = ("route_id", "blob", "size_bytes", "created_at", "expires_at")


class _NextPrune:
    """When the table is due to be pruned; one writer per process prunes it."""

    lock = threading.Lock()
    due_at = 0.0


def read_cached_response(key: str) -> bytes | None:
    """The cached blob of a key; None if there is none or it has expired."""
    thread.refresh()
    rows = CachedResponse.objects.filter(pk=key, expires_at__gt=timezone.now())
    blob = rows.values_list("blob", flat=True).first()
    return None if blob is None else bytes(blob)


def new_cache_keys(since: float, limit: int) -> list[str]:
    """Keys of unexpired responses cached after `since` (Unix seconds), newest first."""
    thread.refresh()
    rows = CachedResponse.objects.filter(
        created_at__gt=_database_time(since), expires_at__gt=timezone.now()
    )
    return list(rows.order_by("-created_at").values_list("pk", flat=True)[:limit])


def write_cached_responses(rows: Sequence[CacheRow]) -> None:
    """Insert or overwrite cached responses; every PRUNE_S, prune the table as well."""
    thread.refresh()
    CachedResponse.objects.bulk_create(
        [
            CachedResponse(
                key=row.key,
                route_id=row.route_id,
                blob=row.blob,
                size_bytes=len(row.blob),
                created_at=_database_time(row.created_at),
                expires_at=_database_time(row.expires_at),
            )
            for row in rows
        ],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=_UPDATED,
    )
    with _NextPrune.lock:
        is_prune_due = time.monotonic() >= _NextPrune.due_at
        if is_prune_due:
            _NextPrune.due_at = time.monotonic() + PRUNE_S
    if is_prune_due:
        prune_cache()


def _database_time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def prune_cache(max_bytes: int = MAX_BYTES) -> int:
    """Delete expired rows, then the oldest rows above `max_bytes`; return the number deleted."""
    deleted_count, _ = CachedResponse.objects.expired(timezone.now()).delete()
    total = CachedResponse.objects.aggregate(all=models.Sum("size_bytes"))["all"] or 0
    while total > max_bytes:
        oldest_entries = list(
            CachedResponse.objects.order_by("created_at").values("pk", "size_bytes")[:_PRUNE_ROWS]
        )
        evicted_keys = []
        for row in oldest_entries:
            if total <= max_bytes:
                break
            total -= row["size_bytes"]
            evicted_keys.append(row["pk"])
        if not evicted_keys:
            break
        deleted_count += CachedResponse.objects.filter(pk__in=evicted_keys).delete()[0]
    return deleted_count


def clear_cache(route: str = "") -> int:
    """Delete the cached responses of a route (all routes if empty); return the number of rows.

    Every process sees the new cache generation with the registry version, within a second: it
    no longer serves older entries from its memory or from Redis.
    """
    with transaction.atomic():
        routes = Route.objects.filter(name=route) if route else Route.objects.all()
        ids = list(routes.values_list("pk", flat=True))
        routes.update(cache_generation=F("cache_generation") + 1)
        rows = CachedResponse.objects.of_routes(ids) if route else CachedResponse.objects.all()
        return rows.delete()[0]
