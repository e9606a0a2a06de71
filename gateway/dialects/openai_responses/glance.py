"""A quick look at a whole answer that passes through: counts and finish, no content.

One typed decode instead of a full parse. Anything out of the ordinary gives None, and the
full parse decides.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.canon.request import Text
from gateway.canon.response import Finish, Response
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
    service_tier: str | None = None
    incomplete_details: dict[str, Any] | None = None
    error: None = None


class _Compaction(msgspec.Struct):
    id: str
    object: Literal["response.compaction"]
    model: str = ""
    usage: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Answer)
_compactions = msgspec.json.Decoder(_Compaction)


def glance(body: bytes) -> Response | None:
    """The answer without its calls and reasoning, or None to have it parsed in full."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _compacted(body)
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
        service_tier=answer.service_tier,
    )


def _compacted(body: bytes) -> Response | None:
    """A history made short; it has neither status nor an answer's items."""
    try:
        made = _compactions.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    usage = usage_in(made.usage)
    return Response(id=made.id, model=made.model, finish=Finish(reason="stop"), usage=usage)
