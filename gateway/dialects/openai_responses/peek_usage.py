"""Usage and finish reason of a complete passthrough response, without a full parse.

One typed decode. Any unusual response gives None, and is parsed in full.
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


class _CompleteResponse(msgspec.Struct):
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


_decoder = msgspec.json.Decoder(_CompleteResponse)
_compaction_decoder = msgspec.json.Decoder(_Compaction)


def peek_usage(body: bytes) -> Response | None:
    """The response without its calls and reasoning; None if it must be parsed in full."""
    try:
        response = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _peek_compaction(body)
    kinds = {item.type for item in response.output}
    parts = [part for item in response.output for part in item.content or ()]
    status_fields = {"status": response.status, "incomplete_details": response.incomplete_details}
    return Response(
        id=response.id,
        model=response.model,
        parts=tuple(Text(text=part.text) for part in parts if part.type == "output_text"),
        finish=finish_in(
            status_fields,
            has_calls=bool(kinds & {"function_call", "custom_tool_call"}),
            refused=any(part.type == "refusal" for part in parts),
        ),
        usage=usage_in(response.usage),
        service_tier=response.service_tier,
    )


def _peek_compaction(body: bytes) -> Response | None:
    """A compacted history, which has neither a status nor output items."""
    try:
        compaction = _compaction_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    usage = usage_in(compaction.usage)
    return Response(
        id=compaction.id, model=compaction.model, finish=Finish(reason="stop"), usage=usage
    )
