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
    passthrough_schema,
    peek_usage,
    reasoning_state,
    request_in,
    request_out,
    response,
    stream_in,
    stream_out,
)
from gateway.dialects.anthropic_messages.names import NAME
from gateway.dialects.base import Dialect, ErrorReply, RenderedRequest, ResponseContext, Verb
from gateway.dialects.shared.last_user_text import last_user_text_reader


class _Client:
    """Adapter for Messages clients."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        return request_in.parse_request(body, headers)

    def render_response(
        self, answer: Response, context: ResponseContext
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        return response.render_response(answer, context)

    def stream_renderer(self, context: ResponseContext) -> stream_out.MessagesStreamRenderer:
        return stream_out.MessagesStreamRenderer(context)

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return errors.render_error(error, request_id)

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"input_tokens": tokens}


class _Provider:
    """Adapter for providers that speak Messages."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return "/v1/messages/count_tokens" if verb == "count_tokens" else "/v1/messages"

    def render_request(self, request: Request, traits: Traits) -> RenderedRequest:
        return request_out.render_request(request, traits)

    def parse_response(
        self, body: Any, traits: Traits, rendered: RenderedRequest | None
    ) -> Response:
        return response.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: RenderedRequest | None
    ) -> stream_in.MessagesStreamParser:
        return stream_in.MessagesStreamParser(traits, rendered)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        tokens = body.get("input_tokens") if isinstance(body, dict) else None
        if type(tokens) is not int or tokens < 0:
            raise bad_upstream("the upstream's count holds no number of input_tokens")
        return tokens


# The fields that a token count accepts; the API rejects the others.
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
    carries_reasoning_state=True,
    replays_reasoning=True,
    check_passthrough=passthrough_schema.check,
    peek_usage=peek_usage.peek_usage,
    token_count_body=_count_body,
    requires_usage=True,
    replace_state_tokens=reasoning_state.replace_tokens,
    drop_reasoning_state=reasoning_state.drop_state,
    last_user_text=last_user_text_reader("messages", "text"),
    reports_early_usage=True,
)
