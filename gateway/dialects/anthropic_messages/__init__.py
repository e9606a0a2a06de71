"""Anthropic Messages, and the providers with the same API."""

from __future__ import annotations

from gateway.dialects.anthropic_messages.context import NAME
from gateway.dialects.anthropic_messages.errors import (
    CONTEXT_LENGTH_MARKERS,
    parse_error,
    render_error,
)
from gateway.dialects.anthropic_messages.reasoning import drop_state, replace_tokens
from gateway.dialects.anthropic_messages.request import (
    check_passthrough,
    parse_request,
    provider_path,
    render_request,
    token_count_body,
)
from gateway.dialects.anthropic_messages.response import parse_response, peek_usage, render_response
from gateway.dialects.anthropic_messages.stream import MessagesStreamParser, MessagesStreamRenderer
from gateway.dialects.anthropic_messages.text_documents import inline_documents
from gateway.dialects.base import Client, Dialect, PromptFormat, Provider
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.dialects.shared.token_count import count_parser, count_renderer

DIALECT = Dialect(
    name=NAME,
    output_limits=(("max_tokens",),),
    keepalive=b'event: ping\ndata: {"type":"ping"}\n\n',
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=MessagesStreamRenderer,
        render_error=render_error,
        context_length_markers=CONTEXT_LENGTH_MARKERS,
        render_count=count_renderer("input_tokens"),
    ),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=MessagesStreamParser,
        parse_error=parse_error,
        parse_count=count_parser("input_tokens"),
    ),
    carries_reasoning_state=True,
    replays_reasoning=True,
    check_passthrough=check_passthrough,
    peek_usage=peek_usage,
    token_count_body=token_count_body,
    replace_state_tokens=replace_tokens,
    drop_reasoning_state=drop_state,
    prompt_format=PromptFormat(
        system="system",
        parameters={
            "temperature": ("temperature",),
            "top_p": ("top_p",),
            "max_tokens": ("max_tokens",),
            "stop": ("stop_sequences",),
        },
    ),
    last_user_text=last_user_text_reader("messages", "text"),
    inline_files=inline_documents,
    reports_early_usage=True,
)
