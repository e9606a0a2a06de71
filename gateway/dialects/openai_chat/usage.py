"""Token counts: a provider's `usage` -> canonical, and back for a client."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage

Json = dict[str, Any]
_NOTHING: Json = {}


def parse_usage(usage: Any) -> Usage | None:
    """The counts in a `usage` object; None where it says nothing.

    `prompt_tokens` includes what was read from and written to a cache. DeepSeek
    splits the prompt itself; Moonshot puts `cached_tokens` beside the totals.
    """
    if not isinstance(usage, dict):
        return None
    details = _object(usage, "prompt_tokens_details")
    read = _count(details.get("cached_tokens"))
    if read is None:
        read = _count(usage.get("prompt_cache_hit_tokens"))
    if read is None:
        read = _count(usage.get("cached_tokens"))
    write = _count(details.get("cache_write_tokens"))
    if write is None:
        write = _count(usage.get("cache_write_tokens"))
    output = _count(usage.get("completion_tokens"))
    prompt = _prompt(usage, output)
    missed = _count(usage.get("prompt_cache_miss_tokens"))
    if prompt is not None:
        missed = max(0, prompt - (read or 0) - (write or 0))
    if missed is None and output is None and read is None:
        return None
    reasoning = _count(_object(usage, "completion_tokens_details").get("reasoning_tokens"))
    return Usage(
        input=missed,
        cache_read=read,
        cache_write=write,
        output=output,
        reasoning=_count(usage.get("reasoning_tokens")) if reasoning is None else reasoning,
        provider_cost=_cost(usage.get("cost")),
        native=usage,
    )


def _prompt(usage: Json, output: int | None) -> int | None:
    """All prompt tokens, from the total where they are not given themselves."""
    prompt = _count(usage.get("prompt_tokens"))
    if prompt is None and output is not None:
        total = _count(usage.get("total_tokens"))
        return None if total is None else max(0, total - output)
    return prompt


def _object(usage: Json, key: str) -> Json:
    value = usage.get(key)
    return value if isinstance(value, dict) else _NOTHING


def _count(value: Any) -> int | None:
    """The value if it is a count; a whole float is one."""
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
