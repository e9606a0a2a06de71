"""The `usage` object of OpenAI's Chat Completions and Completions."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Usage

Json = dict[str, Any]

# The details that only these formats have: `CompletionUsage` of the openai SDK.
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
