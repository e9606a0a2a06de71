"""Factories of completion bodies and chunks, and shortcuts through the dialect."""

from __future__ import annotations

import json
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.events import Event
from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.openai_completions import DIALECT
from gateway.framing.sse import Decoder, Frame
from tests.stream_grammar import check_stream

# A target that takes all that the dialect can say.
ALL = Traits(
    preset="acme",
    model="acme-1",
    user_field="user",
    top_k=True,
    min_p=True,
    repetition_penalty=True,
)


def body(**fields: Any) -> dict[str, Any]:
    """Return a valid request body with these fields."""
    return {"model": "gw", "prompt": "Say hi", **fields}


def parse(request: dict[str, Any]) -> Request:
    """Return the canonical request of a body."""
    return DIALECT.client.parse_request(request, {})


def render(request: Request | dict[str, Any], traits: Traits = ALL) -> RenderedRequest:
    """Return the rendered request for a target with these traits."""
    canonical_request = parse(request) if isinstance(request, dict) else request
    return DIALECT.provider.render_request(canonical_request, traits)


def reported_fields(report: tuple[Adaptation, ...] | list[Adaptation]) -> list[tuple[str, str]]:
    """Return the reported fields and actions, without the explanations."""
    return [(item.path, item.action) for item in report]


def chunk(text: str = "", finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a stream chunk with one choice."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {
        "id": "cmpl-9",
        "object": "text_completion",
        "created": 1,
        "model": "up",
        "choices": [choice],
        **fields,
    }


def events(*chunks: Any, done: bool = True) -> list[Event]:
    """Return the checked events of a stream of chunks, ended by `[DONE]` by default."""
    parser = DIALECT.provider.stream_parser(ALL, None)
    out: list[Event] = []
    for item in (*chunks, "[DONE]") if done else chunks:
        data = item.encode() if isinstance(item, str) else json.dumps(item).encode()
        out += parser.feed(Frame("", data))
    out += parser.close()
    check_stream(out)
    return out


def response_context(**fields: Any) -> ResponseContext:
    """Return the context of a response renderer."""
    return ResponseContext(**{"id": "1", "created": 1700000000, "model": "up", **fields})


def rendered_frames(stream: list[Event], **fields: Any) -> list[Any]:
    """Return the parsed frames of a client's stream."""
    renderer = DIALECT.client.stream_renderer(response_context(**fields))
    wire = b"".join(renderer.feed(event) for event in stream)
    data = [frame.data.decode() for frame in Decoder().feed(wire)]
    return [item if item == "[DONE]" else json.loads(item) for item in data]
