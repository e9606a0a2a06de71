"""Factories of Responses bodies, items and events, and shortcuts through the dialect."""

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
from gateway.dialects.openai_responses import DIALECT
from gateway.framing.sse import Frame
from tests.stream_grammar import check_stream

USER = {"role": "user", "content": "hi"}
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
PDF = "JVBERi0xLjQK"


def body(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a body with these input items, or with one user message."""
    return {"model": "gw", "input": list(items) or [USER], **fields}


def parse(request: dict[str, Any], stored: dict[str, Any] | None = None) -> Request:
    """Return the canonical request of a body."""
    if stored is not None:
        assert DIALECT.parse_continuation is not None
        return DIALECT.parse_continuation(request, {}, stored)
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
    return {"type": "function", "name": name, "parameters": schema, **fields}


def call(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    """Return a call in the input."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def result(call_id: str = "c1", output: Any = "ok") -> dict[str, Any]:
    """Return a call result in the input."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def response(**fields: Any) -> dict[str, Any]:
    """Return a provider's response object."""
    return {
        "id": "resp_9",
        "object": "response",
        "created_at": 1700000000,
        "model": "up",
        "status": "completed",
        "output": [],
        **fields,
    }


def message(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a message of a response."""
    return {
        "id": "msg_9",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": list(content),
        **fields,
    }


def text(content: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    """Return a text of a message."""
    return {"type": "output_text", "text": content, "annotations": list(annotations)}


def function_call(name: str = "f", arguments: str = "{}", **fields: Any) -> dict[str, Any]:
    """Return a call of a response."""
    return {
        "id": "fc_9",
        "type": "function_call",
        "call_id": "call_9",
        "name": name,
        "arguments": arguments,
        "status": "completed",
        **fields,
    }


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """Return an event of a stream; `kind` is without `response.`."""
    return {"type": f"response.{kind}", "sequence_number": 0, **fields}


def frame(data: Any) -> Frame:
    """Return a named frame; a string is passed unchanged."""
    if isinstance(data, str):
        return Frame("", data.encode())
    name = data.get("type", "") if isinstance(data, dict) else ""
    return Frame(name if isinstance(name, str) else "", json.dumps(data).encode())


CREATED = event("created", response=response(status="in_progress"))


def completed_event(**fields: Any) -> dict[str, Any]:
    """Return the last event."""
    return event("completed", response=response(**fields))


def events(
    *data: Any, rendered_request: RenderedRequest | None = None, **flags: Any
) -> list[Event]:
    """Return the checked events of a stream."""
    parser = DIALECT.provider.stream_parser(traits(**flags), rendered_request)
    out: list[Event] = []
    for item in data:
        out += parser.feed(frame(item))
    out += parser.close()
    check_stream(out)
    return out


def parse_stream(
    *data: Any, rendered_request: RenderedRequest | None = None, **flags: Any
) -> Response:
    """Return the response of a stream; the first and the last event are optional."""
    return fold_events(
        events(CREATED, *data, completed_event(), rendered_request=rendered_request, **flags)
    )


def parse_output(
    *output: dict[str, Any], rendered_request: RenderedRequest | None = None, **fields: Any
) -> Response:
    """Return the canonical response of a whole response."""
    reply = response(output=list(output), **fields)
    return DIALECT.provider.parse_response(reply, traits(), rendered_request)


def response_context(**fields: Any) -> ResponseContext:
    """Return the context of a response renderer."""
    return ResponseContext(**{"id": "1", "created": 1700000000, "model": "up", **fields})


def rendered_frames(stream: list[Event], **fields: Any) -> list[dict[str, Any]]:
    """Return the parsed events of a client's stream."""
    renderer = DIALECT.client.stream_renderer(response_context(**fields))
    out = b"".join(renderer.feed(item) for item in stream)
    payloads = []
    for block in filter(None, out.decode().split("\n\n")):
        name, data = block.split("\n")
        payload = json.loads(data.removeprefix("data: "))
        assert name == f"event: {payload['type']}"
        payloads.append(payload)
    return payloads
