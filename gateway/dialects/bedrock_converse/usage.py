"""Tokens: a provider's `usage` -> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.bedrock_converse.names import Json


def usage_in(told: Any) -> Usage | None:
    """The tokens in a `usage` object; None where it counts nothing."""
    if not isinstance(told, dict) or not told:
        return None
    return Usage(
        input=_count(told, "inputTokens"),
        cache_read=_count(told, "cacheReadInputTokens"),
        cache_write=_count(told, "cacheWriteInputTokens"),
        cache_write_1h=_long(told.get("cacheDetails")),
        output=_count(told, "outputTokens"),
        native=told,
    )


def _count(told: Json, name: str) -> int | None:
    value = told.get(name)
    return max(0, value) if type(value) is int else None


def _long(details: Any) -> int | None:
    """The tokens that were written for an hour."""
    rows = details if isinstance(details, list) else []
    counts = [
        _count(row, "inputTokens") or 0
        for row in rows
        if isinstance(row, dict) and row.get("ttl") == "1h"
    ]
    return sum(counts) if counts else None


def tier_in(told: Any) -> str | None:
    """The canonical service tier that an answer tells."""
    kind = told.get("type") if isinstance(told, dict) else None
    return kind if isinstance(kind, str) else None
