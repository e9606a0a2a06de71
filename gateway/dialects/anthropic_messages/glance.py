"""A quick look at a whole answer that passes through: counts and finish, no content.

One typed decode instead of a full parse. Anything out of the ordinary gives None, and the
full parse decides.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.canon.request import Text
from gateway.canon.response import Response
from gateway.dialects.anthropic_messages.finish import finish_in
from gateway.dialects.anthropic_messages.usage import tier_in, usage_in


class _Block(msgspec.Struct):
    type: str
    text: str = ""


class _Answer(msgspec.Struct):
    id: str
    type: Literal["message"]
    model: str
    content: list[_Block]
    stop_reason: str
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Answer)


def glance(body: bytes) -> Response | None:
    """The answer without its calls and thoughts, or None to have it parsed in full."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    said = {
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": answer.stop_details,
    }
    called = False
    text = ""
    for block in answer.content:
        called = called or block.type == "tool_use"
        text += block.text
    return Response(
        id=answer.id,
        model=answer.model,
        parts=(Text(text=text),) if text else (),
        finish=finish_in(said, called=called),
        usage=usage_in(answer.usage),
        service_tier=tier_in(answer.usage),
    )
