"""Names of the dialect, and the state of rendering one request for a provider."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.shared.render_context import DeduplicatingRenderContext

NAME = "ollama"
Json = dict[str, Any]

CHAT_PATH, GENERATE_PATH, EMBED_PATH, EMBEDDINGS_PATH = (
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
)

# canonical field -> its path in this dialect's requests.
FIELD_PATHS: dict[str, str] = {
    "max_output": "options.num_predict",
    "temperature": "options.temperature",
    "top_p": "options.top_p",
    "top_k": "options.top_k",
    "min_p": "options.min_p",
    "frequency_penalty": "options.frequency_penalty",
    "presence_penalty": "options.presence_penalty",
    "repetition_penalty": "options.repeat_penalty",
    "seed": "options.seed",
    "stop": "options.stop",
    "logprobs": "logprobs",
    "reasoning": "think",
    "effort": "think",
    "format": "format",
    "schema": "format",
    # below the tool's own path
    "tool_schema": "function.parameters",
    "tool_strict": "function.strict",
}
# Fields of /api/generate that have no equivalent in a chat.
PROMPT_ONLY_FIELDS = frozenset({"suffix", "template", "context", "raw", "width", "height", "steps"})
# The durations at the end of a response, in nanoseconds.
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def format_timestamp(seconds: int) -> str:
    """A time as this dialect writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class RenderContext(DeduplicatingRenderContext):
    """The request, the traits of its target, and the report as it grows.

    `hints` are sentences for the model in place of fields that the target does not support.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.hints: list[str] = []
