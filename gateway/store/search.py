"""Fills the full-text index, in the writer's idle time: it costs 2-3 ms a request."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.db import connection, transaction

from gateway.fulltext import document
from gateway.models import RequestBody, RequestLog, RequestText, Unindexed
from gateway.store import thread
from gateway.store.bodies import unpacked
from gateway.store.words import searchable

log = logging.getLogger(__name__)

# A transaction of this many rows holds SQLite's write lock for about 0.1 s.
AT_ONCE = 40

_SQLITE = "INSERT INTO gateway_requesttext (rowid, document) VALUES (%s, %s)"
_POSTGRESQL = (
    "INSERT INTO gateway_requesttext (rowid, document) VALUES (%s, to_tsvector('simple', %s))"
)


def index_pending(budget_s: float = 0.5, limit: int = 1000) -> int:
    """Index up to `limit` requests that wait for it, for so long or a little longer.

    How many it did. The rest is for the next time: rows that wait to be written go first.
    Several processes may do this at once: on PostgreSQL each takes rows of its own, on
    SQLite one after the other.
    """
    thread.refresh()
    done = 0
    until = time.monotonic() + budget_s
    while done < limit and time.monotonic() < until and Unindexed.objects.exists():
        count = _index(min(AT_ONCE, limit - done))
        if not count:
            break
        done += count
    return done


def _index(limit: int) -> int:
    with transaction.atomic():
        waiting = Unindexed.objects.select_for_update(skip_locked=True).order_by("pk")
        ids = [row.pk for row in waiting[:limit]]
        errors = dict(RequestLog.objects.filter(pk__in=ids).values_list("pk", "error"))
        blobs = dict(RequestBody.objects.filter(pk__in=ids).values_list("pk", "blob"))
        documents = [(pk, _document(pk, blobs.get(pk), errors.get(pk, ""))) for pk in ids]
        RequestText.objects.filter(pk__in=ids).delete()
        with connection.cursor() as cursor:
            cursor.executemany(_sql(), documents)
        Unindexed.objects.filter(pk__in=ids).delete()
    return len(ids)


def _sql() -> str:
    return _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE


def _document(pk: int, blob: Any, error: str) -> str:
    try:
        bodies = unpacked(bytes(blob)) if blob is not None else None
        return document(searchable(bodies, error))
    except Exception:
        # It must leave the queue all the same, or it would block the rows behind it.
        log.exception("the text of a request could not be indexed", extra={"log_id": pk})
        return document(error)
