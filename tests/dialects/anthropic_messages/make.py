"""Factories of Messages bodies and frames, and shortcuts through the dialect."""

from __future__ import annotations

import json
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.events import Event
from gateway.canon.fold import fold_events
from gateway.canon.request import Request, Text, Turn
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages import DIALECT
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.framing.sse import Decoder, Frame
from tests.stream_grammar import check_stream

USER = {"role": "user", "content": "hi"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQK"
USER_TURN = Turn(role="user", parts=(Text(text="hi", path="messages[0]"),), path="messages[0]")
EVERY_EFFORT = ("low", "medium", "high", "xhigh", "max")


def body(**fields: Any) -> dict[str, Any]:
    """Return a valid request body with these fields."""
    return {"model": "gw", "max_tokens": 100, "messages": [USER], **fields}


def request_body(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a request body with these messages."""
    return body(messages=list(messages), **fields)


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """Return a user message with these blocks."""
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    """Return an assistant message with these blocks."""
    return {"role": "assistant", "content": list(blocks)}


def text(content: str = "hi", **fields: Any) -> dict[str, Any]:
    """Return a text block."""
    return {"type": "text", "text": content, **fields}


def tool_use_block(call_id: str = "c1", name: str = "f", **fields: Any) -> dict[str, Any]:
    """Return a tool_use block."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}, **fields}


def result(call_id: str = "c1", content: Any = "ok", **fields: Any) -> dict[str, Any]:
    """Return a tool_result block."""
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


def tool(name: str = "f", **fields: Any) -> dict[str, Any]:
    """Return a tool."""
    return {"name": name, "input_schema": {"type": "object", "properties": {}}, **fields}


def parse(request: dict[str, Any], **headers: str) -> Request:
    """Return the canonical request of a body; `_` in a header name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return DIALECT.client.parse_request(request, named)


def client_request(**fields: Any) -> Request:
    """Return a request of a client of another dialect."""
    return Request(**{"model": "gw", "turns": (USER_TURN,), "max_output": 100, **fields})


def traits(**flags: Any) -> Traits:
    """Return traits with every capability except as `flags` say."""
    able: dict[str, Any] = {
        "preset": "acme",
        "model": "acme-1",
        "reasoning": True,
        "reasoning_modes": ("adaptive",),
        "efforts": EVERY_EFFORT,
        "temperature_max": 1.0,
        "top_k": True,
        "stop_max": None,
        "tool_result_images": True,
        "cache": "cache_control",
        "tool_id_rule": "word",
        "replay_reasoning": "native",
    }
    return Traits(**{**able, **flags})


def render(request: Request | dict[str, Any], **flags: Any) -> RenderedRequest:
    """Return the rendered request for a target with these traits."""
    canonical_request = parse(request) if isinstance(request, dict) else request
    return DIALECT.provider.render_request(canonical_request, traits(**flags))


def reported_fields(report: tuple[Adaptation, ...] | list[Adaptation]) -> list[tuple[str, str]]:
    """Return the reported fields and actions, without the explanations."""
    return [(item.path, item.action) for item in report]


def losses_of(rendered_request: RenderedRequest) -> list[tuple[str, str]]:
    """Return the report without the default `max_tokens` of requests that set none."""
    return [
        item
        for item in reported_fields(rendered_request.report)
        if item != ("max_tokens", "defaulted")
    ]


def frame(kind: str, **fields: Any) -> Frame:
    """Return a frame with the event name that Anthropic uses."""
    return Frame(kind, json.dumps({"type": kind, **fields}).encode())


def message_start_frame(**message: Any) -> Frame:
    """Return the first frame of a stream."""
    return frame("message_start", message={"id": "msg_u", "model": "m", "content": [], **message})


def block_start_frame(index: int = 0, **block: Any) -> Frame:
    """Return the first frame of a block, a text block by default."""
    input_block = block or {"type": "text", "text": ""}
    return frame("content_block_start", index=index, content_block=input_block)


def delta(index: int = 0, **fields: Any) -> Frame:
    """Return a delta frame."""
    return frame("content_block_delta", index=index, delta=fields)


def text_delta(text: str, index: int = 0) -> Frame:
    """Return a text delta frame."""
    return delta(index, type="text_delta", text=text)


def block_stop_frame(index: int = 0) -> Frame:
    """Return the last frame of a block."""
    return frame("content_block_stop", index=index)


def stop_reason_frame(reason: str | None = "end_turn", **fields: Any) -> Frame:
    """Return the frame with the stop reason."""
    usage = fields.pop("usage", {"output_tokens": 5})
    return frame("message_delta", delta={"stop_reason": reason, **fields}, usage=usage)


OVER = frame("message_stop")


def events(
    *frames: Frame, rendered_request: RenderedRequest | None = None, **flags: Any
) -> list[Event]:
    """Return the canonical events of a stream of these frames, checked against the grammar."""
    parser = DIALECT.provider.stream_parser(traits(**flags), rendered_request)
    out = [event for item in frames for event in parser.feed(item)]
    out += parser.close()
    check_stream(out)
    return out


def response_from(
    *frames: Frame, rendered_request: RenderedRequest | None = None, **flags: Any
) -> Response:
    """Return the whole response of a stream."""
    return fold_events(events(*frames, rendered_request=rendered_request, **flags))


def response_context(**fields: Any) -> ResponseContext:
    """Return the context of a response renderer."""
    return ResponseContext(**{"id": "1", "created": 1_700_000_000, "model": "gw-x", **fields})


def rendered_bytes(stream: list[Event], **fields: Any) -> bytes:
    """Return the bytes that a client receives for these events."""
    renderer = DIALECT.client.stream_renderer(response_context(**fields))
    return b"".join(renderer.feed(event) for event in stream)


def frames_of(data: bytes) -> list[Frame]:
    """Return the frames in these bytes."""
    decoder = Decoder()
    return [*decoder.feed(data), *decoder.close()]


def rendered_frames(stream: list[Event], **fields: Any) -> list[tuple[str, Any]]:
    """Return the names and JSON of the frames that a client receives for these events."""
    frames = frames_of(rendered_bytes(stream, **fields))
    return [(item.event, json.loads(item.data)) for item in frames]
