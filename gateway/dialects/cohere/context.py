"""Names of the dialect, and the state of rendering one request."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.shared.render_context import ToolNamingRenderContext

NAME = "cohere"
DOCUMENTS = "documents"
Json = dict[str, Any]

# `finish_reason` -> canonical; any other value is read as a normal stop.
FINISH_REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool",
}
# A `finish_reason` that is a failure -> its kind.
FAILURE_KINDS = {
    "ERROR": "upstream_error",
    "ERROR_TOXIC": "content_policy",
    "ERROR_LIMIT": "context_length",
    "TIMEOUT": "timeout",
}


class RenderContext(ToolNamingRenderContext):
    """The state of rendering one request; `documents` are those that the model may cite."""

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.documents: list[Json] = []
