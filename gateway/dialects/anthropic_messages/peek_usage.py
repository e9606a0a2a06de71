"""Usage and finish reason of a non-streaming passthrough response.

One typed decode instead of a full parse. Unexpected shapes return None and are then
parsed in full.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.canon.request import Text
from gateway.canon.response import Response
from gateway.dialects.anthropic_messages.finish import parse_finish
from gateway.dialects.anthropic_messages.usage import parse_service_tier, parse_usage


class _Block(msgspec.Struct):
    type: str
    text: str = ""


class _Message(msgspec.Struct):
    id: str
    type: Literal["message"]
    model: str
    content: list[_Block]
    stop_reason: str
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Message)


def peek_usage(body: bytes) -> Response | None:
    """The response without tool calls and reasoning; None if it needs a full parse."""
    try:
        message = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    stop_fields = {
        "stop_reason": message.stop_reason,
        "stop_sequence": message.stop_sequence,
        "stop_details": message.stop_details,
    }
    has_tool_call = False
    text = ""
    for block in message.content:
        has_tool_call = has_tool_call or block.type == "tool_use"
        text += block.text
    return Response(
        id=message.id,
        model=message.model,
        parts=(Text(text=text),) if text else (),
        finish=parse_finish(stop_fields, has_tool_call=has_tool_call),
        usage=parse_usage(message.usage),
        service_tier=parse_service_tier(message.usage),
    )
