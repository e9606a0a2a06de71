"""OpenAI's embeddings, and the many providers with the same API.

Requests to generate text are refused.
"""

from __future__ import annotations

from functools import partial
from typing import NoReturn

from gateway.canon.errors import Error, GatewayError
from gateway.dialects.base import Client, Dialect, EmbedClient, EmbedProvider, Provider, Verb
from gateway.dialects.openai_embeddings.request import NAME, PATH, check_passthrough
from gateway.dialects.openai_embeddings.request import parse_embed as parse_embed_request
from gateway.dialects.openai_embeddings.request import render_embed as render_embed_request
from gateway.dialects.openai_embeddings.response import parse_embed as parse_embed_response
from gateway.dialects.openai_embeddings.response import peek_embed_usage
from gateway.dialects.openai_embeddings.response import render_embed as render_embed_response
from gateway.dialects.shared.openai_errors import (
    CONTEXT_LENGTH_MARKERS,
    parse_error,
    render_error,
)
from gateway.dialects.shared.token_count import count_renderer, no_count


def _refuse_generation(*_: object) -> NoReturn:
    raise GatewayError(
        Error(kind="unsupported_param", message="this provider supports only embeddings")
    )


def _endpoint_path(model: str, *, stream: bool, verb: Verb) -> str:
    return PATH


def _embed_path(model: str) -> str:
    return PATH


DIALECT = Dialect(
    name=NAME,
    keepalive=b"",
    client=Client(
        parse_request=_refuse_generation,
        render_response=_refuse_generation,
        stream_renderer=_refuse_generation,
        render_error=partial(render_error, prompt="input"),
        context_length_markers=CONTEXT_LENGTH_MARKERS,
        render_count=count_renderer("input_tokens", object="response.input_tokens"),
    ),
    provider=Provider(
        path=_endpoint_path,
        render_request=_refuse_generation,
        parse_response=_refuse_generation,
        stream_parser=_refuse_generation,
        parse_error=parse_error,
        parse_count=no_count("there is no token counting API for embeddings"),
    ),
    check_passthrough=check_passthrough,
    embed_client=EmbedClient(parse_embed=parse_embed_request, render_embed=render_embed_response),
    embed_provider=EmbedProvider(
        embed_path=_embed_path,
        render_embed=render_embed_request,
        parse_embed=parse_embed_response,
        peek_embed_usage=peek_embed_usage,
    ),
)
