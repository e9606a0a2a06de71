"""Cohere's chat and embeddings, version 2, for providers only."""

from __future__ import annotations

from gateway.dialects.base import Dialect, EmbedProvider, Provider
from gateway.dialects.cohere.context import NAME
from gateway.dialects.cohere.embed import embed_path, parse_embed_response, render_embed_request
from gateway.dialects.cohere.errors import parse_error
from gateway.dialects.cohere.request import provider_path, render_request
from gateway.dialects.cohere.response import ChatStreamParser, parse_response
from gateway.dialects.shared.provider_only import provider_only_client
from gateway.dialects.shared.token_count import no_count

DIALECT = Dialect(
    name=NAME,
    keepalive=b"",
    client=provider_only_client(NAME),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=ChatStreamParser,
        parse_error=parse_error,
        parse_count=no_count("Cohere does not count tokens of chats"),
    ),
    serves_clients=False,
    embed_provider=EmbedProvider(
        embed_path=embed_path, render_embed=render_embed_request, parse_embed=parse_embed_response
    ),
)
