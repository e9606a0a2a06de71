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
from gateway.dialects.cohere.errors import parse_error_message
from gateway.dialects.cohere.finish import parse_failure
from gateway.dialects.cohere.names import Json
from gateway.dialects.cohere.stream_in import ChatStreamParser
from gateway.dialects.shared.openai_logprobs import logprobs_extra, token


def parse_response(body: Any, traits: Traits, rendered: RenderedRequest | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, dict):
        raise bad_upstream(parse_error_message(body) or "the upstream's answer holds no message")
    failure = parse_failure(body.get("finish_reason"), body.get("error"))
    if failure is not None:
        raise GatewayError(failure)
    parser = ChatStreamParser(traits, rendered)
    events = parser.parse_event({"type": "message-start", "id": body.get("id")})
    for event in _message_events(message):
        events += parser.parse_event(event)
    end = {"finish_reason": body.get("finish_reason"), "usage": body.get("usage")}
    events += parser.parse_event({"type": "message-end", "delta": end})
    return replace(fold_events(events), extra=logprobs_extra(_parse_logprobs(body.get("logprobs"))))


def _parse_logprobs(token_groups: Any) -> list[Json]:
    """The tokens of a response; empty if a group combines several tokens."""
    groups = (
        [group for group in token_groups if isinstance(group, dict)]
        if isinstance(token_groups, list)
        else []
    )
    logprobs_by_group = [group.get("logprobs") for group in groups]
    if not all(
        isinstance(group_logprobs, list) and len(group_logprobs) == 1
        for group_logprobs in logprobs_by_group
    ):
        return []
    return [token(group.get("text"), *group["logprobs"]) for group in groups]


def _message_events(message: Json) -> Iterator[Json]:
    """The stream events that are equivalent to a message."""
    content = message.get("content")
    content = content if isinstance(content, list) else [content]
    citations = message.get("citations")
    citation_list = citations if isinstance(citations, list) else []
    plan = message.get("tool_plan")
    for index, item in enumerate([*content, None]):
        # As in a stream, the plan follows the reasoning that led to it.
        if plan and not _is_thinking(item):
            yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": plan}}}
            yield from _citation_events(c for c in citation_list if _cites_plan(c))
            plan = None
        yield {"type": "content-delta", "index": index, "delta": {"message": {"content": item}}}
        yield from _citation_events(
            c for c in citation_list if not _cites_plan(c) and _cited_index(c, content) == index
        )
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else []):
        yield {
            "type": "tool-call-start",
            "index": index,
            "delta": {"message": {"tool_calls": call}},
        }
        yield {"type": "tool-call-end", "index": index}


def _is_thinking(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "thinking"


def _cites_plan(citation: Any) -> bool:
    return isinstance(citation, dict) and citation.get("type") == "PLAN"


def _cited_index(citation: Any, content: Any) -> int:
    """The index of the cited content part; the first text if the citation has none."""
    content_index = citation.get("content_index") if isinstance(citation, dict) else None
    if type(content_index) is int:
        return content_index
    kinds = [item.get("type") if isinstance(item, dict) else "text" for item in content]
    return kinds.index("text") if "text" in kinds else 0


def _citation_events(citations: Iterator[Any]) -> Iterator[Json]:
    for citation in citations:
        yield {"type": "citation-start", "delta": {"message": {"citations": citation}}}
