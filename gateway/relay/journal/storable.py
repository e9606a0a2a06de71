"""Log records whose values every encoder and database takes.

A finished request has cost money: its row is never lost because of a value that a client or
an upstream chose. `encoded` is what the journal writes; most records are encoded as they are.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec

from gateway.relay.exchange.log_record import Attempt, LogRecord

log = logging.getLogger(__name__)

# Adaptations in one record; of more, the last entry says how many were left out.
MAX_ADAPTATIONS = 1000
MAX_DEPTH = 32
MAX_TEXT = 10_000
_INT64 = 2**63 - 1
_MAX_USD = Decimal(10) ** 10
_encoder = msgspec.msgpack.Encoder()


def encode_record(record: LogRecord) -> bytes:
    """The record as msgpack. What can not be encoded is changed in the entry itself."""
    if len(record.adaptations) > MAX_ADAPTATIONS:
        record.adaptations = _first_adaptations(record.adaptations)
    try:
        return _encoder.encode(record)
    except Exception:  # whatever it is that can not be written
        make_storable(record)
    try:
        return _encoder.encode(record)
    except Exception as error:
        reason = type(error).__name__
        extra = {"request_id": record.id, "reason": reason}
        log.error("a request is logged without its details", extra=extra)
        drop_details(record)
    return _encoder.encode(record)


def _first_adaptations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    omitted = len(rows) - MAX_ADAPTATIONS
    note = f"{omitted} more changes are not in the log; /api/translate shows all"
    return [*rows[:MAX_ADAPTATIONS], {"field": "", "action": "dropped", "note": note}]


def make_storable(record: LogRecord) -> None:
    """Change the entry's values to ones that can be stored.

    Whole numbers beyond 64 bits are clamped, in `adaptations` they become text; floats and
    costs that are no number become None, lone surrogates `?`, deep nesting text.
    """
    _clamp_fields(record)
    for attempt in record.attempts:
        _clamp_fields(attempt)
    record.adaptations = [
        {str(key): storable_json(value) for key, value in row.items()} for row in record.adaptations
    ]
    record.tags = [_text(tag) for tag in record.tags]


def drop_details(record: LogRecord) -> None:
    """Leave out all but the plain fields of an entry."""
    record.bodies, record.bodies_omitted, record.stored_response = None, "size", None
    record.adaptations, record.tags, record.attempts = [], [], []
    _clamp_fields(record)


def _clamp_fields(record: LogRecord | Attempt) -> None:
    for name in record.__struct_fields__:
        value = getattr(record, name)
        match value:
            case str():
                value = _text(value)
            case bool():
                pass
            case int():
                value = max(-_INT64, min(value, _INT64))
            case float() if not isfinite(value):
                value = 0.0 if name in _REQUIRED_TIMES else None
            case Decimal() if not value.is_finite() or abs(value) >= _MAX_USD:
                value = None
        setattr(record, name, value)


# Fields of times that are never unknown.
_REQUIRED_TIMES = frozenset({"started_at", "duration_ms", "started_ms"})


def storable_json(value: Any, depth: int = 0) -> Any:
    """A value of JSON that every encoder takes."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return value if -_INT64 <= value <= _INT64 else _digits(value)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if depth >= MAX_DEPTH or not isinstance(value, dict | list | tuple):
        return f"[{type(value).__name__}]"
    if isinstance(value, dict):
        return {_text(str(key)): storable_json(item, depth + 1) for key, item in value.items()}
    return [storable_json(item, depth + 1) for item in value]


def _digits(value: int) -> str:
    # Python refuses to write very long numbers in decimal.
    return str(value) if value.bit_length() <= 4096 else "[a number of many digits]"


def _text(value: str) -> str:
    if len(value) > MAX_TEXT:
        value = value[:MAX_TEXT]
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
