"""Tokens: a provider's `usage` -> canonical.

`tokens` is what the model read and wrote, `billed_units` the part that is paid for.
"""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage


def parse_usage(usage: Any) -> Usage | None:
    """The tokens in a `usage` object; None where it counts nothing."""
    if not isinstance(usage, dict) or not usage:
        return None
    input_tokens = _count(usage, "input_tokens")
    cached_tokens = _count_or_none(usage.get("cached_tokens"))
    return Usage(
        input=None if input_tokens is None else max(0, input_tokens - (cached_tokens or 0)),
        cache_read=cached_tokens,
        output=_count(usage, "output_tokens"),
        native=usage,
    )


def _count(usage: dict[str, Any], name: str) -> int | None:
    for counts_name in ("tokens", "billed_units"):
        counts = usage.get(counts_name)
        value = _count_or_none(counts.get(name)) if isinstance(counts, dict) else None
        if value is not None:
            return value
    return None


def _count_or_none(value: Any) -> int | None:
    """Counts are typed as floats there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(0, int(value)) if value == value and abs(value) < 2**53 else None
