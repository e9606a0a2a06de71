"""Factories of requests and Cohere responses."""

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
from gateway.dialects.cohere import DIALECT
from gateway.dialects.cohere.context import FINISH_REASONS
from gateway.framing.sse import Frame, encode
from gateway.providers.capabilities import traits_for
from tests.fakes.cohere_rules import PLAIN, REASONER
from tests.stream_grammar import check_stream

Json = dict[str, Any]

USER_TURN = Turn(role="user", parts=(Text(text="hi", path="messages[0]"),), path="messages[0]")
WORDS = {reason: word for word, reason in FINISH_REASONS.items()}
__all__ = ["PLAIN", "REASONER"]


def client_request(**fields: Any) -> Request:
    """Return a request of a client of another dialect."""
    return Request(**{"model": "gw", "turns": (USER_TURN,), **fields})


def request_with_turns(*turns: Turn, **fields: Any) -> Request:
    """Return a request with these turns."""
    return client_request(turns=turns, **fields)


def traits(model: str = REASONER) -> Traits:
    """Return the traits of a Cohere model."""
    return traits_for("cohere", model)


def render(request: Request, model: str = REASONER) -> RenderedRequest:
    """Return the rendered request for this model."""
    return DIALECT.provider.render_request(request, traits(model))


def reported_fields(report: tuple[Adaptation, ...]) -> list[tuple[str, str]]:
    """Return the reported fields and actions, without the explanations."""
    return [(item.path, item.action) for item in report]


def events(*messages: Json, rendered_request: RenderedRequest | None = None) -> list[Event]:
    """Return the canonical events of a stream of these frames, checked against the grammar."""
    parser = DIALECT.provider.stream_parser(traits(), rendered_request)
    out: list[Event] = []
    for item in messages:
        out += parser.feed(Frame(str(item.get("type", "")), json.dumps(item).encode()))
    out += parser.close()
    check_stream(out)
    return out


def response_from(*messages: Json, rendered_request: RenderedRequest | None = None) -> Response:
    """Return the whole response of a stream."""
    return fold_events(events(*messages, rendered_request=rendered_request))


def parse_response(body: Any, rendered_request: RenderedRequest | None = None) -> Response:
    """Return the canonical response of a body."""
    return DIALECT.provider.parse_response(body, traits(), rendered_request)


def render_document(response: Response) -> Json:
    """Return the Cohere body of a canonical response."""
    message: Json = {"role": "assistant", "content": [], "tool_calls": [], "citations": []}
    for part in response.parts:
        match part:
            case Text():
                index = len(message["content"])
                message["content"].append({"type": "text", "text": part.text})
                for citation in part.citations:
                    message["citations"].append({**citation.native, "content_index": index})
            case Reasoning():
                message["content"].append({"type": "thinking", "thinking": part.text})
            case ToolCall():
                arguments = {"input": part.raw_arguments} if part.custom else part.arguments
                function = {"name": part.name, "arguments": json.dumps(arguments)}
                call = {"id": part.id, "type": "function", "function": function}
                message["tool_calls"].append(call)
    body: Json = {"id": response.id, "finish_reason": WORDS[response.finish.reason]}
    usage = response.usage
    if usage is not None:
        read = (usage.input or 0) + (usage.cache_read or 0)
        tokens = {"input_tokens": read, "output_tokens": usage.output}
        body["usage"] = {"tokens": tokens, "cached_tokens": usage.cache_read}
    return {**body, "message": message}


def stream_events(body: Json, size: int) -> Iterator[Json]:
    """Return the stream events equivalent to a body, with texts in pieces of this size."""
    message = body["message"]
    yield {"type": "message-start", "id": body["id"], "delta": {}}
    for index, item in enumerate(message["content"]):
        kind = item["type"]
        inner = {"message": {"content": {"type": kind, kind: ""}}}
        yield {"type": "content-start", "index": index, "delta": inner}
        for piece in _split_text(item[kind], size):
            delta = {"message": {"content": {kind: piece}}}
            yield {"type": "content-delta", "index": index, "delta": delta}
        for citation in message["citations"]:
            if citation["content_index"] == index:
                yield {"type": "citation-start", "delta": {"message": {"citations": citation}}}
                yield {"type": "citation-end"}
        yield {"type": "content-end", "index": index}
    for index, call in enumerate(message["tool_calls"]):
        function = call["function"]
        opened_call = {**call, "function": {**function, "arguments": ""}}
        inner = {"message": {"tool_calls": opened_call}}
        yield {"type": "tool-call-start", "index": index, "delta": inner}
        for piece in _split_text(function["arguments"], size):
            more = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            yield {"type": "tool-call-delta", "index": index, "delta": more}
        yield {"type": "tool-call-end", "index": index}
    end = {key: body[key] for key in ("finish_reason", "usage") if key in body}
    yield {"type": "message-end", "delta": end}


def _split_text(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def stream_bytes(messages: list[Json]) -> bytes:
    """Return the bytes of a stream."""
    return b"".join(encode(json.dumps(item).encode(), item["type"].encode()) for item in messages)
