"""Anthropic Messages, and the providers that speak it too.

Inverse pairs stand side by side: `request_in` and `request_out` (with `messages_*` and
`blocks_*` for the history), `stream_in` and `stream_out`, and both ways in one file for
`tools`, `thinking`, `output`, `citations`, `response`, `usage`, `finish`, `errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, bad_upstream
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages import (
    errors,
    glance,
    outline,
    request_in,
    request_out,
    response,
    stream_in,
    stream_out,
)
from gateway.dialects.anthropic_messages.names import NAME
from gateway.dialects.base import Dialect, ErrorReply, Exchange, Rendered, Verb
from gateway.dialects.ending import reader


class _Client:
    """What it takes to serve Messages clients."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        return request_in.parse_request(body, headers)

    def render_response(
        self, answer: Response, exchange: Exchange
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        return response.render_response(answer, exchange)

    def stream_renderer(self, exchange: Exchange) -> stream_out.MessagesStreamRenderer:
        return stream_out.MessagesStreamRenderer(exchange)

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return errors.render_error(error, request_id)

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"input_tokens": tokens}


class _Provider:
    """What it takes to call providers that speak Messages."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return "/v1/messages/count_tokens" if verb == "count_tokens" else "/v1/messages"

    def render_request(self, request: Request, traits: Traits) -> Rendered:
        return request_out.render_request(request, traits)

    def parse_response(self, body: Any, traits: Traits, rendered: Rendered | None) -> Response:
        return response.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: Rendered | None
    ) -> stream_in.MessagesStreamParser:
        return stream_in.MessagesStreamParser(traits, rendered)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        tokens = body.get("input_tokens") if isinstance(body, dict) else None
        if type(tokens) is not int or tokens < 0:
            raise bad_upstream("the upstream's count holds no number of input_tokens")
        return tokens


# What a count may hold; the API refuses a request's other fields there.
_COUNTED = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "context_management",
        "mcp_servers",
    }
)


def _count_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """The part of a request that is counted."""
    return {name: value for name, value in body.items() if name in _COUNTED}


DIALECT = Dialect(
    name=NAME,
    keepalive=b'event: ping\ndata: {"type":"ping"}\n\n',
    client=_Client(),
    provider=_Provider(),
    carries_state=True,
    replays_state=True,
    check=outline.check,
    glance=glance.glance,
    count_body=_count_body,
    ending=reader("messages", "text"),
)
