"""Factories of Ollama bodies and lines, and shortcuts through the dialect."""

from __future__ import annotations

import json
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.events import Event
from gateway.canon.fold import fold_events
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.ollama import DIALECT
from gateway.framing.ndjson import Decoder
from gateway.framing.sse import Frame
from tests.stream_grammar import check_stream

USER = {"role": "user", "content": "hi"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
# A target that takes all that the dialect can say.
ALL = Traits(
    preset="acme",
    model="acme-1",
    reasoning=True,
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    top_k=True,
    min_p=True,
    repetition_penalty=True,
    prefill=True,
    stop_max=None,
    replay_reasoning="native",
)


def body(**fields: Any) -> dict[str, Any]:
    """Return a valid request body with these fields."""
    return {"model": "gw", "messages": [USER], **fields}


def request_body(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a request body with these messages."""
    return body(messages=list(messages), **fields)


def parse(request: dict[str, Any]) -> Request:
    """Return the canonical request of a body."""
    return DIALECT.client.parse_request(request, {})


def traits(**flags: Any) -> Traits:
    """Return traits with every capability except as `flags` say."""
    return Traits(**{**{n: getattr(ALL, n) for n in ALL.__struct_fields__}, **flags})


def render(request: Request | dict[str, Any], **flags: Any) -> RenderedRequest:
    """Return the rendered request for a target with these traits."""
    canonical_request = parse(request) if isinstance(request, dict) else request
    return DIALECT.provider.render_request(canonical_request, traits(**flags))


def reported_fields(report: tuple[Adaptation, ...] | list[Adaptation]) -> list[tuple[str, str]]:
    """Return the reported fields and actions, without the explanations."""
    return [(item.path, item.action) for item in report]


def tool(name: str = "f", **fields: Any) -> dict[str, Any]:
    """Return a function tool."""
    schema = {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, "parameters": schema, **fields}}


def assistant_calls(*calls: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    """Return an assistant message with calls only."""
    items = [{"function": {"name": name, "arguments": arguments}} for name, arguments in calls]
    return {"role": "assistant", "content": "", "tool_calls": items, **fields}


def result(name: str = "f", content: str = "ok", **fields: Any) -> dict[str, Any]:
    """Return a tool message."""
    return {"role": "tool", "tool_name": name, "content": content, **fields}


def line(message: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return a line of a stream."""
    turn = {"role": "assistant", "content": "", **(message or {})}
    return {"model": "up", "created_at": "t", "message": turn, "done": False, **fields}


def last_line(reason: str = "stop", **fields: Any) -> dict[str, Any]:
    """Return the last line of a stream."""
    return line(done=True, done_reason=reason, **fields)


def events(
    *lines: Any, rendered_request: RenderedRequest | None = None, **flags: Any
) -> list[Event]:
    """Return the checked events of a stream of lines; a string is passed unchanged."""
    parser = DIALECT.provider.stream_parser(traits(**flags), rendered_request)
    out: list[Event] = []
    for item in lines:
        data = item.encode() if isinstance(item, str) else json.dumps(item).encode()
        out += parser.feed(Frame("", data))
    out += parser.close()
    check_stream(out)
    return out


def parse_lines(
    *lines: Any, rendered_request: RenderedRequest | None = None, **flags: Any
) -> Response:
    """Return the response of a stream of lines."""
    return fold_events(events(*lines, rendered_request=rendered_request, **flags))


def response_context(**fields: Any) -> ResponseContext:
    """Return the context of a response renderer."""
    return ResponseContext(**{"id": "1", "created": 1700000000, "model": "up", **fields})


def rendered_lines(stream: list[Event], **fields: Any) -> list[Any]:
    """Return the parsed lines of a client's stream."""
    renderer = DIALECT.client.stream_renderer(response_context(**fields))
    wire = b"".join(renderer.feed(event) for event in stream)
    return [json.loads(frame.data) for frame in Decoder().feed(wire)]
