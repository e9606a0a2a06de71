"""Names of the dialect, and the state of rendering one request for a provider."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import CacheBreakpoint, Request
from gateway.canon.traits import Traits
from gateway.dialects.shared.claude import ClaudeRenderContext
from gateway.dialects.shared.render_context import CallIds

NAME = "anthropic_messages"
Json = dict[str, Any]

# The older version of the API; the newer one refuses sampling fields.
VERSION = "2023-06-01"

# canonical field -> its path in this dialect's requests, where the names differ.
FIELD_PATHS: dict[str, str] = {
    "turns": "messages",
    "max_output": "max_tokens",
    "stop": "stop_sequences",
    "parallel": "tool_choice.disable_parallel_tool_use",
    "reasoning": "thinking",
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

# Fields of an inner object without a canonical equivalent are stored under a dotted key
# (`output_config.task_budget`), so that a report can name them.
NESTED_OBJECTS = ("output_config", "metadata", "thinking")

# `thinking.display` -> how much reasoning the client sees.
VISIBILITY_BY_DISPLAY = {"omitted": "none", "summarized": "summary"}

# `stop_reason` <-> canonical; any other value is read as a normal stop.
FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool",
    # The conversation was compacted; like a paused turn, the next request continues it.
    "compaction": "pause",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}
STOP_REASONS = {
    finish_reason: stop_reason for stop_reason, finish_reason in FINISH_REASONS.items()
} | {"filter": "refusal"}

# `usage.service_tier` <-> canonical.
SERVICE_TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}


class RenderContext(ClaudeRenderContext):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        same_dialect: whether the client uses this dialect too: omitted fields are then
            intentional, and its values have the same meaning here.
        requires_older_version: whether something is sent that only the older version of the
            API accepts.
        blocks_with_breakpoint: the rendered blocks that have a cache breakpoint, in order.
    """

    _EFFORT_OBJECT = "output_config"

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits, CallIds(traits.tool_id_rule))
        self.same_dialect = request.version is not None
        self.requires_older_version = False
        self.blocks_with_breakpoint: list[Json] = []

    def add_cache_breakpoint(self, block: Json, cache: CacheBreakpoint | None) -> Json:
        """Add the cache breakpoint to the block, if the target supports it."""
        if cache is None:
            return block
        if self.traits.cache == "cache_control":
            block["cache_control"] = render_cache_control(cache)
            self.blocks_with_breakpoint.append(block)
        else:
            self.drop_cache_marks(cache)
        return block

    def limit_cache_breakpoints(self, limit: int) -> None:
        """Keep the last `limit` cache breakpoints: the longest prefixes save the most."""
        surplus = self.blocks_with_breakpoint[: max(0, len(self.blocks_with_breakpoint) - limit)]
        for block in surplus:
            del block["cache_control"]
        if surplus:
            path = self.request.client_paths.get("cache", "cache_control")
            self.approximate(path, f"only the last {limit} cache breakpoints are sent")


def render_cache_control(cache: CacheBreakpoint) -> Json:
    """A `cache_control`; an unknown lifetime is omitted."""
    if cache.ttl in {"5m", "1h"}:
        return {"type": "ephemeral", "ttl": cache.ttl}
    return {"type": "ephemeral"}
