"""Constants and lookup tables that several modules of this dialect use."""

from __future__ import annotations

from typing import Any

NAME = "anthropic_messages"
Json = dict[str, Any]

# The two versions of the API; the newer one refuses sampling fields.
VERSION = "2023-06-01"

# A search result is a document with a source; this media type tells the two apart.
SEARCH_RESULT_MEDIA_TYPE = "application/x-search-result"

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# Claude Code's first system block: it means something to api.anthropic.com only, and
# its changing version would spoil every other provider's prompt cache.
BILLING_HEADER_PREFIX = "x-anthropic-billing-header:"

# canonical field -> where this dialect's clients write it, where the names differ.
FIELD_PATHS: dict[str, str] = {
    "turns": "messages",
    "max_output": "max_tokens",
    "stop": "stop_sequences",
    "parallel": "tool_choice.disable_parallel_tool_use",
    "thinking": "thinking",
    "budget": "thinking.budget_tokens",
    "visible": "thinking.display",
    "effort": "output_config.effort",
    "format": "output_config.format",
    "schema": "output_config.format.schema",
    "user_id": "metadata.user_id",
    "session_key": "metadata.user_id",
    "cache": "cache_control",
    # below the tool's own path
    "tool_schema": "input_schema",
}

# Fields of an inner object that have no canonical place are kept under a dotted key
# (`output_config.task_budget`), so that a report can name them.
NESTED_OBJECTS = ("output_config", "metadata", "thinking")

# `thinking.display` <-> how much reasoning the client sees.
VISIBILITY_BY_DISPLAY = {"omitted": "none", "summarized": "summary"}
DISPLAY_BY_VISIBILITY = {"none": "omitted", "summary": "summarized", "raw": "summarized"}

# `stop_reason` <-> canonical; any other value is an ordinary stop.
FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}
STOP_REASONS = {
    finish_reason: stop_reason for stop_reason, finish_reason in FINISH_REASONS.items()
} | {"filter": "refusal"}

# `usage.service_tier` <-> canonical.
SERVICE_TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}
