"""Factories of requests and Bedrock responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.events import Event
from gateway.canon.fold import fold_events
from gateway.canon.request import Reasoning, Request, Text, ToolCall, Turn
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.bedrock_converse import DIALECT
from gateway.dialects.bedrock_converse.context import FINISH_REASONS
from gateway.framing.eventstream import encode
from gateway.framing.sse import Frame
from gateway.providers.capabilities import traits_for
from tests.fakes.bedrock_rules import CLAUDE, CLAUDE_NOW, LLAMA, NOVA
from tests.stream_grammar import check_stream

Json = dict[str, Any]

USER_TURN = Turn(role="user", parts=(Text(text="hi", path="messages[0]"),), path="messages[0]")
STOPS = {reason: word for word, reason in reversed(FINISH_REASONS.items())}
__all__ = ["CLAUDE", "CLAUDE_NOW", "LLAMA", "NOVA"]


def client_request(**fields: Any) -> Request:
    """Return a request of a client of another dialect."""
    return Request(**{"model": "gw", "turns": (USER_TURN,), **fields})


def request_with_turns(*turns: Turn, **fields: Any) -> Request:
    """Return a request with these turns."""
    return client_request(turns=turns, **fields)


def traits(model: str = CLAUDE) -> Traits:
    """Return the traits of a Bedrock model."""
    return traits_for("bedrock", model)


def render(request: Request, model: str = CLAUDE) -> RenderedRequest:
    """Return the rendered request for this model."""
    return DIALECT.provider.render_request(request, traits(model))


def reported_fields(report: tuple[Adaptation, ...]) -> list[tuple[str, str]]:
    """Return the reported fields and actions, without the explanations."""
    return [(item.path, item.action) for item in report]


def frames(*events: tuple[str, Json]) -> list[Frame]:
    """Return the frames of events."""
    return [Frame(name, json.dumps(data).encode()) for name, data in events]


def events(
    *messages: tuple[str, Json],
    rendered_request: RenderedRequest | None = None,
    model: str = CLAUDE,
) -> list[Event]:
    """Return the canonical events of a stream of these frames, checked against the grammar."""
    parser = DIALECT.provider.stream_parser(traits(model), rendered_request)
    out = [event for item in frames(*messages) for event in parser.feed(item)]
    out += parser.close()
    check_stream(out)
    return out


def response_from(
    *messages: tuple[str, Json], rendered_request: RenderedRequest | None = None
) -> Response:
    """Return the whole response of a stream."""
    return fold_events(events(*messages, rendered_request=rendered_request))


def parse_response(body: Json, rendered_request: RenderedRequest | None = None) -> Response:
    """Return the canonical response of a body."""
    return DIALECT.provider.parse_response(body, traits(), rendered_request)


def message(*content: Json, stop: str = "end_turn", **fields: Any) -> Json:
    """Return the body of a response."""
    output = {"message": {"role": "assistant", "content": list(content)}}
    return {"output": output, "stopReason": stop, "usage": {}, **fields}


def render_document(response: Response) -> Json:
    """Return the Converse body of a canonical response."""
    content = [_block(part) for part in response.parts]
    usage = response.usage
    body = message(*content, stop=STOPS[response.finish.reason])
    if usage is not None:
        body["usage"] = {
            "inputTokens": usage.input,
            "outputTokens": usage.output,
            "cacheReadInputTokens": usage.cache_read,
            "cacheWriteInputTokens": usage.cache_write,
            "cacheDetails": [{"ttl": "1h", "inputTokens": usage.cache_write_1h}],
        }
    if response.finish.stop_sequence:
        more = {"stop_sequence": response.finish.stop_sequence}
        body["additionalModelResponseFields"] = more
    return body


def _block(part: Any) -> Json:
    match part:
        case Text():
            if not part.citations:
                return {"text": part.text}
            cited = [citation.native for citation in part.citations]
            return {"citationsContent": {"content": [{"text": part.text}], "citations": cited}}
        case Reasoning():
            if part.redacted:
                return {"reasoningContent": {"redactedContent": part.signature.value}}
            inner = {"text": part.text, "signature": part.signature.value}
            return {"reasoningContent": {"reasoningText": inner}}
        case ToolCall():
            arguments = {"input": part.raw_arguments} if part.custom else part.arguments
            call = {"toolUseId": part.id, "name": part.name, "input": arguments}
            return {"toolUse": call}
    raise ValueError(part)


def stream_events(body: Json, size: int) -> Iterator[tuple[str, Json]]:
    """Return the stream events equivalent to a body, with texts in pieces of this size."""
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(body["output"]["message"]["content"]):
        index_fields = {"contentBlockIndex": index}
        if call := block.get("toolUse"):
            start = {"toolUseId": call["toolUseId"], "name": call["name"]}
            yield "contentBlockStart", {"start": {"toolUse": start}, **index_fields}
        for delta in _deltas(block, size):
            yield "contentBlockDelta", {"delta": delta, **index_fields, "p": "xy"}
        yield "contentBlockStop", index_fields
    keys = ("stopReason", "additionalModelResponseFields")
    yield "messageStop", {key: body[key] for key in keys if key in body}
    yield "metadata", {"usage": body["usage"], "metrics": {"latencyMs": 1}}


def _deltas(block: Json, size: int) -> Iterator[Json]:
    if call := block.get("toolUse"):
        arguments_json = json.dumps(call["input"]) if call["input"] else ""
        yield from ({"toolUse": {"input": piece}} for piece in _split_text(arguments_json, size))
    elif thought := block.get("reasoningContent"):
        inner = thought.get("reasoningText", {})
        yield from (
            {"reasoningContent": {"text": p}} for p in _split_text(inner.get("text", ""), size)
        )
        for key in ("signature", "redactedContent"):
            if value := {**thought, **inner}.get(key):
                yield {"reasoningContent": {key: value}}
    elif cited := block.get("citationsContent"):
        yield from ({"text": piece} for piece in _split_text(cited["content"][0]["text"], size))
        yield from ({"citation": item} for item in cited["citations"])
    else:
        yield from ({"text": piece} for piece in _split_text(block["text"], size))


def _split_text(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def stream_bytes(messages: list[tuple[str, Json]]) -> bytes:
    """Return the bytes of a stream."""
    return b"".join(encode(json.dumps(data).encode(), name) for name, data in messages)
