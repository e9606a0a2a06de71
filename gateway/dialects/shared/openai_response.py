"""Token counts and service tier of a response in OpenAI's APIs."""

from __future__ import annotations

from typing import Any

from gateway.canon.adaptation import AdaptationReport, approximated_field, dropped_field
from gateway.canon.json_values import list_or_empty
from gateway.canon.response import Usage

Json = dict[str, Any]

# The details that only Chat Completions and Completions have: `CompletionUsage` of the openai SDK.
_PROMPT_DETAILS = ("audio_tokens", "image_tokens", "text_tokens")
_OUTPUT_DETAILS = (
    "audio_tokens",
    "text_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
)


def render_completion_usage(usage: Usage | None) -> Json | None:
    """The `usage` object for a client; None if neither count is known.

    The details without a canonical count are those of a provider with one of these formats.
    """
    if usage is None:
        return None
    prompt, output = usage.prompt_tokens, usage.output
    if prompt is None and output is None:
        return None
    # The official SDK types both as plain integers, so a missing count is 0.
    prompt, output = prompt or 0, output or 0
    out: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
    }
    details = _native_counts(usage, "prompt_tokens_details", _PROMPT_DETAILS)
    if usage.cache_read is not None:
        details["cached_tokens"] = usage.cache_read
    if usage.cache_write is not None:
        details["cache_write_tokens"] = usage.cache_write
    if details:
        out["prompt_tokens_details"] = details
    details = _native_counts(usage, "completion_tokens_details", _OUTPUT_DETAILS)
    if usage.reasoning is not None:
        details["reasoning_tokens"] = usage.reasoning
    if details:
        out["completion_tokens_details"] = details
    return out


def _native_counts(usage: Usage, field: str, names: tuple[str, ...]) -> Json:
    """The counts with these names that the provider reported in a field of its `usage`."""
    details = usage.native.get(field) if usage.native else None
    if not isinstance(details, dict):
        return {}
    return {name: details[name] for name in names if type(details.get(name)) is int}


# --- service tiers --------------------------------------------------------------------------------

# The tiers of `ChatCompletion` and of `Response` in the openai SDK. Some clients, such as those in
# Rust, fail on any other.
CHAT_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
RESPONSES_TIERS = CHAT_TIERS | {"ultrafast"}
# The names of Groq and Mistral.
_EQUIVALENTS = {
    "on_demand": "default",
    "standard": "default",
    "standard_only": "default",
    "performance": "priority",
}


def render_service_tier(
    tier: str | None, known_tiers: frozenset[str], report: AdaptationReport
) -> dict[str, str]:
    """The field with the tier; empty without one, or for one that the API does not define."""
    if tier is None:
        return {}
    sent_tier = _EQUIVALENTS.get(tier, tier)
    if sent_tier in known_tiers:
        return {"service_tier": sent_tier}
    report.add(dropped_field("service_tier", "no equivalent in OpenAI's API", before=tier[:60]))
    return {}


# --- moderation -----------------------------------------------------------------------------------

_MODERATION = "moderation"


def responses_fields(extra: dict[str, Json], report: AdaptationReport) -> Json:
    """The fields that only OpenAI's responses have, for a client of Responses.

    Of moderation, Chat has a list of results for each side, Responses one (the openai SDK's
    types).
    """
    fields: Json = extra.get("openai_responses", {})
    results = extra.get("openai_chat", {}).get(_MODERATION)
    if not isinstance(results, dict) or _MODERATION in fields:
        return fields
    sides = {side: _single_result(result, report) for side, result in results.items()}
    return {**fields, _MODERATION: {side: item for side, item in sides.items() if item is not None}}


def _single_result(result: Any, report: AdaptationReport) -> Any:
    """The result that flags the text, or else the first; None for an empty list."""
    if not isinstance(result, dict) or result.get("type") != "moderation_results":
        return result
    results = [item for item in list_or_empty(result.get("results")) if isinstance(item, dict)]
    if len(results) != 1:
        report.add(approximated_field(_MODERATION, "OpenAI Responses has one result for each side"))
    return next(
        (item for item in results if item.get("flagged") is True), next(iter(results), None)
    )
