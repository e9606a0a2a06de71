"""Tokens: a provider's `usage` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage
from gateway.dialects.anthropic_messages.names import SERVICE_TIERS, Json

# Fields of `usage` that only this dialect knows, and their types.
_NATIVE_FIELDS: dict[str, type] = {
    "server_tool_use": dict,
    "inference_geo": str,
    "speed": str,
    "iterations": list,
}
_WIRE_TIERS = {canonical_tier: wire_tier for wire_tier, canonical_tier in SERVICE_TIERS.items()}


def parse_usage(usage: Any) -> Usage | None:
    """The tokens in a `usage` object; None where it counts nothing."""
    if not isinstance(usage, dict):
        return None
    created = usage.get("cache_creation")
    written_by_ttl = created if isinstance(created, dict) else {}
    written_5m, written_1h = (
        _count(written_by_ttl, "ephemeral_5m_input_tokens"),
        _count(written_by_ttl, "ephemeral_1h_input_tokens"),
    )
    written = _count(usage, "cache_creation_input_tokens")
    if written is None and (written_5m is not None or written_1h is not None):
        written = (written_5m or 0) + (written_1h or 0)
    details = usage.get("output_tokens_details")
    counts = Usage(
        input=_count(usage, "input_tokens"),
        cache_read=_count(usage, "cache_read_input_tokens"),
        cache_write=written,
        cache_write_1h=written_1h,
        output=_count(usage, "output_tokens"),
        reasoning=_count(details, "thinking_tokens") if isinstance(details, dict) else None,
        native=usage,
    )
    return counts if usage else None


def _count(usage: Json, name: str) -> int | None:
    value = usage.get(name)
    return max(0, value) if type(value) is int else None


# Every event may add to it: a server that makes up names must not make it grow for ever.
_MAX_FIELDS = 100


def merge_usage_fields(old: Json, new: Any) -> Json:
    """Merges a later `usage` object of a stream into an earlier one, field by field.

    Counts only grow; a server that knows one only at the start sends 0 at the end.
    """
    if not isinstance(new, dict):
        return old
    reported_counts = {
        k: v for k, v in new.items() if v is not None and not (v == 0 and old.get(k))
    }
    if len(old) > _MAX_FIELDS:
        reported_counts = {k: v for k, v in reported_counts.items() if k in old}
    return {**old, **reported_counts}


def render_usage(usage: Usage | None) -> Json:
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
    for name, kind in _NATIVE_FIELDS.items():
        if isinstance(value := usage.native.get(name), kind):
            out[name] = value
    return out


def parse_service_tier(usage: Any) -> str | None:
    """The canonical service tier in a `usage` object."""
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    return SERVICE_TIERS.get(tier, tier) if isinstance(tier, str) else None


def render_service_tier(tier: str | None) -> str | None:
    """The service tier's wire value; None if the dialect has none for it."""
    return _WIRE_TIERS.get(tier or "")
