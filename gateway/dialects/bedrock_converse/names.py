"""Constants and lookup tables that several modules of this dialect use."""

from __future__ import annotations

from typing import Any

NAME = "bedrock_converse"
Json = dict[str, Any]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# Fields of a model's own, which Converse hands on unread.
MODEL_FIELDS = "additionalModelRequestFields"

# How other dialects mark a document that is a search result.
SEARCH_RESULT_MEDIA_TYPE = "application/x-search-result"

# `stopReason` -> canonical; any other value is an ordinary stop.
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
