"""The full-text index of the request log.

On SQLite, requests with small bodies are indexed with their rows (`documents_of`). All others are
queued for the log writer's idle time: a large request takes 2-3 ms, and PostgreSQL's index takes
longer than its rows.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection, transaction

from gateway.fulltext import index_text
from gateway.models import RequestBody, RequestLog, RequestText, UnindexedRequest
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.journal.journal import record_bytes
from gateway.store import thread
from gateway.store.bodies import unpack_bodies
from gateway.store.search_text import search_text

log = logging.getLogger(__name__)

# A transaction holds SQLite's only write lock: the first one indexes INITIAL_ROWS, later ones as
# many as fit in TARGET_S. Larger batches cost a third less per row.
INITIAL_ROWS = 40
MAX_ROWS = 640
TARGET_S = 0.05
# Requests with larger bodies are queued.
MAX_DIRECT_BYTES = 16 * 1024


def index_pending(budget_s: float = 0.5, limit: int = 1000) -> int:
    """Index up to `limit` queued requests for about `budget_s` seconds; return how many.

    The rest stays queued, so that pending log rows are written first. Several processes may do
    this at the same time: on PostgreSQL each claims its own rows, on SQLite they take turns.
    """
    thread.refresh()
    indexed_count, size = 0, INITIAL_ROWS
    start_time = time.monotonic()
    until = start_time + budget_s
    while indexed_count < limit and start_time < until and UnindexedRequest.objects.exists():
        count = _index_batch(min(size, limit - indexed_count))
        if not count:
            break
        indexed_count += count
        ended = time.monotonic()
        size = min(MAX_ROWS, max(1, int(size * TARGET_S / (ended - start_time + 1e-9))), 4 * size)
        start_time = ended
    return indexed_count


def documents_of(records: list[LogRecord]) -> list[str | None]:
    """The texts to index with the records' rows; None for a row that is queued, or has no text."""
    texts = [_direct_text(record) for record in records]
    return [None if text is None else _direct_document(text) for text in texts]


def _direct_text(record: LogRecord) -> str | None:
    if record.bodies is None or record_bytes(record) > MAX_DIRECT_BYTES:
        return None
    try:
        return search_text(record.bodies, record.error)
    except Exception:  # the queue reports it
        return None


def _direct_document(text: str) -> str | None:
    try:
        return index_text(text)
    except Exception:  # the queue reports it
        return None


def _index_batch(limit: int) -> int:
    sql = _build_statements()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.select_queued, [limit])
        rows = cursor.fetchall()
        ids = sql.ids_parameter([pk for pk, _, _ in rows])
        cursor.execute(sql.delete_texts, [ids])
        cursor.executemany(
            sql.insert_text, [(pk, _search_document(pk, *columns)) for pk, *columns in rows]
        )
        cursor.execute(sql.delete_queued, [ids])
    return len(rows)


class _Statements(NamedTuple):
    """Raw SQL of one database: the ORM would take half of the total time."""

    select_queued: str
    delete_texts: str
    insert_text: str
    delete_queued: str
    # Converts a list of ids to a query parameter.
    ids_parameter: Callable[[list[int]], Any]


@lru_cache(maxsize=1)
def _build_statements() -> _Statements:
    postgresql = connection.vendor == "postgresql"
    queue, text = UnindexedRequest._meta.db_table, RequestText._meta.db_table
    id_condition = "= ANY(%s)" if postgresql else "IN (SELECT value FROM json_each(%s))"
    document = "to_tsvector('simple', %s)" if postgresql else "%s"
    return _Statements(
        f"SELECT queue.log_id, log.error, body.blob FROM {queue} AS queue "  # noqa: S608
        f"JOIN {RequestLog._meta.db_table} AS log ON log.id = queue.log_id "
        f"LEFT JOIN {RequestBody._meta.db_table} AS body ON body.log_id = queue.log_id "
        "ORDER BY queue.log_id LIMIT %s"
        + (" FOR UPDATE OF queue SKIP LOCKED" if postgresql else ""),
        f"DELETE FROM {text} WHERE rowid {id_condition}",  # noqa: S608
        f"INSERT INTO {text} (rowid, document) VALUES (%s, {document})",  # noqa: S608
        f"DELETE FROM {queue} WHERE log_id {id_condition}",  # noqa: S608
        list if postgresql else json.dumps,
    )


def _search_document(pk: int, error: str, blob: Any) -> str:
    try:
        bodies = unpack_bodies(bytes(blob)) if blob is not None else None
        return index_text(search_text(bodies, error))
    except Exception:
        # Remove it from the queue anyway, or it would block the rows after it.
        log.exception("the text of a request could not be indexed", extra={"log_id": pk})
        return index_text(error)
