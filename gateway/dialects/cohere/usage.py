"""Tokens: a provider's `usage` -> canonical.

`tokens` is what the model read and wrote, `billed_units` the part that is paid for.
"""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage


def usage_in(told: Any) -> Usage | None:
    """The tokens in a `usage` object; None where it counts nothing."""
    if not isinstance(told, dict) or not told:
        return None
    read = _count(told, "input_tokens")
    cached = _whole(told.get("cached_tokens"))
    return Usage(
        input=None if read is None else max(0, read - (cached or 0)),
        cache_read=cached,
        output=_count(told, "output_tokens"),
        native=told,
    )


def _count(told: dict[str, Any], name: str) -> int | None:
    for holder in ("tokens", "billed_units"):
        counts = told.get(holder)
        value = _whole(counts.get(name)) if isinstance(counts, dict) else None
        if value is not None:
            return value
    return None


def _whole(value: Any) -> int | None:
    """Counts are typed as floats there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(0, int(value)) if value == value and abs(value) < 2**53 else None
