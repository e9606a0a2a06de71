"""Batches of request log rows as files of compressed JSON lines, one file for each day."""

from __future__ import annotations

import datetime as dt
import gzip
from collections import defaultdict
from typing import Any, NamedTuple

import msgspec

from gateway import store
from gateway.models import RequestLog

MAX_ROWS = 10_000
# Of JSON before compression; a batch ends after the row that exceeds it.
MAX_BYTES = 32 * 1024 * 1024
_encoder = msgspec.json.Encoder(decimal_format="number")
_FIELDS = tuple(field.attname for field in RequestLog._meta.concrete_fields if field.name != "id")


class Batch(NamedTuple):
    """The rows after one ID up to another: files by path."""

    last_id: int
    rows: int
    files: dict[str, bytes]


def read_batch(after_id: int, up_to_id: int, *, bodies: bool) -> Batch | None:
    """The next rows; None if there are none."""
    rows = RequestLog.objects.filter(pk__gt=after_id, pk__lte=up_to_id).order_by("pk")[:MAX_ROWS]
    days: dict[dt.date, list[bytes]] = defaultdict(list)
    last_id = count = size = 0
    for row in rows.iterator(chunk_size=200):
        line = _encoder.encode(_row_document(row, bodies=bodies))
        days[row.started_at.astimezone(dt.UTC).date()].append(line)
        last_id, count, size = row.pk, count + 1, size + len(line)
        if size >= MAX_BYTES:
            break
    if not count:
        return None
    files = {
        f"date={day}/requests-{after_id + 1:012}-{last_id:012}.jsonl.gz": _compress_lines(lines)
        for day, lines in days.items()
    }
    return Batch(last_id, count, files)


def _row_document(row: RequestLog, *, bodies: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"id": row.pk} | {name: getattr(row, name) for name in _FIELDS}
    if bodies:
        document["bodies"] = _row_bodies(row.pk)
    return document


def _row_bodies(pk: int) -> dict[str, str | None] | None:
    try:
        bodies = store.load_bodies(pk)
    except ValueError:
        return None
    return None if bodies is None else store.body_texts(bodies)


def _compress_lines(lines: list[bytes]) -> bytes:
    # Without a time, so that a batch that is written again is the same.
    return gzip.compress(b"\n".join([*lines, b""]), compresslevel=6, mtime=0)
