"""Token counts: a provider's `usage` -> canonical, and back for a client."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage

Json = dict[str, Any]


def parse_usage(usage: Any) -> Usage | None:
    """The counts in a `usage` object; None where it says nothing.

    `prompt_tokens` includes what was read from and written to a cache. DeepSeek
    splits the prompt itself; Moonshot puts `cached_tokens` beside the totals.
    """
    if not isinstance(usage, dict):
        return None
    prompt_details = _object(usage, "prompt_tokens_details")
    read = _first(
        _count(prompt_details, "cached_tokens"),
        _count(usage, "prompt_cache_hit_tokens"),
        _count(usage, "cached_tokens"),
    )
    write = _first(
        _count(prompt_details, "cache_write_tokens"),
        _count(usage, "cache_write_tokens"),
    )
    output = _count(usage, "completion_tokens")
    prompt = _prompt(usage, output)
    missed = _count(usage, "prompt_cache_miss_tokens")
    if prompt is not None:
        missed = max(0, prompt - (read or 0) - (write or 0))
    if missed is None and output is None and read is None:
        return None
    details = _object(usage, "completion_tokens_details")
    return Usage(
        input=missed,
        cache_read=read,
        cache_write=write,
        output=output,
        reasoning=_first(_count(details, "reasoning_tokens"), _count(usage, "reasoning_tokens")),
        provider_cost=_cost(usage.get("cost")),
        native=usage,
    )


def _prompt(usage: Json, output: int | None) -> int | None:
    """All prompt tokens, from the total where they are not given themselves."""
    prompt, total = _count(usage, "prompt_tokens"), _count(usage, "total_tokens")
    if prompt is None and total is not None and output is not None:
        return max(0, total - output)
    return prompt


def _object(usage: Json, key: str) -> Json:
    value = usage.get(key)
    return value if isinstance(value, dict) else {}


def _count(usage: Json, key: str) -> int | None:
    value = usage.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return max(0, value) if type(value) is int else None


def _cost(value: Any) -> float | None:
    if type(value) is int or type(value) is float:
        return float(value) if value >= 0 else None
    return None


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


def render_usage(usage: Usage | None) -> Json | None:
    """The `usage` object for a client; None where neither side of it is known."""
    if usage is None or (usage.prompt is None and usage.output is None):
        return None
    # The official SDK types both as plain integers, so the unknown half of a known pair is 0.
    prompt, output = usage.prompt or 0, usage.output or 0
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
