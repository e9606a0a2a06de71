"""OpenAI Responses: items in, items out."""

from __future__ import annotations

from functools import partial

from gateway.dialects.base import Client, Dialect, PromptFormat, Provider
from gateway.dialects.openai_responses.context import COMPACT, NAME
from gateway.dialects.openai_responses.passed_failure import render_passed_failure
from gateway.dialects.openai_responses.reasoning import drop_state, replace_tokens
from gateway.dialects.openai_responses.request import (
    check_passthrough,
    parse_request,
    provider_path,
    read_echo,
    render_request,
    token_count_body,
)
from gateway.dialects.openai_responses.response import peek_usage, render_response
from gateway.dialects.openai_responses.stream_parser import ResponsesStreamParser, parse_response
from gateway.dialects.openai_responses.stream_renderer import ResponsesStreamRenderer
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.dialects.shared.openai_errors import (
    CONTEXT_LENGTH_MARKERS,
    parse_error,
    render_error,
)
from gateway.dialects.shared.token_count import count_parser, count_renderer

DIALECT = Dialect(
    name=NAME,
    output_limits=(("max_output_tokens",),),
    keepalive=b": keep-alive\n\n",
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=ResponsesStreamRenderer,
        render_error=partial(render_error, prompt="input"),
        context_length_markers=CONTEXT_LENGTH_MARKERS,
        render_count=count_renderer("input_tokens", object="response.input_tokens"),
        render_passed_failure=render_passed_failure,
    ),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=ResponsesStreamParser,
        parse_error=parse_error,
        parse_count=count_parser("input_tokens"),
    ),
    replays_reasoning=True,
    check_passthrough=check_passthrough,
    peek_usage=peek_usage,
    token_count_body=token_count_body,
    passthrough_paths={COMPACT: "/responses/compact"},
    passthrough_only=frozenset({COMPACT}),
    parse_continuation=parse_request,
    read_echo=read_echo,
    replace_state_tokens=replace_tokens,
    drop_reasoning_state=drop_state,
    # https://platform.openai.com/docs/api-reference/responses/create#responses-create-prompt
    prompt_format=PromptFormat(
        messages="input",
        reference_field="prompt",
        foreign_id_prefix="pmpt_",
        parameters={
            "temperature": ("temperature",),
            "top_p": ("top_p",),
            "max_tokens": ("max_output_tokens",),
        },
    ),
    last_user_text=last_user_text_reader("input", "input_text"),
)
