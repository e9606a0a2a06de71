"""Traits and edits that several rows of the catalog share."""

from __future__ import annotations

from typing import Any

from gateway.providers.profile import Edit, Preset

TraitValues = dict[str, Any]

_TOO_LONG_REASON = "longer than the provider accepts"

# A server with OpenAI's Chat API of about 2024, the common subset of compatible servers.
# OpenAI's newer fields are left to the servers known to accept them.
COMPATIBLE: TraitValues = {
    "max_tokens_field": "max_tokens",
    "user_field": "user",
    "session_field": "none",
    "metadata": False,
    "store": False,
    "service_tier": False,
    "pdf": False,
    "text_parts": False,
    "web_search_options": False,
}

# A server with Anthropic's Messages API that is not Anthropic.
MESSAGES_COMPATIBLE: TraitValues = {
    "temperature_max": 1.0,
    "penalties": False,
    "seed": False,
    "n_max": 1,
    "logprobs": False,
    "logit_bias": False,
    "metadata": False,
    "store": False,
    "service_tier": False,
    "session_field": "none",
    "stop_max": None,
    "top_k": True,
    "structured": "none",
    "strict_tools": False,
    "mid_system": False,
    "tool_result_images": True,
    "cache": "cache_control",
    "tool_id_rule": "word",
    "replay_reasoning": "native",
}

# Anthropic itself; its models' own traits are in `families`.
ANTHROPIC: TraitValues = {
    **MESSAGES_COMPATIBLE,
    "service_tier": True,
    "structured": "schema",
    "strict_tools": True,
    "mid_system": True,
    "count_tokens": "endpoint",
    "web_search": "web_search_20260318",
    "mcp_servers": True,
    "message_threads": True,
    "code_execution": "code_execution_20250825",
}

# Bedrock's Converse with Claude; what other models lack is in `families`.
CONVERSE: TraitValues = {
    **MESSAGES_COMPATIBLE,
    "metadata": True,
    "service_tier": True,
    "structured": "schema",
    "strict_tools": True,
    "image_urls": False,
    "cache": "cachePoint",
    "tool_id_rule": "bedrock64",
    "reasoning_request": "thinking",
    "count_tokens": "endpoint",
    "user_field": "user",
}

# End-user ids that OpenAI's older APIs reject as too long.
SHORTEN_USER_IDS = (
    Edit(op="shorten", path="user", value=64, reason=_TOO_LONG_REASON),
    Edit(op="shorten", path="safety_identifier", value=64, reason=_TOO_LONG_REASON),
)

USE_OLDER_NAMES = (
    Edit(op="rename", path="max_completion_tokens", value="max_tokens"),
    Edit(op="map", path="messages[].role", value={"developer": "system"}),
)


# GLM models on the two platforms of their vendor, Z.ai and Zhipu.
GLM: TraitValues = {
    "reasoning_request": "thinking",
    "reasoning_field": "reasoning_content",
    "replay_reasoning": "native",
    "structured": "json",
    "forced_tools": False,
    "user_field": "none",
    "n_max": 1,
    "stop_max": 1,
    "temperature_max": 1.0,
}


def compatible_preset(
    *, traits: TraitValues, edits: tuple[Edit, ...] = USE_OLDER_NAMES, **fields: Any
) -> Preset:
    """Return a row for a server with OpenAI's Chat API: `COMPATIBLE` with these traits."""
    return Preset(traits={**COMPATIBLE, **traits}, edits=edits, **fields)


# Fields of OpenAI's Chat that servers with their own list of fields reject.
NEWER_FIELDS = (
    "audio",
    "modalities",
    "moderation",
    "prompt_cache_options",
    "prompt_cache_retention",
)


def drop_edits(reason: str, *paths: str) -> tuple[Edit, ...]:
    """Return edits that drop these fields, each for the same reason."""
    return tuple(Edit(op="drop", path=path, reason=reason) for path in paths)


# The gateway reads the first as LiteLLM's or OpenRouter's; the second is LiteLLM's and vLLM's.
GATEWAY_FIELDS = ("session_id", "priority")
DROP_GATEWAY_FIELDS = drop_edits("OpenAI's API does not have this field", *GATEWAY_FIELDS)

# LiteLLM as a client adds these to the responses that it sends back; a provider that
# validates messages rejects them (BerriAI/litellm#25595, #30882).
DROP_LITELLM_MARKERS = drop_edits(
    "a LiteLLM marker that the provider rejects",
    "messages[].provider_specific_fields",
    "messages[].thinking_blocks",
)
