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
from gateway.dialects.cohere.errors import message_in
from gateway.dialects.cohere.finish import failure_in
from gateway.dialects.cohere.names import Json
from gateway.dialects.cohere.stream_in import ChatStreamParser
from gateway.dialects.openai_logprobs import extra_of, token


def parse_response(body: Any, traits: Traits, rendered: Rendered | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, dict):
        raise bad_upstream(message_in(body) or "the upstream's answer holds no message")
    failure = failure_in(body.get("finish_reason"), body.get("error"))
    if failure is not None:
        raise GatewayError(failure)
    parser = ChatStreamParser(traits, rendered)
    events = parser.read({"type": "message-start", "id": body.get("id")})
    for told in _told(message):
        events += parser.read(told)
    end = {"finish_reason": body.get("finish_reason"), "usage": body.get("usage")}
    events += parser.read({"type": "message-end", "delta": end})
    return replace(fold(events), extra=extra_of(_logprobs_in(body.get("logprobs"))))


def _logprobs_in(told: Any) -> list[Json]:
    """The tokens of an answer; none where the words of several are told in one."""
    rows = [row for row in told if isinstance(row, dict)] if isinstance(told, list) else []
    numbers = [row.get("logprobs") for row in rows]
    if not all(isinstance(each, list) and len(each) == 1 for each in numbers):
        return []
    return [token(row.get("text"), *row["logprobs"]) for row in rows]


def _told(message: Json) -> Iterator[Json]:
    """The events of a stream that tell the same message."""
    content = message.get("content")
    content = content if isinstance(content, list) else [content]
    citations = message.get("citations")
    cited = citations if isinstance(citations, list) else []
    plan = message.get("tool_plan")
    for place, item in enumerate([*content, None]):
        # As in a stream, the plan follows the thoughts that led to it.
        if plan and not _is_thought(item):
            yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": plan}}}
            yield from _cited(c for c in cited if _is_plan(c))
            plan = None
        yield {"type": "content-delta", "index": place, "delta": {"message": {"content": item}}}
        yield from _cited(c for c in cited if not _is_plan(c) and _index(c, content) == place)
    calls = message.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else []):
        yield {
            "type": "tool-call-start",
            "index": place,
            "delta": {"message": {"tool_calls": call}},
        }
        yield {"type": "tool-call-end", "index": place}


def _is_thought(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "thinking"


def _is_plan(citation: Any) -> bool:
    return isinstance(citation, dict) and citation.get("type") == "PLAN"


def _index(citation: Any, content: Any) -> int:
    """The part of the content that a citation is of; the first text where it does not say."""
    told = citation.get("content_index") if isinstance(citation, dict) else None
    if type(told) is int:
        return told
    kinds = [item.get("type") if isinstance(item, dict) else "text" for item in content]
    return kinds.index("text") if "text" in kinds else 0


def _cited(citations: Iterator[Any]) -> Iterator[Json]:
    for citation in citations:
        yield {"type": "citation-start", "delta": {"message": {"citations": citation}}}
