"""Stored responses of the Responses API <-> their table. Writes are idempotent, as in the log.

The last write wins, as an upstream may use an id twice; but later writes never overwrite a
deleted response, and only a deletion overwrites a cancelled one.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from gateway.models import StoredResponse as ResponseRow
from gateway.relay.exchange.stored_response import StoredResponse
from gateway.store import thread
from gateway.store.bodies import MAX_UNPACKED_BYTES, MIN_COMPRESS_BYTES
from gateway.store.refusals import is_refusal

log = logging.getLogger(__name__)

_COLUMNS = (
    *(
        "owner",
        "response_id",
        "created_at",
        "heartbeat_at",
        "status",
        "provider",
        "native_provider",
    ),
    *("deleted", "blob"),
)
_encoder = msgspec.msgpack.Encoder()


class _Content(msgspec.Struct, omit_defaults=True):
    """The content of the blob."""

    previous_items: bytes = b""
    input: bytes = b""
    response: bytes = b""
    events: list[bytes] = []


_decoder = msgspec.msgpack.Decoder(_Content)


def write_responses(responses: Iterable[StoredResponse]) -> None:
    """Write the stored responses of a journal batch; those that the database rejects are dropped.

    Raises:
        Exception: the database is not writable.
    """
    rows = [_row_values(response) for response in responses]
    if not rows:
        return
    try:
        _write_rows(rows)
    except Exception as error:
        if not is_refusal(error):
            raise
        for row in rows:
            _write_row(row)


def _write_row(row: list[Any]) -> None:
    try:
        _write_rows([row])
    except Exception as error:
        if not is_refusal(error):
            raise
        log.error("a response could not be stored", extra={"reason": type(error).__name__})


def _write_rows(rows: list[list[Any]]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        # Sorted, so that two writers cannot deadlock.
        rows = sorted(rows, key=lambda row: (row[0], row[1]))
        cursor.executemany(_upsert_sql(), rows)


@lru_cache(maxsize=1)
def _upsert_sql() -> str:
    table = ResponseRow._meta.db_table
    names, marks = ", ".join(_COLUMNS), ", ".join(["%s"] * len(_COLUMNS))
    assignments = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])
    return (
        f"INSERT INTO {table} ({names}) VALUES ({marks}) "  # noqa: S608 - names of our own
        f"ON CONFLICT (owner, response_id) DO UPDATE SET {assignments} "
        f"WHERE NOT {table}.deleted "
        f"AND ({table}.status <> 'cancelled' OR excluded.deleted)"
    )


def _row_values(response: StoredResponse) -> list[Any]:
    created_at, heartbeat_at = response.created_at, response.heartbeat_at or response.created_at
    return [
        response.owner,
        response.id.replace("\0", "")[:200],
        _database_time(created_at),
        _database_time(heartbeat_at),
        response.status,
        response.provider,
        response.native_provider,
        response.deleted,
        b"" if response.deleted else _pack_content(response),
    ]


def _database_time(seconds: float) -> Any:
    return connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(seconds, UTC))


def _pack_content(response: StoredResponse) -> bytes:
    encoded_response = _encoder.encode(
        _Content(response.previous_items, response.input, response.response, response.events)
    )
    return (
        b"z" + zlib.compress(encoded_response, 1)
        if len(encoded_response) > MIN_COMPRESS_BYTES
        else b"p" + encoded_response
    )


def _unpack_content(blob: bytes) -> _Content:
    if blob[:1] != b"z":
        return _decoder.decode(blob[1:]) if blob else _Content()
    inflater = zlib.decompressobj()
    content = inflater.decompress(blob[1:], MAX_UNPACKED_BYTES)
    if not inflater.eof:
        raise ValueError("a stored response is incomplete or too large")
    return _decoder.decode(content)


def load_response(owner: str, response_id: str) -> StoredResponse | None:
    """The response of this owner, deleted ones included; None if there is none."""
    thread.refresh()
    row = ResponseRow.objects.owned_response(owner, response_id[:200]).first()
    if row is None:
        return None
    content = _unpack_content(bytes(row.blob))
    return StoredResponse(
        id=row.response_id,
        owner=row.owner,
        created_at=row.created_at.timestamp(),
        heartbeat_at=row.heartbeat_at.timestamp(),
        status=row.status,
        provider=row.provider,
        native_provider=row.native_provider,
        previous_items=content.previous_items,
        input=content.input,
        response=content.response,
        events=content.events,
        deleted=row.deleted,
    )


def save_response(response: StoredResponse) -> None:
    """Write one response immediately, bypassing the journal."""
    thread.refresh()
    _write_rows([_row_values(response)])


def cancel_response(owner: str, response_id: str) -> None:
    """Mark a running response as cancelled; the process that runs it polls for this mark."""
    thread.refresh()
    ResponseRow.objects.owned_response(owner, response_id).running().update(status="cancelled")


def refresh_heartbeats(running: list[tuple[str, str]]) -> list[str]:
    """Update the heartbeat of these responses; return the ids that were cancelled or deleted."""
    thread.refresh()
    identities = Q(pk__in=())
    for owner, response_id in running:
        identities |= Q(owner=owner, response_id=response_id)
    own_rows = ResponseRow.objects.filter(identities)
    own_rows.running().update(heartbeat_at=timezone.now())
    stopped_rows = own_rows.filter(Q(status="cancelled") | Q(deleted=True))
    return list(stopped_rows.values_list("response_id", flat=True))
