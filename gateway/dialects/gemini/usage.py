"""Tokens: a provider's `usageMetadata` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.gemini.names import Json


def parse_usage(usage: Any) -> Usage | None:
    """The tokens in a `usageMetadata`; None where it counts nothing."""
    if not isinstance(usage, dict) or not usage:
        return None
    prompt_tokens = _count(usage, "promptTokenCount")
    cached_tokens = _count(usage, "cachedContentTokenCount")
    tool_tokens = _count(usage, "toolUsePromptTokenCount")
    reasoning_tokens = _count(usage, "thoughtsTokenCount")
    answer_tokens = _count(usage, "candidatesTokenCount")
    output_counts = [count for count in (answer_tokens, reasoning_tokens) if count is not None]
    uncached_tokens = (
        None
        if prompt_tokens is None
        else max(0, prompt_tokens - (cached_tokens or 0)) + (tool_tokens or 0)
    )
    return Usage(
        input=uncached_tokens,
        cache_read=cached_tokens,
        output=sum(output_counts) if output_counts else None,
        reasoning=reasoning_tokens,
        native=usage,
    )


def _count(usage: Json, name: str) -> int | None:
    value = usage.get(name)
    return max(0, value) if type(value) is int else None


def render_usage(usage: Usage | None) -> Json | None:
    """The `usageMetadata` for a client, without unknown counts."""
    if usage is None or (usage.prompt_tokens is None and usage.output is None):
        return None
    out: Json = {}
    if usage.prompt_tokens is not None:
        out["promptTokenCount"] = usage.prompt_tokens
    if usage.cache_read is not None:
        out["cachedContentTokenCount"] = usage.cache_read
    if usage.output is not None:
        out["candidatesTokenCount"] = max(0, usage.output - (usage.reasoning or 0))
    if usage.reasoning is not None:
        out["thoughtsTokenCount"] = usage.reasoning
    out["totalTokenCount"] = (usage.prompt_tokens or 0) + (usage.output or 0)
    return out
