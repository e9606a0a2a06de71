"""Tokens: a provider's `usage` -> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.bedrock_converse.names import Json


def parse_usage(usage: Any) -> Usage | None:
    """The tokens in a `usage` object; None where it counts nothing."""
    if not isinstance(usage, dict) or not usage:
        return None
    return Usage(
        input=_count(usage, "inputTokens"),
        cache_read=_count(usage, "cacheReadInputTokens"),
        cache_write=_count(usage, "cacheWriteInputTokens"),
        cache_write_1h=_count_written_1h(usage.get("cacheDetails")),
        output=_count(usage, "outputTokens"),
        native=usage,
    )


def _count(usage: Json, name: str) -> int | None:
    value = usage.get(name)
    return max(0, value) if type(value) is int else None


def _count_written_1h(details: Any) -> int | None:
    """The tokens that were written for an hour."""
    details_rows = details if isinstance(details, list) else []
    counts = [
        _count(row, "inputTokens") or 0
        for row in details_rows
        if isinstance(row, dict) and row.get("ttl") == "1h"
    ]
    return sum(counts) if counts else None


def parse_service_tier(service_tier: Any) -> str | None:
    """The canonical service tier that an answer tells."""
    kind = service_tier.get("type") if isinstance(service_tier, dict) else None
    return kind if isinstance(kind, str) else None
