"""Small Responses bodies, items, events and their way through the dialect."""

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
    """A request body with these input items, or one user message."""
    return {"model": "gw", "input": list(items) or [USER], **fields}


def parse(request: dict[str, Any], stored: dict[str, Any] | None = None) -> Request:
    """The canonical request of a body."""
    if stored is not None:
        assert DIALECT.parse_continuation is not None
        return DIALECT.parse_continuation(request, {}, stored)
    return DIALECT.client.parse_request(request, {})


def traits(**flags: Any) -> Traits:
    """A target that can all but what `flags` say."""
    return Traits(**{"preset": "acme", "model": "acme-1", **flags})


def render(request: Request | dict[str, Any], **flags: Any) -> RenderedRequest:
    """What goes to a target with these traits."""
    canonical_request = parse(request) if isinstance(request, dict) else request
    return DIALECT.provider.render_request(canonical_request, traits(**flags))


def reported_fields(report: tuple[Adaptation, ...] | list[Adaptation]) -> list[tuple[str, str]]:
    """What was reported, without the words."""
    return [(item.path, item.action) for item in report]


def tool(name: str = "f", **fields: Any) -> dict[str, Any]:
    """A function tool."""
    schema = {"type": "object", "properties": {}}
    return {"type": "function", "name": name, "parameters": schema, **fields}


def call(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    """A call in the input."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def result(call_id: str = "c1", output: Any = "ok") -> dict[str, Any]:
    """A result in the input."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def response(**fields: Any) -> dict[str, Any]:
    """A provider's response object."""
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
    """A message of an answer."""
    return {
        "id": "msg_9",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": list(content),
        **fields,
    }


def text(words: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    """A text of a message."""
    return {"type": "output_text", "text": words, "annotations": list(annotations)}


def function_call(name: str = "f", arguments: str = "{}", **fields: Any) -> dict[str, Any]:
    """A call of an answer."""
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
    """An event of a stream; `kind` without `response.`."""
    return {"type": f"response.{kind}", "sequence_number": 0, **fields}


def frame(data: Any) -> Frame:
    """A named frame; a string goes in as it is."""
    if isinstance(data, str):
        return Frame("", data.encode())
    name = data.get("type", "") if isinstance(data, dict) else ""
    return Frame(name if isinstance(name, str) else "", json.dumps(data).encode())


CREATED = event("created", response=response(status="in_progress"))


def completed(**fields: Any) -> dict[str, Any]:
    """The last event."""
    return event("completed", response=response(**fields))


def events(*data: Any, rendered: RenderedRequest | None = None, **flags: Any) -> list[Event]:
    """The checked events of a stream."""
    parser = DIALECT.provider.stream_parser(traits(**flags), rendered)
    out: list[Event] = []
    for item in data:
        out += parser.feed(frame(item))
    out += parser.close()
    check_stream(out)
    return out


def parse_stream(*data: Any, rendered: RenderedRequest | None = None, **flags: Any) -> Response:
    """The answer that a stream comes to; the first and last event need not be given."""
    return fold_events(events(CREATED, *data, completed(), rendered=rendered, **flags))


def parse_output(
    *output: dict[str, Any], rendered: RenderedRequest | None = None, **fields: Any
) -> Response:
    """What a whole answer means."""
    answer = response(output=list(output), **fields)
    return DIALECT.provider.parse_response(answer, traits(), rendered)


def exchange(**fields: Any) -> ResponseContext:
    """The frame of an answer to a client."""
    return ResponseContext(**{"id": "1", "created": 1700000000, "model": "up", **fields})


def rendered_frames(stream: list[Event], **fields: Any) -> list[dict[str, Any]]:
    """What a client's stream says, event by event."""
    renderer = DIALECT.client.stream_renderer(exchange(**fields))
    out = b"".join(renderer.feed(item) for item in stream)
    payloads = []
    for block in filter(None, out.decode().split("\n\n")):
        name, data = block.split("\n")
        parsed = json.loads(data.removeprefix("data: "))
        assert name == f"event: {parsed['type']}"
        payloads.append(parsed)
    return payloads
