"""Ollama's own API: /api/chat and /api/generate, and /api/embed.

A prompt of /api/generate is parsed as a chat with one message; to an Ollama provider it is
passed through unchanged.
"""

from __future__ import annotations

from gateway.dialects.base import (
    Client,
    Dialect,
    EmbedClient,
    EmbedProvider,
    PromptFormat,
    Provider,
)
from gateway.dialects.ollama.context import EMBEDDINGS_PATH, GENERATE_PATH, NAME
from gateway.dialects.ollama.embed import (
    embed_path,
    parse_embed_request,
    parse_embed_response,
    peek_embed_usage,
    render_embed_request,
    render_embed_response,
)
from gateway.dialects.ollama.errors import parse_error, render_error
from gateway.dialects.ollama.messages import needs_bytes
from gateway.dialects.ollama.request import (
    check_passthrough,
    parse_request,
    provider_path,
    render_request,
)
from gateway.dialects.ollama.response import plan_request, render_response
from gateway.dialects.ollama.stream import OllamaStreamParser, OllamaStreamRenderer, parse_response
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.dialects.shared.token_count import count_renderer, no_count
from gateway.framing.ndjson import KEEPALIVE

DIALECT = Dialect(
    name=NAME,
    output_limits=(("options", "num_predict"),),
    keepalive=KEEPALIVE,
    framing="ndjson",
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=OllamaStreamRenderer,
        render_error=render_error,
        render_count=count_renderer("prompt_eval_count"),
    ),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=OllamaStreamParser,
        parse_error=parse_error,
        parse_count=no_count("Ollama has no token counting API"),
    ),
    needs_inline_media=needs_bytes,
    embed_client=EmbedClient(parse_embed=parse_embed_request, render_embed=render_embed_response),
    embed_provider=EmbedProvider(
        embed_path=embed_path,
        render_embed=render_embed_request,
        parse_embed=parse_embed_response,
        peek_embed_usage=peek_embed_usage,
    ),
    check_passthrough=check_passthrough,
    streams_by_default=True,
    plan_request=plan_request,
    passthrough_paths={GENERATE_PATH: GENERATE_PATH, EMBEDDINGS_PATH: EMBEDDINGS_PATH},
    prompt_format=PromptFormat(
        excluded_fields=frozenset({"prompt"}),
        parameters_object="options",
        parameters={
            "temperature": ("temperature",),
            "top_p": ("top_p",),
            "max_tokens": ("num_predict",),
            "stop": ("stop",),
        },
    ),
    last_user_text=last_user_text_reader("messages", None),
)
