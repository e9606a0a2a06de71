"""Usage and finish reason of a complete passthrough response, without a full parse.

One typed decode instead of a full parse (4 us instead of 25). Any unusual response gives
None, and is parsed in full.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import Text
from gateway.canon.response import Response
from gateway.dialects.openai_chat.finish import finish_in
from gateway.dialects.openai_chat.usage import parse_usage


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str


class _Completion(msgspec.Struct):
    id: str
    model: str
    choices: list[_Choice]
    usage: dict[str, Any] | None = None
    service_tier: str | None = None
    error: msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Completion)


def peek_usage(body: bytes) -> Response | None:
    """The response without its calls and reasoning; None if it must be parsed in full."""
    try:
        completion = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if len(completion.choices) != 1:
        return None
    choice = completion.choices[0]
    message = choice.message
    finish = finish_in(
        choice.finish_reason, calls=bool(message.tool_calls), refused=bool(message.refusal)
    )
    return Response(
        id=completion.id,
        model=completion.model,
        parts=(Text(text=message.content),) if message.content else (),
        finish=finish,
        usage=parse_usage(completion.usage),
        service_tier=completion.service_tier,
    )
