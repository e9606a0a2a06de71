"""Google's generateContent: the Gemini API, and Vertex AI below other paths."""

from __future__ import annotations

from itertools import product

from gateway.dialects.base import (
    Client,
    Dialect,
    EmbedClient,
    EmbedProvider,
    PromptFormat,
    Provider,
)
from gateway.dialects.gemini.contents import needs_bytes
from gateway.dialects.gemini.context import NAME
from gateway.dialects.gemini.embed import (
    embed_path,
    parse_embed_request,
    parse_embed_response,
    render_embed_request,
    render_embed_response,
)
from gateway.dialects.gemini.errors import parse_error, render_error
from gateway.dialects.gemini.reasoning import drop_state
from gateway.dialects.gemini.request import (
    COUNTED_REQUEST,
    check_passthrough,
    parse_request,
    provider_path,
    render_request,
    token_count_body,
)
from gateway.dialects.gemini.response import render_response
from gateway.dialects.gemini.stream import GeminiStreamParser, GeminiStreamRenderer, parse_response
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.dialects.shared.token_count import count_parser, count_renderer

DIALECT = Dialect(
    name=NAME,
    # Google also accepts names in snake_case.
    output_limits=tuple(
        product(("generationConfig", "generation_config"), ("maxOutputTokens", "max_output_tokens"))
    ),
    returns_choices="always",
    # An empty line is ignored both in a stream of events and between the items of a JSON array.
    keepalive=b"\r\n",
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=GeminiStreamRenderer,
        render_error=render_error,
        render_count=count_renderer("totalTokens"),
    ),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=GeminiStreamParser,
        parse_error=parse_error,
        parse_count=count_parser("totalTokens"),
    ),
    check_passthrough=check_passthrough,
    model_in_path=True,
    carries_reasoning_state=True,
    # Gemini signs its calls, so Gemini CLI sends back the calls, but no thoughts.
    may_omit_thoughts=True,
    drop_reasoning_state=drop_state,
    replays_reasoning=True,
    default_reasoning_display="none",
    token_count_body=token_count_body,
    # It has a model of its own, and Vertex AI does not accept it.
    translated_fields=COUNTED_REQUEST,
    needs_inline_media=needs_bytes,
    embed_client=EmbedClient(parse_embed=parse_embed_request, render_embed=render_embed_response),
    embed_provider=EmbedProvider(
        embed_path=embed_path, render_embed=render_embed_request, parse_embed=parse_embed_response
    ),
    prompt_format=PromptFormat(
        messages="contents",
        system="systemInstruction",
        assistant_role="model",
        uses_parts=True,
        excluded_fields=COUNTED_REQUEST,
        parameters_object="generationConfig",
        parameters={
            "temperature": ("temperature",),
            "top_p": ("topP", "top_p"),
            "max_tokens": ("maxOutputTokens", "max_output_tokens"),
            "stop": ("stopSequences", "stop_sequences"),
        },
    ),
    last_user_text=last_user_text_reader("contents", None),
)
