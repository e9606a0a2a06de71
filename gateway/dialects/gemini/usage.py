"""Tokens: a provider's `usageMetadata` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.gemini.names import Json


def usage_in(told: Any) -> Usage | None:
    """The tokens in a `usageMetadata`; None where it counts nothing."""
    if not isinstance(told, dict) or not told:
        return None
    prompt = _count(told, "promptTokenCount")
    cached = _count(told, "cachedContentTokenCount")
    tools = _count(told, "toolUsePromptTokenCount")
    thoughts = _count(told, "thoughtsTokenCount")
    said = _count(told, "candidatesTokenCount")
    known = [count for count in (said, thoughts) if count is not None]
    fresh = None if prompt is None else max(0, prompt - (cached or 0)) + (tools or 0)
    return Usage(
        input=fresh,
        cache_read=cached,
        output=sum(known) if known else None,
        reasoning=thoughts,
        native=told,
    )


def _count(told: Json, name: str) -> int | None:
    value = told.get(name)
    return max(0, value) if type(value) is int else None


def usage_out(usage: Usage | None) -> Json | None:
    """The `usageMetadata` for a client; what is not known is left out."""
    if usage is None or (usage.prompt is None and usage.output is None):
        return None
    out: Json = {}
    if usage.prompt is not None:
        out["promptTokenCount"] = usage.prompt
    if usage.cache_read is not None:
        out["cachedContentTokenCount"] = usage.cache_read
    if usage.output is not None:
        out["candidatesTokenCount"] = max(0, usage.output - (usage.reasoning or 0))
    if usage.reasoning is not None:
        out["thoughtsTokenCount"] = usage.reasoning
    out["totalTokenCount"] = (usage.prompt or 0) + (usage.output or 0)
    return out
