"""Journal batches -> the request log, without ORM objects.

Idempotent: a record that exists already (same id and start time) changes nothing and is not
counted again. An invalid record does not lose the others: a batch that fails is written row by
row. An ORM save takes 400 us per row; this takes about 45 (SQLite, with the search index) or 30
(PostgreSQL, COPY), plus up to 8 for the hourly roll-ups in a batch with many distinct keys.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from django.db import connection, models, transaction

from gateway.database.deadline import deadline
from gateway.models import ApiKey, RequestBody, RequestLog, RequestText, UnindexedRequest
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.journal.segments import drop_details, make_storable
from gateway.store import thread, usage
from gateway.store.bodies import pack_bodies
from gateway.store.columns import Row, columns, repair_row, row_of
from gateway.store.preview import preview
from gateway.store.refusals import is_refusal
from gateway.store.responses import write_responses
from gateway.store.search import documents_of

log = logging.getLogger(__name__)

# Timeout of one batch, in seconds; the batch is retried.
WRITE_TIMEOUT_S = 10.0
LAST_USED_INTERVAL = timedelta(hours=1)

# A row of the bodies' table: the preview of the prompt, and the bodies as a blob.
PackedBodies = tuple[str, bytes]
# Request id and start time.
RowIdentity = tuple[str, Any]


class NewRow(NamedTuple):
    """A row to insert.

    Attributes:
        attempts: those of `row` before JSON encoding.
        document: the text to index with the row; None to queue it for the index.
    """

    row: Row
    packed_bodies: PackedBodies | None
    attempts: list[Attempt]
    document: str | None


def write(records: list[LogRecord]) -> int:
    """Write a batch in one transaction; return the number of rows that the database rejected.

    Raises:
        Exception: the database is not writable; keep the whole batch for a retry.
    """
    if not records:
        return 0
    with deadline(WRITE_TIMEOUT_S):
        return _write_batch(records)


def _write_batch(records: list[LogRecord]) -> int:
    thread.refresh()
    refused_rows = 0
    try:
        _insert_rows(_new_rows(records))
    except Exception as error:
        if not is_refusal(error):
            raise
        RequestLog.objects.exists()  # raises if the database itself is the cause
        log.warning("a batch of the request log was rejected; writing it row by row")
        refused_rows = _write_row_by_row(records)
    write_responses(
        record.stored_response for record in records if record.stored_response is not None
    )
    return refused_rows


def _new_rows(records: list[LogRecord]) -> list[NewRow]:
    # Step by step for all records: all steps for each record take a third longer (measured with
    # batches of 400), probably as their code is too large for the processor's caches.
    textual = connection.vendor == "sqlite"
    rows = [row_of(record, textual=textual) for record in records]
    bodies = [
        (preview(record.bodies), pack_bodies(record.bodies)) if record.bodies else None
        for record in records
    ]
    attempts = [record.attempts for record in records]
    documents = documents_of(records) if textual else [None] * len(records)
    return list(map(NewRow, rows, bodies, attempts, documents))


def _write_row_by_row(records: list[LogRecord]) -> int:
    """Write each record in its own transaction; return the number rejected."""
    refused_rows = 0
    for record in records:
        try:
            _write_record(record)
        except Exception as error:
            if not is_refusal(error):
                raise
            refused_rows += 1
            log.error(
                "a request could not be logged",
                extra={"request_id": record.id, "reason": type(error).__name__},
            )
    return refused_rows


def _write_record(record: LogRecord) -> None:
    """Write one record; if it is rejected, retry with bad values repaired, then without details."""
    if _try_insert(_new_rows, record):
        return
    make_storable(record)
    if _try_insert(_repaired_rows, record):
        return
    drop_details(record)
    _insert_rows(_repaired_rows([record]))


def _try_insert(build_rows: Callable[[list[LogRecord]], list[NewRow]], record: LogRecord) -> bool:
    try:
        _insert_rows(build_rows([record]))
    except Exception as error:
        if not is_refusal(error):
            raise
        return False
    return True


def _repaired_rows(records: list[LogRecord]) -> list[NewRow]:
    return [new_row._replace(row=repair_row(new_row.row)) for new_row in _new_rows(records)]


def _insert_rows(rows: list[NewRow]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        inserted_rows = (
            _insert_postgresql(cursor, rows)
            if connection.vendor == "postgresql"
            else _insert_sqlite(cursor, rows)
        )
        _update_last_used(cursor, rows)
        # Last: all writers contend for the roll-up rows that it locks.
        usage.count(cursor, ((new_row.row, new_row.attempts) for new_row in inserted_rows))


def _inserted_rows(rows: list[NewRow], inserted_identities: set[RowIdentity]) -> list[NewRow]:
    """The rows that were inserted; of duplicates, only the first."""
    started, new_rows = columns().started, []
    for new_row in rows:
        identity = (new_row.row[0], new_row.row[started])
        if identity in inserted_identities:
            inserted_identities.remove(identity)
            new_rows.append(new_row)
    return new_rows


def _table_name(model: type[models.Model]) -> str:
    return model._meta.db_table


@lru_cache(maxsize=1)
def _column_list() -> str:
    return ", ".join(f'"{name}"' for name in columns().names)


# -- SQLite: a prepared statement for some rows at a time ----------------------------
#
# For each statement SQLite reads and writes the counter of AUTOINCREMENT (5 us). `OR FAIL`, as
# the default would need a journal of the statement, in a temporary file, to undo its rows before
# the failing one; the transaction undoes them anyway.

# Rows per statement, within what the oldest versions bind (999 values).
_STATEMENT_ROWS = 16

# Without an adapter, sqlite3 looks up one for each None, bool and bytes and handles an exception
# (0.2 us each, ten per log row). These return the value unchanged, without a Python function.
sqlite3.register_adapter(type(None), {}.get)  # type: ignore[arg-type]
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(bool, int)


def _placeholders(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join(['%s'] * columns)})"] * rows)


@lru_cache(maxsize=2)
def _insert_sql(rows: int) -> str:
    # Not OR IGNORE: that would also hide violations of other constraints.
    return (
        f"INSERT OR FAIL INTO {_table_name(RequestLog)} (id, {_column_list()}) "  # noqa: S608
        f"VALUES {_placeholders(1 + len(columns().names), rows)} "
        "ON CONFLICT (request_id, started_at) DO NOTHING"
    )


@lru_cache(maxsize=2)
def _body_sql(rows: int) -> str:
    return (
        f"INSERT OR FAIL INTO {_table_name(RequestBody)} (log_id, preview, blob) "  # noqa: S608
        f"VALUES {_placeholders(3, rows)}"
    )


@lru_cache(maxsize=1)
def _queue_sql() -> str:
    return f"INSERT INTO {_table_name(UnindexedRequest)} (log_id) VALUES (%s)"  # noqa: S608


@lru_cache(maxsize=1)
def _text_sql() -> str:
    return f"INSERT INTO {_table_name(RequestText)} (rowid, document) VALUES (%s, %s)"  # noqa: S608


@lru_cache(maxsize=1)
def _newest_id_sql() -> str:
    # Ids are never reused, even after the newest row was deleted.
    table = _table_name(RequestLog)
    return (
        f"SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0), "  # noqa: S608
        f"coalesce((SELECT max(id) FROM {table}), 0))"
    )


def _insert_many(cursor: Any, sql: Callable[[int], str], rows: Sequence[tuple[Any, ...]]) -> int:
    """Run a statement for all rows, _STATEMENT_ROWS at a time; return how many it inserted."""
    size, inserted_rows = _STATEMENT_ROWS, 0
    end = len(rows) - len(rows) % size
    if end:
        parts = (rows[start : start + size] for start in range(0, end, size))
        cursor.executemany(sql(size), [list(chain.from_iterable(part)) for part in parts])
        inserted_rows = cursor.rowcount
    if end < len(rows):
        cursor.executemany(sql(1), rows[end:])
        inserted_rows += cursor.rowcount
    return inserted_rows


def _insert_sqlite(cursor: Any, rows: list[NewRow]) -> list[NewRow]:
    # The transaction holds SQLite's only write lock, so no other writer assigns ids.
    cursor.execute(_newest_id_sql())
    first = cursor.fetchone()[0] + 1
    numbered_rows = list(enumerate(rows, first))
    values = [(pk, *new_row.row) for pk, new_row in numbered_rows]
    if _insert_many(cursor, _insert_sql, values) != len(rows):
        cursor.execute(f"SELECT id FROM {_table_name(RequestLog)} WHERE id >= %s", [first])  # noqa: S608
        inserted_ids = {pk for (pk,) in cursor.fetchall()}
        numbered_rows = [
            numbered_row for numbered_row in numbered_rows if numbered_row[0] in inserted_ids
        ]
    error = columns().names.index("error")
    bodies = [
        (pk, *new_row.packed_bodies)
        for pk, new_row in numbered_rows
        if new_row.packed_bodies is not None
    ]
    _insert_many(cursor, _body_sql, bodies)
    texts = [
        (pk, new_row.document) for pk, new_row in numbered_rows if new_row.document is not None
    ]
    cursor.executemany(_text_sql(), texts)
    unindexed_rows = [
        (pk,)
        for pk, new_row in numbered_rows
        if new_row.document is None and (new_row.packed_bodies is not None or new_row.row[error])
    ]
    cursor.executemany(_queue_sql(), unindexed_rows)
    return [new_row for _, new_row in numbered_rows]


# -- PostgreSQL: COPY into a temporary table, then one statement ---------------------


@lru_cache(maxsize=1)
def _insert_batch_sql() -> str:
    return (
        f"WITH fresh AS (INSERT INTO {_table_name(RequestLog)} ({_column_list()}) "  # noqa: S608
        f"SELECT {_column_list()} FROM gateway_batch "
        "ON CONFLICT (request_id, started_at) DO NOTHING "
        "RETURNING id, request_id, started_at, error), "
        f"kept AS (INSERT INTO {_table_name(RequestBody)} (log_id, preview, blob) "
        "SELECT fresh.id, batch.preview, batch.blob FROM fresh JOIN gateway_batch AS batch "
        "USING (request_id, started_at) WHERE batch.blob IS NOT NULL "
        "ON CONFLICT DO NOTHING RETURNING log_id), "
        f"queued AS (INSERT INTO {_table_name(UnindexedRequest)} (log_id) "
        "SELECT log_id FROM kept UNION SELECT id FROM fresh WHERE error <> '') "
        "SELECT request_id, started_at FROM fresh"
    )


def _insert_postgresql(cursor: Any, rows: list[NewRow]) -> list[NewRow]:
    cursor.execute(
        f"CREATE TEMP TABLE gateway_batch AS SELECT {_column_list()}, "  # noqa: S608
        "''::text AS preview, ''::bytea AS blob "
        f"FROM {_table_name(RequestLog)} WITH NO DATA"
    )
    with cursor.copy(f"COPY gateway_batch ({_column_list()}, preview, blob) FROM STDIN") as copy:
        for new_row in rows:
            copy.write_row((*new_row.row, *(new_row.packed_bodies or (None, None))))
    cursor.execute(_insert_batch_sql())
    inserted_identities = set(cursor.fetchall())
    cursor.execute("DROP TABLE gateway_batch")
    return (
        rows if len(inserted_identities) == len(rows) else _inserted_rows(rows, inserted_identities)
    )


# -- both -----------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _last_used_sql() -> str:
    return (
        f"UPDATE {_table_name(ApiKey)} SET last_used_at = %s "  # noqa: S608
        "WHERE id = %s AND (last_used_at IS NULL OR last_used_at < %s)"
    )


def _update_last_used(cursor: Any, rows: list[NewRow]) -> None:
    """Update each key's `last_used_at`, at most once per LAST_USED_INTERVAL.

    The version of the registry stays the same: no process has to read it again.
    """
    started, key = columns().started, columns().names.index("key_id")
    used_at_by_key: dict[Any, Any] = {}
    for new_row in rows:
        key_id, used_at = new_row.row[key], new_row.row[started]
        if key_id:
            used_at_by_key[key_id] = max(used_at, used_at_by_key.get(key_id, used_at))
    # Sorted, so that two writers cannot deadlock.
    for key_id, used_at in sorted(used_at_by_key.items()):
        cursor.execute(_last_used_sql(), [used_at, key_id, _interval_before(used_at)])


def _interval_before(used_at: datetime | str) -> datetime | str:
    if isinstance(used_at, datetime):
        return used_at - LAST_USED_INTERVAL
    return (datetime.fromisoformat(used_at) - LAST_USED_INTERVAL).isoformat(" ")
