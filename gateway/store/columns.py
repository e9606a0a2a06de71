"""Log records -> tuples in the order of the log table's columns.

Clients choose some of these texts, so each is truncated to its column's length and stripped of
NUL, which PostgreSQL rejects. A cost that does not fit its column becomes NULL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from math import isfinite, modf
from operator import attrgetter, gt, itemgetter
from typing import Any

import msgspec
from django.db import models

from gateway.models import RequestLog
from gateway.relay.exchange.log_record import LogRecord

Row = list[Any]

_MAX_USD = Decimal(10) ** 10
_INT32, _INT64 = 2**31 - 1, 2**63 - 1
_json = msgspec.json.Encoder()
_API_NAMES = {"request_id": "id"}
# Not the text of an escape sequence, whose backslash is itself escaped.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class LogColumns(msgspec.Struct, frozen=True):
    """The log table's columns, and the indexes of those that need conversion.

    Attributes:
        names: column names in order, without the primary key.
        values: the values of a record, in that order.
        texts: indexes of text columns with a maximum length, which `text_values` takes from a row.
        max_lengths: their maximum lengths in characters, in the same order.
        json: indexes of JSON columns.
        fields: the model fields, in the same order.
        started: index of `started_at`.
        costs: indexes of decimal columns.
    """

    names: tuple[str, ...]
    values: Callable[[LogRecord], tuple[Any, ...]]
    texts: tuple[int, ...]
    text_values: Callable[[Row], tuple[str, ...]]
    max_lengths: tuple[int, ...]
    json: tuple[int, ...]
    fields: tuple[Any, ...]
    started: int
    costs: tuple[int, ...]


@lru_cache(maxsize=1)
def columns() -> LogColumns:
    """The columns as the model defines them; computed once per process."""
    fields = tuple(f for f in RequestLog._meta.concrete_fields if not f.primary_key)
    names = tuple(str(field.column) for field in fields)
    texts = tuple(i for i, field in enumerate(fields) if field.max_length is not None)
    return LogColumns(
        names=names,
        values=attrgetter(*(_API_NAMES.get(name, name) for name in names)),
        texts=texts,
        text_values=itemgetter(*texts),
        max_lengths=tuple(fields[index].max_length or 0 for index in texts),
        json=tuple(i for i, f in enumerate(fields) if isinstance(f, models.JSONField)),
        fields=fields,
        started=names.index("started_at"),
        costs=tuple(i for i, f in enumerate(fields) if isinstance(f, models.DecimalField)),
    )


def row_of(record: LogRecord, *, textual: bool) -> Row:
    """The row of a record. `textual` formats times and costs as SQLite stores them."""
    table = columns()
    row = list(table.values(record))
    # One check of all texts: this runs for each request.
    texts = table.text_values(row)
    if "\0" in "".join(texts) or any(map(gt, map(len, texts), table.max_lengths)):
        for index, max_length in zip(table.texts, table.max_lengths, strict=True):
            row[index] = row[index].replace("\0", "")[:max_length]
    for index in table.json:
        row[index] = json_text(row[index]) if row[index] else "[]"
    for index in table.costs:
        cost = row[index]
        if cost is not None:
            cost = cost if cost.is_finite() and abs(cost) < _MAX_USD else None
            row[index] = str(cost) if textual and cost is not None else cost
    start_time = row[table.started]
    row[table.started] = (
        _time_text(start_time) if textual else datetime.fromtimestamp(start_time, UTC)
    )
    return row


def _time_text(timestamp: float) -> str:
    """A time as Django stores it in SQLite, with the same rounding as `datetime`."""
    fraction, seconds = modf(timestamp)
    microseconds = round(fraction * 1e6)
    if not 0 < microseconds < 1_000_000:
        return datetime.fromtimestamp(timestamp, UTC).isoformat(" ")[:-6]
    return f"{_second_text(seconds)}.{microseconds:06d}"


@lru_cache(maxsize=64)
def _second_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ")[:-6]  # without +00:00


def json_text(value: Any) -> str:
    """JSON without NUL, which jsonb rejects even escaped."""
    text = _json.encode(value).decode()
    return _ESCAPED_NUL.sub(r"\1", text) if "\\u0000" in text else text


def repair_row(row: Row) -> Row:
    """A row that the database rejected, with bad characters and out-of-range numbers replaced."""
    table = columns()
    return [_repair_value(value, field) for value, field in zip(row, table.fields, strict=True)]


def _repair_value(value: Any, field: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case bool():
            return value
        case int():
            limit = _INT64 if isinstance(field, models.BigIntegerField) else _INT32
            return max(-limit, min(value, limit))
        case float() if not isfinite(value):
            return None if field.null else 0.0
    return value
