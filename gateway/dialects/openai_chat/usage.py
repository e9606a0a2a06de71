"""Token counts: a provider's `usage` -> canonical, and back for a client."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage

Json = dict[str, Any]
_EMPTY_OBJECT: Json = {}


def parse_usage(usage: Any) -> Usage | None:
    """The counts in a `usage` object; None if it contains none.

    `prompt_tokens` includes tokens read from and written to a cache. DeepSeek splits the
    prompt itself; Moonshot puts `cached_tokens` next to the totals.
    """
    if not isinstance(usage, dict):
        return None
    details = _object(usage, "prompt_tokens_details")
    cache_read = _token_count(details.get("cached_tokens"))
    if cache_read is None:
        cache_read = _token_count(usage.get("prompt_cache_hit_tokens"))
    if cache_read is None:
        cache_read = _token_count(usage.get("cached_tokens"))
    cache_write = _token_count(details.get("cache_write_tokens"))
    if cache_write is None:
        cache_write = _token_count(usage.get("cache_write_tokens"))
    output = _token_count(usage.get("completion_tokens"))
    prompt = _prompt_tokens(usage, output)
    uncached = _token_count(usage.get("prompt_cache_miss_tokens"))
    if prompt is not None:
        uncached = max(0, prompt - (cache_read or 0) - (cache_write or 0))
    if uncached is None and output is None and cache_read is None:
        return None
    reasoning = _token_count(_object(usage, "completion_tokens_details").get("reasoning_tokens"))
    return Usage(
        input=uncached,
        cache_read=cache_read,
        cache_write=cache_write,
        output=output,
        reasoning=_token_count(usage.get("reasoning_tokens")) if reasoning is None else reasoning,
        provider_cost=_cost(usage.get("cost")),
        native=usage,
    )


def _prompt_tokens(usage: Json, output: int | None) -> int | None:
    """All prompt tokens, computed from the total if they are not reported."""
    prompt = _token_count(usage.get("prompt_tokens"))
    if prompt is None and output is not None:
        total = _token_count(usage.get("total_tokens"))
        return None if total is None else max(0, total - output)
    return prompt


def _object(usage: Json, key: str) -> Json:
    value = usage.get(key)
    return value if isinstance(value, dict) else _EMPTY_OBJECT


def _token_count(value: Any) -> int | None:
    """The value as a token count; None if it is not an integer."""
    if type(value) is int:
        return value if value > 0 else 0
    if type(value) is float and value.is_integer():
        return max(0, int(value))
    return None


def _cost(value: Any) -> float | None:
    if type(value) is int or type(value) is float:
        return float(value) if value >= 0 else None
    return None


def render_usage(usage: Usage | None) -> Json | None:
    """The `usage` object for a client; None if neither count is known."""
    if usage is None or (usage.prompt_tokens is None and usage.output is None):
        return None
    # The official SDK types both as plain integers, so a missing count is 0.
    prompt, output = usage.prompt_tokens or 0, usage.output or 0
    out: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
    }
    details: Json = {}
    if usage.cache_read is not None:
        details["cached_tokens"] = usage.cache_read
    if usage.cache_write is not None:
        details["cache_write_tokens"] = usage.cache_write
    if details:
        out["prompt_tokens_details"] = details
    if usage.reasoning is not None:
        out["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return out
