"""A non-streaming response: a provider's JSON -> canonical."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.fold import fold_events
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.bedrock_converse.errors import parse_error_payload
from gateway.dialects.bedrock_converse.names import NAME, Json
from gateway.dialects.bedrock_converse.stream_in import ConverseStreamParser

_EXTRA_FIELDS = ("trace", "additionalModelResponseFields", "performanceConfig")


def parse_response(body: Any, traits: Traits, rendered: RenderedRequest | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    output = body.get("output") if isinstance(body, dict) else None
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            raise GatewayError(parse_error_payload("", body))
        raise bad_upstream("the upstream's answer holds no message with a list of content")
    parser = ConverseStreamParser(traits, rendered)
    events = parser.parse_event("messageStart", {"role": "assistant"})
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise bad_upstream("the upstream's answer holds a content block that is no object")
        for name, data in _block_events(block):
            events += parser.parse_event(name, {**data, "contentBlockIndex": index})
    events += parser.parse_event("messageStop", body)
    events += parser.parse_event("metadata", body)
    extra = {key: body[key] for key in _EXTRA_FIELDS if body.get(key) is not None}
    response = fold_events([*events, *parser.close()])
    return replace(response, extra={NAME: extra}) if extra else response


def _block_events(block: Json) -> Iterator[tuple[str, Json]]:
    """The stream events that are equivalent to a block."""
    if isinstance(tool_use := block.get("toolUse"), dict):
        yield "contentBlockStart", {"start": {"toolUse": tool_use}}
        yield "contentBlockDelta", {"delta": {"toolUse": {"input": tool_use.get("input")}}}
    elif isinstance(reasoning := block.get("reasoningContent"), dict):
        reasoning_text = reasoning.get("reasoningText")
        for key, value in (
            reasoning_text if isinstance(reasoning_text, dict) else reasoning
        ).items():
            yield "contentBlockDelta", {"delta": {"reasoningContent": {key: value}}}
    elif isinstance(citations_content := block.get("citationsContent"), dict):
        yield from _citation_events(citations_content)
    elif "text" in block:
        yield "contentBlockDelta", {"delta": {"text": block["text"]}}
    else:
        yield "contentBlockStart", {"start": block}
    yield "contentBlockStop", {}


def _citation_events(citations_content: Json) -> Iterator[tuple[str, Json]]:
    for key, wrapper_key in (("content", None), ("citations", "citation")):
        items = citations_content.get(key)
        for item in items if isinstance(items, list) else []:
            if isinstance(item, dict):
                yield (
                    "contentBlockDelta",
                    {"delta": item if wrapper_key is None else {wrapper_key: item}},
                )
