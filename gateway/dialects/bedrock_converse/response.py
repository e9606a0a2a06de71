"""A whole answer: a provider's JSON -> canonical."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.fold import fold
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.bedrock_converse.errors import error_in
from gateway.dialects.bedrock_converse.names import NAME, Json
from gateway.dialects.bedrock_converse.stream_in import ConverseStreamParser

_EXTRA = ("trace", "additionalModelResponseFields", "performanceConfig")


def parse_response(body: Any, traits: Traits, rendered: Rendered | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    output = body.get("output") if isinstance(body, dict) else None
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            raise GatewayError(error_in("", body))
        raise bad_upstream("the upstream's answer holds no message with a list of content")
    parser = ConverseStreamParser(traits, rendered)
    events = parser.read("messageStart", {"role": "assistant"})
    for place, block in enumerate(content):
        if not isinstance(block, dict):
            raise bad_upstream("the upstream's answer holds a content block that is no object")
        for name, data in _told(block):
            events += parser.read(name, {**data, "contentBlockIndex": place})
    events += parser.read("messageStop", body)
    events += parser.read("metadata", body)
    extra = {key: body[key] for key in _EXTRA if body.get(key) is not None}
    response = fold([*events, *parser.close()])
    return replace(response, extra={NAME: extra}) if extra else response


def _told(block: Json) -> Iterator[tuple[str, Json]]:
    """The events of a stream that tell the same block."""
    if isinstance(call := block.get("toolUse"), dict):
        yield "contentBlockStart", {"start": {"toolUse": call}}
        yield "contentBlockDelta", {"delta": {"toolUse": {"input": call.get("input")}}}
    elif isinstance(thought := block.get("reasoningContent"), dict):
        inner = thought.get("reasoningText")
        for key, value in (inner if isinstance(inner, dict) else thought).items():
            yield "contentBlockDelta", {"delta": {"reasoningContent": {key: value}}}
    elif isinstance(cited := block.get("citationsContent"), dict):
        yield from _cited(cited)
    elif "text" in block:
        yield "contentBlockDelta", {"delta": {"text": block["text"]}}
    else:
        yield "contentBlockStart", {"start": block}
    yield "contentBlockStop", {}


def _cited(cited: Json) -> Iterator[tuple[str, Json]]:
    for key, inner in (("content", None), ("citations", "citation")):
        rows = cited.get(key)
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict):
                yield "contentBlockDelta", {"delta": row if inner is None else {inner: row}}
