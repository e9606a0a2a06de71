"""OpenAI's legacy text completions: a prompt in, its continuation out."""

from __future__ import annotations

from functools import partial

from gateway.dialects.base import Client, Dialect, Provider
from gateway.dialects.openai_completions.request import (
    NAME,
    check_passthrough,
    parse_request,
    plan_request,
    provider_path,
    render_request,
)
from gateway.dialects.openai_completions.response import (
    CompletionStreamParser,
    CompletionStreamRenderer,
    parse_response,
    render_response,
)
from gateway.dialects.shared.openai_errors import (
    CONTEXT_LENGTH_MARKERS,
    parse_error,
    render_error,
)
from gateway.dialects.shared.token_count import count_renderer, no_count

DIALECT = Dialect(
    name=NAME,
    output_limits=(("max_tokens",), ("max_completion_tokens",)),
    returns_choices="passthrough",
    keepalive=b": keep-alive\n\n",
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=CompletionStreamRenderer,
        render_error=partial(render_error, prompt="prompt"),
        context_length_markers=CONTEXT_LENGTH_MARKERS,
        render_count=count_renderer("input_tokens", object="response.input_tokens"),
    ),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=CompletionStreamParser,
        parse_error=parse_error,
        parse_count=no_count("there is no token counting API for completions"),
    ),
    check_passthrough=check_passthrough,
    plan_request=plan_request,
)
