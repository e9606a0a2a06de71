"""OpenAI's cache breakpoints, which Chat Completions and Responses share."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import CacheBreakpoint
from gateway.dialects.shared.fields import string_or_empty

# Canonical TTL of a cache breakpoint <-> OpenAI's.
_OPENAI_TTL = {"5m": "30m", "1h": "12h"}
_CANONICAL_TTL = {openai_ttl: ttl for ttl, openai_ttl in _OPENAI_TTL.items()}


def render_openai_breakpoint(cache: CacheBreakpoint) -> dict[str, str]:
    """The `prompt_cache_breakpoint` of a part."""
    ttl = _OPENAI_TTL.get(cache.ttl or "")
    return {"mode": "explicit", "ttl": ttl} if ttl else {"mode": "explicit"}


def parse_openai_breakpoint(part: dict[str, Any]) -> CacheBreakpoint | None:
    """The cache breakpoint in the `prompt_cache_breakpoint` of a client's part."""
    cache_breakpoint = part.get("prompt_cache_breakpoint")
    if not isinstance(cache_breakpoint, dict):
        return None
    return CacheBreakpoint(ttl=_CANONICAL_TTL.get(string_or_empty(cache_breakpoint.get("ttl"))))
