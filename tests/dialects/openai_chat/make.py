"""Factories of Chat bodies and chunks, and shortcuts through the dialect."""

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
from gateway.dialects.openai_chat import DIALECT
from gateway.framing.sse import Frame
from tests.stream_grammar import check_stream

USER = {"role": "user", "content": "hi"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQK"


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
    return Traits(**{"preset": "acme", "model": "acme-1", **flags})


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


def call(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    """Return a call of an assistant message."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant_calls(*calls: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return an assistant message with calls only."""
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **fields}


def result(call_id: str = "c1", content: Any = "ok", **fields: Any) -> dict[str, Any]:
    """Return a tool message."""
    return {"role": "tool", "tool_call_id": call_id, "content": content, **fields}


def chunk(
    delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any
) -> dict[str, Any]:
    """Return a stream chunk with one choice."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {
        "id": "chatcmpl-9",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "up",
        "choices": [choice],
        **fields,
    }


def call_delta(index: int | None = 0, **fields: Any) -> dict[str, Any]:
    """Return a delta with a fragment of a call; `name` and `arguments` go into its function."""
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    item = {**({} if index is None else {"index": index}), **fields, "function": function}
    return {"tool_calls": [item]}


def frame(data: Any) -> Frame:
    """Return a data-only frame; a string is passed unchanged."""
    return Frame("", data.encode() if isinstance(data, str) else json.dumps(data).encode())


def events(
    *chunks: Any, rendered_request: RenderedRequest | None = None, done: bool = True, **flags: Any
) -> list[Event]:
    """Return the checked events of a stream of chunks, ended by `[DONE]` by default."""
    parser = DIALECT.provider.stream_parser(traits(**flags), rendered_request)
    out: list[Event] = []
    for item in (*chunks, "[DONE]") if done else chunks:
        out += parser.feed(frame(item))
    out += parser.close()
    check_stream(out)
    return out


def parse_chunks(
    *chunks: Any, rendered_request: RenderedRequest | None = None, **flags: Any
) -> Response:
    """Return the response of a stream of chunks."""
    return fold_events(events(*chunks, rendered_request=rendered_request, **flags))


def response_context(**fields: Any) -> ResponseContext:
    """Return the context of a response renderer."""
    return ResponseContext(**{"id": "1", "created": 1700000000, "model": "up", **fields})


def rendered_frames(stream: list[Event], **fields: Any) -> list[Any]:
    """Return the parsed frames of a client's stream."""
    renderer = DIALECT.client.stream_renderer(response_context(**fields))
    out = b"".join(renderer.feed(event) for event in stream)
    lines = [line for line in out.decode().split("\n\n") if line]
    data = [line.removeprefix("data: ") for line in lines]
    return [item if item == "[DONE]" else json.loads(item) for item in data]
