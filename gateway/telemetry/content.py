"""Messages of a request as OpenTelemetry's attributes for content, from the stored bodies.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (input and output messages)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError
from gateway.canon.fold import fold_events
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.framing.formats import STREAM_FORMATS
from gateway.relay.exchange.log_record import LogRecord

_PARSE_ERRORS = (GatewayError, msgspec.MsgspecError, ValueError, KeyError, TypeError)


def content_attributes(record: LogRecord) -> dict[str, str]:
    """`gen_ai.system_instructions`, `gen_ai.input.messages`, `gen_ai.output.messages`.

    Empty where the bodies are not stored, were cut, or cannot be read.
    """
    attributes = {}
    request, response = _parse_request(record), _parse_response(record)
    if request is not None:
        if request.instructions:
            attributes["gen_ai.system_instructions"] = _json_text(
                _render_parts(request.instructions)
            )
        messages = [
            {"role": _render_role(turn.role, turn.parts), "parts": _render_parts(turn.parts)}
            for turn in request.turns
        ]
        attributes["gen_ai.input.messages"] = _json_text(messages)
    if response is not None:
        message = {
            "role": "assistant",
            "parts": _render_parts(response.parts),
            "finish_reason": record.finish or "stop",
        }
        attributes["gen_ai.output.messages"] = _json_text([message])
    return attributes


def _parse_request(record: LogRecord) -> Request | None:
    bodies = record.bodies
    if bodies is None or not bodies.client_request or "client_request" in bodies.truncated:
        return None
    dialect = DIALECTS.get(record.client_dialect)
    if dialect is None or dialect.client is None:
        return None
    try:
        body = msgspec.json.decode(bodies.client_request)
        return dialect.client.parse_request(body, bodies.client_headers)
    except _PARSE_ERRORS:
        return None


def _parse_response(record: LogRecord) -> Response | None:
    bodies, dialect = record.bodies, DIALECTS.get(record.upstream_dialect)
    if bodies is None or not bodies.upstream_response or dialect is None:
        return None
    if record.outcome != "ok" or "upstream_response" in bodies.truncated:
        return None
    provider, data = dialect.provider, bodies.upstream_response
    try:
        if not bodies.upstream_chunks:
            return provider.parse_response(msgspec.json.decode(data), Traits(), None)
        decoder = STREAM_FORMATS[dialect.framing].new_decoder()
        parser = provider.stream_parser(Traits(), None)
        events = []
        for frame in [*decoder.feed(data), *decoder.close()]:
            events += parser.feed(frame)
        return fold_events([*events, *parser.close()])
    except _PARSE_ERRORS:
        return None


def _render_role(role: str, parts: Iterable[Part]) -> str:
    return "tool" if any(isinstance(part, ToolResult) for part in parts) else role


def _render_parts(parts: Iterable[Part]) -> list[dict[str, Any]]:
    return [entry for part in parts if (entry := _render_part(part)) is not None]


def _render_part(part: Part) -> dict[str, Any] | None:
    match part:
        case Text() | Refusal():
            return {"type": "text", "content": part.text}
        case Reasoning():
            return {"type": "reasoning", "content": part.text} if part.text else None
        case ToolCall():
            arguments = part.raw_arguments if part.arguments is None else part.arguments
            return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": arguments}
        case ToolResult():
            result = _render_parts(part.parts)
            return {"type": "tool_call_response", "id": part.id, "response": result}
        case Image() | Document() | Audio():
            return _render_media(part)
    return None


def _render_media(part: Image | Document | Audio) -> dict[str, Any]:
    """A reference to the media; the bytes themselves are not exported."""
    modality = {Image: "image", Document: "document", Audio: "audio"}[type(part)]
    if not isinstance(part, Audio):
        if part.url:
            return {"type": "uri", "modality": modality, "uri": part.url}
        if part.file_id:
            return {"type": "file", "modality": modality, "file_id": part.file_id}
        if isinstance(part, Document) and part.text:
            return {"type": "text", "content": part.text}
    return {"type": "blob", "modality": modality, "content": ""}


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
