"""Kept answers in the database: read and written by the relay's threads, thrown away by people."""

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

# What all answers together may take; the oldest go first.
MOST_BYTES = 1024 * 1024 * 1024
PRUNE_S = 300.0
_PRUNE_ROWS = 500
_UPDATED = ("route_id", "blob", "size_bytes", "created_at", "expires_at")


class _Next:
    """When the table is looked through again; one writer a process does it."""

    lock = threading.Lock()
    at = 0.0


def read_answer(key: str) -> bytes | None:
    """The blob of a key, if its time is not over."""
    thread.refresh()
    found = CachedResponse.objects.filter(pk=key, expires_at__gt=timezone.now())
    blob = found.values_list("blob", flat=True).first()
    return None if blob is None else bytes(blob)


def new_answers(since: float, most: int) -> list[str]:
    """The keys of answers made since (unix seconds), but for those whose time is over."""
    thread.refresh()
    found = CachedResponse.objects.filter(
        created_at__gt=_moment(since), expires_at__gt=timezone.now()
    )
    return list(found.order_by("-created_at").values_list("pk", flat=True)[:most])


def write_answers(rows: Sequence[CacheRow]) -> None:
    """Write answers over older ones of the same keys; now and then delete what is over."""
    thread.refresh()
    CachedResponse.objects.bulk_create(
        [
            CachedResponse(
                key=row.key,
                route_id=row.route_id,
                blob=row.blob,
                size_bytes=len(row.blob),
                created_at=_moment(row.created_at),
                expires_at=_moment(row.expires_at),
            )
            for row in rows
        ],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=_UPDATED,
    )
    with _Next.lock:
        due = time.monotonic() >= _Next.at
        if due:
            _Next.at = time.monotonic() + PRUNE_S
    if due:
        prune_answers()


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def prune_answers(most_bytes: int = MOST_BYTES) -> int:
    """Delete what is over, and the oldest of what is too much; how many."""
    gone, _ = CachedResponse.objects.expired(timezone.now()).delete()
    total = CachedResponse.objects.aggregate(all=models.Sum("size_bytes"))["all"] or 0
    while total > most_bytes:
        oldest = list(
            CachedResponse.objects.order_by("created_at").values("pk", "size_bytes")[:_PRUNE_ROWS]
        )
        chosen = []
        for row in oldest:
            if total <= most_bytes:
                break
            total -= row["size_bytes"]
            chosen.append(row["pk"])
        if not chosen:
            break
        gone += CachedResponse.objects.filter(pk__in=chosen).delete()[0]
    return gone


def purge_answers(route: str = "") -> int:
    """Throw away what a route has kept (an empty name: all routes); how many rows that were.

    Every process learns of it with the registry's version, within a second: what is in its
    memory or on Redis is of an older generation from then on, and is never given again.
    """
    with transaction.atomic():
        routes = Route.objects.filter(name=route) if route else Route.objects.all()
        ids = list(routes.values_list("pk", flat=True))
        routes.update(cache_generation=F("cache_generation") + 1)
        gone = CachedResponse.objects.of_routes(ids) if route else CachedResponse.objects.all()
        return gone.delete()[0]
