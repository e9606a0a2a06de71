"""Anthropic Messages, and the providers that speak it too."""

from __future__ import annotations

from typing import Any

from gateway.dialects.anthropic_messages.context import NAME
from gateway.dialects.anthropic_messages.errors import parse_error, render_error
from gateway.dialects.anthropic_messages.reasoning import drop_state, replace_tokens
from gateway.dialects.anthropic_messages.request import check, parse_request, render_request
from gateway.dialects.anthropic_messages.response import parse_response, peek_usage, render_response
from gateway.dialects.anthropic_messages.stream import MessagesStreamParser, MessagesStreamRenderer
from gateway.dialects.base import Client, Dialect, Provider, Verb
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.dialects.shared.token_count import count_parser

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


def _render_count(tokens: int) -> dict[str, Any]:
    return {"input_tokens": tokens}


def _path(model: str, *, stream: bool, verb: Verb) -> str:
    return "/v1/messages/count_tokens" if verb == "count_tokens" else "/v1/messages"


DIALECT = Dialect(
    name=NAME,
    keepalive=b'event: ping\ndata: {"type":"ping"}\n\n',
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=MessagesStreamRenderer,
        render_error=render_error,
        render_count=_render_count,
    ),
    provider=Provider(
        path=_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=MessagesStreamParser,
        parse_error=parse_error,
        parse_count=count_parser("input_tokens"),
    ),
    carries_reasoning_state=True,
    replays_reasoning=True,
    check_passthrough=check,
    peek_usage=peek_usage,
    token_count_body=_count_body,
    requires_usage=True,
    replace_state_tokens=replace_tokens,
    drop_reasoning_state=drop_state,
    last_user_text=last_user_text_reader("messages", "text"),
    reports_early_usage=True,
)
