"""Cohere's chat and embeddings, version 2."""

from __future__ import annotations

from gateway.dialects.base import (
    Client,
    Dialect,
    EmbedClient,
    EmbedProvider,
    PromptFormat,
    Provider,
)
from gateway.dialects.cohere.client_embed import parse_embed_request, render_embed_response
from gateway.dialects.cohere.client_request import (
    check_passthrough,
    parse_request,
    read_documents_echo,
)
from gateway.dialects.cohere.client_response import ChatStreamRenderer, render_response
from gateway.dialects.cohere.context import NAME
from gateway.dialects.cohere.embed import (
    embed_path,
    parse_embed_response,
    peek_embed_usage,
    render_embed_request,
)
from gateway.dialects.cohere.errors import parse_error, render_error
from gateway.dialects.cohere.request import provider_path, render_request
from gateway.dialects.cohere.response import ChatStreamParser, parse_response
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.dialects.shared.token_count import count_renderer, no_count

DIALECT = Dialect(
    name=NAME,
    output_limits=(("max_tokens",),),
    keepalive=b": keep-alive\n\n",
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=ChatStreamRenderer,
        render_error=render_error,
        render_count=count_renderer("input_tokens"),
    ),
    provider=Provider(
        path=provider_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=ChatStreamParser,
        parse_error=parse_error,
        parse_count=no_count("Cohere does not count tokens of chats"),
    ),
    check_passthrough=check_passthrough,
    read_echo=read_documents_echo,
    embed_client=EmbedClient(parse_embed=parse_embed_request, render_embed=render_embed_response),
    embed_provider=EmbedProvider(
        embed_path=embed_path,
        render_embed=render_embed_request,
        parse_embed=parse_embed_response,
        peek_embed_usage=peek_embed_usage,
    ),
    prompt_format=PromptFormat(
        parameters={
            "temperature": ("temperature",),
            "top_p": ("p",),
            "max_tokens": ("max_tokens",),
            "stop": ("stop_sequences",),
        },
    ),
    last_user_text=last_user_text_reader("messages", "text"),
)
