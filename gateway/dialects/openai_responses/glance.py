"""A quick look at a whole answer that passes through: counts and finish, no content.

One typed decode instead of a full parse. Anything out of the ordinary gives None, and the
full parse decides.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.canon.request import Text
from gateway.canon.response import Response
from gateway.dialects.openai_responses.finish import finish_in
from gateway.dialects.openai_responses.usage import usage_in


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _Item(msgspec.Struct):
    type: str
    content: list[_Part] | None = None


class _Answer(msgspec.Struct):
    id: str
    model: str
    status: Literal["completed", "incomplete"]
    output: list[_Item]
    usage: dict[str, Any] | None = None
    incomplete_details: dict[str, Any] | None = None
    error: None = None


_decoder = msgspec.json.Decoder(_Answer)


def glance(body: bytes) -> Response | None:
    """The answer without its calls and reasoning, or None to have it parsed in full."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    kinds = {item.type for item in answer.output}
    parts = [part for item in answer.output for part in item.content or ()]
    told = {"status": answer.status, "incomplete_details": answer.incomplete_details}
    return Response(
        id=answer.id,
        model=answer.model,
        parts=tuple(Text(text=part.text) for part in parts if part.type == "output_text"),
        finish=finish_in(
            told,
            called=bool(kinds & {"function_call", "custom_tool_call"}),
            refused=any(part.type == "refusal" for part in parts),
        ),
        usage=usage_in(answer.usage),
    )
