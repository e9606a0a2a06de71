"""Provider responses with given content, parsed by their dialects."""

from __future__ import annotations

from typing import Any

from gateway.canon.request import Part, ToolCall
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS

Json = dict[str, Any]


def call_identity(part: Part) -> object:
    """Return what no two parts of a response share: the id of a call."""
    return part.id if isinstance(part, ToolCall) else object()


def claude(*content: Json) -> Response:
    """Return an Anthropic message with these blocks."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": list(content),
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    return DIALECTS["anthropic_messages"].provider.parse_response(body, Traits(), None)


def gpt(*output: Json) -> Response:
    """Return an OpenAI response with these items."""
    body = {"id": "r", "object": "response", "status": "completed", "output": list(output)}
    return DIALECTS["openai_responses"].provider.parse_response(body, Traits(), None)
