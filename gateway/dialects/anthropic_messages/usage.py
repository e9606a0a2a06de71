"""Tokens: a provider's `usage` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.anthropic_messages.names import TIERS, Json

_TIERS_OUT = {told: word for word, told in TIERS.items()}


def usage_in(usage: Any) -> Usage | None:
    """The tokens in a `usage` object; None where it counts nothing."""
    if not isinstance(usage, dict):
        return None
    created = usage.get("cache_creation")
    split = created if isinstance(created, dict) else {}
    short, long = (
        _count(split, "ephemeral_5m_input_tokens"),
        _count(split, "ephemeral_1h_input_tokens"),
    )
    written = _count(usage, "cache_creation_input_tokens")
    if written is None and (short is not None or long is not None):
        written = (short or 0) + (long or 0)
    details = usage.get("output_tokens_details")
    found = Usage(
        input=_count(usage, "input_tokens"),
        cache_read=_count(usage, "cache_read_input_tokens"),
        cache_write=written,
        cache_write_1h=long,
        output=_count(usage, "output_tokens"),
        reasoning=_count(details, "thinking_tokens") if isinstance(details, dict) else None,
        native=usage,
    )
    return found if usage else None


def _count(usage: Json, name: str) -> int | None:
    value = usage.get(name)
    return max(0, value) if type(value) is int else None


def merged(old: Json, new: Any) -> Json:
    """The later `usage` of a stream over the earlier one, field by field.

    Counts only grow; a server that knows one only at the start sends 0 at the end.
    """
    if not isinstance(new, dict):
        return old
    said = {k: v for k, v in new.items() if v is not None and not (v == 0 and old.get(k))}
    return {**old, **said}


def usage_out(usage: Usage | None) -> Json:
    """The `usage` object; the API promises its counts, so unknown ones are 0."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    out: Json = {
        "input_tokens": usage.input or 0,
        "cache_read_input_tokens": usage.cache_read or 0,
        "cache_creation_input_tokens": usage.cache_write or 0,
        "output_tokens": usage.output or 0,
    }
    if usage.cache_write_1h is not None:
        out["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(0, (usage.cache_write or 0) - usage.cache_write_1h),
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    if usage.reasoning is not None:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if isinstance(usage.native.get("server_tool_use"), dict):
        out["server_tool_use"] = usage.native["server_tool_use"]
    return out


def tier_in(usage: Any) -> str | None:
    """The canonical service tier in a `usage` object."""
    told = usage.get("service_tier") if isinstance(usage, dict) else None
    return TIERS.get(told, told) if isinstance(told, str) else None


def tier_out(tier: str | None) -> str | None:
    """The service tier in this dialect's words; None for one it has no word for."""
    return _TIERS_OUT.get(tier or "")
