"""Token counts, parsed and rendered."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.openai_completions.names import Json


def parse_usage(usage: Any) -> Usage | None:
    """The counts in a `usage` object; None if it contains none."""
    if not isinstance(usage, dict):
        return None
    prompt, output = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if prompt is None and output is None:
        return None
    cache_read = _count(_object(usage, "prompt_tokens_details"), "cached_tokens")
    uncached = None if prompt is None else max(0, prompt - (cache_read or 0))
    reasoning = _count(_object(usage, "completion_tokens_details"), "reasoning_tokens")
    return Usage(
        input=uncached, cache_read=cache_read, output=output, reasoning=reasoning, native=usage
    )


def _object(usage: Json, key: str) -> Json:
    value = usage.get(key)
    return value if isinstance(value, dict) else {}


def _count(counts: Json, name: str) -> int | None:
    value = counts.get(name)
    return max(0, value) if type(value) is int else None


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
    if usage.cache_read is not None:
        out["prompt_tokens_details"] = {"cached_tokens": usage.cache_read}
    if usage.reasoning is not None:
        out["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return out
