"""Token counts: a provider's `usage` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.openai_responses.names import Json

_EMPTY_OBJECT: Json = {}


def usage_in(usage: Any) -> Usage | None:
    """The counts in a `usage` object; None if it contains none.

    `input_tokens` includes tokens read from and written to a cache.
    """
    if not isinstance(usage, dict):
        return None
    details = _object(usage, "input_tokens_details")
    prompt, output = _token_count(usage, "input_tokens"), _token_count(usage, "output_tokens")
    cache_read, cache_write = (
        _token_count(details, "cached_tokens"),
        _token_count(details, "cache_write_tokens"),
    )
    if prompt is None and output is None:
        return None
    split = _object(details, "cache_write_tokens_details")
    return Usage(
        input=None if prompt is None else max(0, prompt - (cache_read or 0) - (cache_write or 0)),
        cache_read=cache_read,
        cache_write=cache_write,
        cache_write_1h=_token_count(split, "ttl_12h_tokens"),
        output=output,
        reasoning=_token_count(_object(usage, "output_tokens_details"), "reasoning_tokens"),
        native=usage,
    )


def _object(holder: Json, key: str) -> Json:
    value = holder.get(key)
    return value if isinstance(value, dict) else _EMPTY_OBJECT


def _token_count(counts: Json, name: str) -> int | None:
    value = counts.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return max(0, value) if type(value) is int else None


def usage_out(usage: Usage | None) -> Json | None:
    """The `usage` object for a client; None if neither count is known.

    The official SDK types all counts as plain integers, so missing counts are 0.
    """
    if usage is None or (usage.prompt_tokens is None and usage.output is None):
        return None
    prompt, output = usage.prompt_tokens or 0, usage.output or 0
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
