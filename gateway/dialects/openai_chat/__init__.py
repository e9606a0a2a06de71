"""OpenAI Chat Completions, and the many providers whose API is a variant of it."""

from __future__ import annotations

from gateway.dialects.base import Client, Dialect, PromptFormat, Provider
from gateway.dialects.openai_chat.parts import NAME, inline_files, needs_inline_media
from gateway.dialects.openai_chat.passed_tools import fit_passed_tools
from gateway.dialects.openai_chat.provider_response import parse_response
from gateway.dialects.openai_chat.reasoning import drop_state
from gateway.dialects.openai_chat.request import (
    check_passthrough,
    parse_request,
    provider_path,
    render_request,
)
from gateway.dialects.openai_chat.response import peek_usage, render_response
from gateway.dialects.openai_chat.stream_parser import ChatStreamParser
from gateway.dialects.openai_chat.stream_renderer import (
    ChatChoiceRenderer,
    ChatStreamRenderer,
    render_api_v1_error,
)
from gateway.dialects.openai_chat.tools import read_functions_echo
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.dialects.shared.openai_errors import (
    CONTEXT_LENGTH_MARKERS,
    parse_error,
    render_error,
)
from gateway.dialects.shared.token_count import count_renderer, no_count

DIALECT = Dialect(
    name=NAME,
    output_limits=(("max_completion_tokens",), ("max_tokens",)),
    returns_choices="always",
    keepalive=b": keep-alive\n\n",
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=ChatStreamRenderer,
        render_error=render_error,
        render_api_v1_error=render_api_v1_error,
        context_length_markers=CONTEXT_LENGTH_MARKERS,
        render_count=count_renderer("input_tokens", object="response.input_tokens"),
        choice_renderer=ChatChoiceRenderer,
    ),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=ChatStreamParser,
        parse_error=parse_error,
        parse_count=no_count("OpenAI Chat has no token counting API"),
    ),
    check_passthrough=check_passthrough,
    peek_usage=peek_usage,
    read_echo=read_functions_echo,
    needs_inline_media=needs_inline_media,
    inline_files=inline_files,
    fit_passed_tools=fit_passed_tools,
    drop_reasoning_state=drop_state,
    expects_reasoning=True,
    prompt_format=PromptFormat(
        parameters={
            "temperature": ("temperature",),
            "top_p": ("top_p",),
            "max_tokens": ("max_completion_tokens", "max_tokens"),
            "stop": ("stop",),
        },
    ),
    last_user_text=last_user_text_reader("messages", "text"),
)
