"""Token counts: a provider's `usage` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.openai_responses.names import Json

_NOTHING: Json = {}


def usage_in(usage: Any) -> Usage | None:
    """The counts in a `usage` object; None where it says nothing.

    `input_tokens` includes what was read from and written to a cache.
    """
    if not isinstance(usage, dict):
        return None
    details = _object(usage, "input_tokens_details")
    prompt, output = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    read, write = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    if prompt is None and output is None:
        return None
    split = _object(details, "cache_write_tokens_details")
    return Usage(
        input=None if prompt is None else max(0, prompt - (read or 0) - (write or 0)),
        cache_read=read,
        cache_write=write,
        cache_write_1h=_count(split, "ttl_12h_tokens"),
        output=output,
        reasoning=_count(_object(usage, "output_tokens_details"), "reasoning_tokens"),
        native=usage,
    )


def _object(holder: Json, key: str) -> Json:
    value = holder.get(key)
    return value if isinstance(value, dict) else _NOTHING


def _count(counts: Json, name: str) -> int | None:
    value = counts.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return max(0, value) if type(value) is int else None


def usage_out(usage: Usage | None) -> Json | None:
    """The `usage` object for a client; None where neither side of it is known.

    The official SDK types all its counts as plain integers, so the unknown ones of a known
    usage are 0.
    """
    if usage is None or (usage.prompt is None and usage.output is None):
        return None
    prompt, output = usage.prompt or 0, usage.output or 0
    details: Json = {
        "cached_tokens": usage.cache_read or 0,
        "cache_write_tokens": usage.cache_write or 0,
    }
    if usage.cache_write_1h is not None:
        details["cache_write_tokens_details"] = {
            "ttl_30m_tokens": max(0, (usage.cache_write or 0) - usage.cache_write_1h),
            "ttl_12h_tokens": usage.cache_write_1h,
        }
    return {
        "input_tokens": prompt,
        "input_tokens_details": details,
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": prompt + output,
    }
