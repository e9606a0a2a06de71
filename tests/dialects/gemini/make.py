"""Factories of generateContent bodies and frames, and shortcuts through the dialect."""

from __future__ import annotations

import base64
import json
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.events import Event
from gateway.canon.fold import fold_events
from gateway.canon.request import Request, Text, Turn
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.gemini import DIALECT
from gateway.framing.sse import Decoder, Frame
from tests.stream_grammar import check_stream

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQK"
STATE = base64.b64encode(b"state").decode()
USER_TURN = Turn(role="user", parts=(Text(text="hi", path="messages[0]"),), path="messages[0]")


def content(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    """Return a content of these parts."""
    return {"role": role, "parts": list(parts)}


def model(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return a content with the role `model`."""
    return content(*parts, role="model")


def text(content: str = "hi", **fields: Any) -> dict[str, Any]:
    """Return a text part."""
    return {"text": content, **fields}


def call(name: str = "f", args: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a functionCall part; `id` goes inside."""
    inner = {"name": name, "args": args or {}}
    if "id" in fields:
        inner["id"] = fields.pop("id")
    return {"functionCall": inner, **fields}


def result(name: str = "f", response: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a functionResponse part."""
    output = {"output": "ok"} if response is None else response
    return {"functionResponse": {"name": name, "response": output, **fields}}


def body(*contents: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a request body as the relay passes it to the dialect."""
    return {"model": "gw", "contents": list(contents) or [content(text())], **fields}


def parse(request: dict[str, Any]) -> Request:
    """Return the canonical request of a body."""
    return DIALECT.client.parse_request(request, {})


def client_request(**fields: Any) -> Request:
    """Return a request of a client of another dialect."""
    return Request(**{"model": "gw", "turns": (USER_TURN,), **fields})


def traits(**flags: Any) -> Traits:
    """Return traits with every capability except as `flags` say."""
    able: dict[str, Any] = {
        "preset": "acme",
        "model": "acme-1",
        "reasoning": True,
        "efforts": ("minimal", "low", "medium", "high"),
        "top_k": True,
        "stop_max": 5,
        "n_max": 8,
        "tool_result_images": True,
        "image_urls": False,
        "web_search": "googleSearch",
    }
    return Traits(**{**able, **flags})


def render(request: Request | dict[str, Any], **flags: Any) -> RenderedRequest:
    """Return the rendered request for a target with these traits."""
    canonical_request = parse(request) if isinstance(request, dict) else request
    return DIALECT.provider.render_request(canonical_request, traits(**flags))


def reported_fields(report: tuple[Adaptation, ...] | list[Adaptation]) -> list[tuple[str, str]]:
    """Return the reported fields and actions, without the explanations."""
    return [(item.path, item.action) for item in report]


def chunk(*parts: dict[str, Any], reason: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a stream chunk or whole response; `more` are fields of the candidate."""
    more = fields.pop("more", {})
    candidate: dict[str, Any] = {"content": model(*parts), "index": 0, **more}
    if reason is not None:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], "responseId": "r1", "modelVersion": "m", **fields}


def frame(data: Any) -> Frame:
    """Return a frame of JSON."""
    return Frame("", json.dumps(data).encode())


def events(
    *chunks: Any, rendered_request: RenderedRequest | None = None, **flags: Any
) -> list[Event]:
    """Return the canonical events of a stream of these chunks, checked against the grammar."""
    parser = DIALECT.provider.stream_parser(traits(**flags), rendered_request)
    out = [event for item in chunks for event in parser.feed(frame(item))]
    out += parser.close()
    check_stream(out)
    return out


def response_from(
    *chunks: Any, rendered_request: RenderedRequest | None = None, **flags: Any
) -> Response:
    """Return the whole response of a stream."""
    return fold_events(events(*chunks, rendered_request=rendered_request, **flags))


def response_context(**fields: Any) -> ResponseContext:
    """Return the context of a response renderer."""
    return ResponseContext(**{"id": "1", "created": 1_700_000_000, "model": "gw-x", **fields})


def rendered_bytes(stream: list[Event], **fields: Any) -> bytes:
    """Return the bytes that a client receives for these events."""
    renderer = DIALECT.client.stream_renderer(response_context(**fields))
    return b"".join(renderer.feed(event) for event in stream)


def rendered_frames(stream: list[Event], **fields: Any) -> list[Any]:
    """Return the JSON of the frames that a client receives for these events."""
    decoder = Decoder()
    data = rendered_bytes(stream, **fields)
    return [json.loads(item.data) for item in [*decoder.feed(data), *decoder.close()]]
