"""Names of the dialect, and the state of rendering one request."""

from __future__ import annotations

from typing import Any

from gateway.canon.adaptation import approximated_field
from gateway.canon.request import CacheBreakpoint, Request
from gateway.canon.traits import Traits
from gateway.dialects.shared.claude import MAX_CACHE_BREAKPOINTS, ClaudeRenderContext
from gateway.dialects.shared.render_context import CallIds

NAME = "bedrock_converse"
Json = dict[str, Any]


# Fields that are specific to a model, which Converse passes on unread.
MODEL_FIELDS = "additionalModelRequestFields"

# `stopReason` -> canonical; any other value is read as a normal stop.
FINISH_REASONS = {
    "end_turn": "stop",
    "tool_use": "tool",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "malformed_model_output": "malformed",
    "malformed_tool_use": "malformed",
    "model_context_window_exceeded": "context",
}

# Media type -> the format's name.
IMAGE_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
DOCUMENT_FORMATS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
AUDIO_FORMATS = frozenset(
    {
        "mp3",
        "opus",
        "wav",
        "aac",
        "flac",
        "mp4",
        "ogg",
        "mkv",
        "mka",
        "m4a",
        "mpeg",
        "mpga",
        "pcm",
        "webm",
    }
)
# Values of `anthropic-beta` that Bedrock's models know; it refuses any other.
SUPPORTED_BETAS = frozenset(
    {
        "interleaved-thinking-2025-05-14",
        "context-1m-2025-08-07",
        "fine-grained-tool-streaming-2025-05-14",
        "token-efficient-tools-2025-02-19",
        "output-128k-2025-02-19",
    }
)


# The length of a call id before an appended number.
_NUMBERED_ID_PREFIX_LENGTH = 60


class RenderContext(ClaudeRenderContext):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        model_fields: `additionalModelRequestFields`.
    """

    _EFFORT_OBJECT = "outputConfig"

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits, CallIds("bedrock64", _NUMBERED_ID_PREFIX_LENGTH))
        self.model_fields: Json = {}
        self._titles: set[str] = set()
        # Title prefix -> the last number tried after it.
        self._last_numbers: dict[str, int] = {}

    def unique_title(self, requested_title: str) -> str:
        """A document's name that no other document of the request has."""
        sent_title, prefix = requested_title, requested_title[:190]
        if sent_title in self._titles:
            number = self._last_numbers.get(prefix, 1) + 1
            while (sent_title := f"{prefix} ({number})") in self._titles:
                number += 1
            self._last_numbers[prefix] = number
        self._titles.add(sent_title)
        return sent_title

    def add_cache_breakpoint(self, blocks: list[Json], cache: CacheBreakpoint | None) -> None:
        """Append a cache breakpoint to the blocks, if the target supports it."""
        if cache is None or not blocks:
            return
        if self.traits.cache != "cachePoint":
            self.drop_cache_marks(cache)
            return
        cache_point: Json = {"type": "default"}
        if cache.ttl == "1h" and not self.traits.cache_hour:
            path = self.request.client_paths.get("cache", "cache_control")
            reason = f"{self.model} caches for 5 minutes"
            adaptation = approximated_field(path, reason, before="1h", after="5m")
            if adaptation not in self.report:
                self._record_adaptation(adaptation)
        elif cache.ttl in {"5m", "1h"}:
            cache_point["ttl"] = cache.ttl
        blocks.append({"cachePoint": cache_point})

    def limit_cache_breakpoints(self, body: Json) -> None:
        """Keep the last four cache breakpoints: the longest prefixes save the most."""
        tools = body.get("toolConfig", {}).get("tools", [])
        contents = [message["content"] for message in body["messages"]]
        block_lists = [tools, body.get("system", []), *contents]
        for blocks in block_lists:
            # Blocks before a cache breakpoint may have been dropped.
            blocks[:] = [
                item
                for preceding, item in zip([{"cachePoint": {}}, *blocks], blocks, strict=False)
                if not ("cachePoint" in item and "cachePoint" in preceding)
            ]
        breakpoint_ids = [
            id(item) for blocks in block_lists for item in blocks if "cachePoint" in item
        ]
        surplus_ids = set(breakpoint_ids[:-MAX_CACHE_BREAKPOINTS])
        if not surplus_ids:
            return
        for blocks in block_lists:
            blocks[:] = [item for item in blocks if id(item) not in surplus_ids]
        path = self.request.client_paths.get("cache", "cache_control")
        self.approximate(path, f"only the last {MAX_CACHE_BREAKPOINTS} cache breakpoints are sent")
