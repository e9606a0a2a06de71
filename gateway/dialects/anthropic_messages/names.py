"""The words of this dialect that several of its modules use, as tables."""

from __future__ import annotations

from typing import Any

NAME = "anthropic_messages"
Json = dict[str, Any]

# The two versions of the API; the newer one refuses sampling fields.
VERSION = "2023-06-01"

# A search result is a document with a source; this media type tells the two apart.
SEARCH_RESULT = "application/x-search-result"

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# Claude Code's first system block: it means something to api.anthropic.com only, and
# its changing version would spoil every other provider's prompt cache.
BILLING = "x-anthropic-billing-header:"

# canonical field -> where this dialect's clients write it, where the names differ.
PATHS: dict[str, str] = {
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
NESTED = ("output_config", "metadata", "thinking")

# `thinking.display` <-> how much of the reasoning is shown.
VISIBLE = {"omitted": "none", "summarized": "summary"}
DISPLAY = {"none": "omitted", "summary": "summarized", "raw": "summarized"}

# `stop_reason` <-> canonical; what is not listed is an ordinary stop.
REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}
STOP_REASONS = {reason: word for word, reason in REASONS.items()} | {"filter": "refusal"}

# `usage.service_tier` <-> canonical.
TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}
