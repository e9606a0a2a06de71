"""Google's generateContent: the Gemini API, and Vertex AI below other paths."""

from __future__ import annotations

from typing import Any

from gateway.dialects.base import Client, Dialect, EmbedClient, EmbedProvider, Provider, Verb
from gateway.dialects.gemini.contents import needs_bytes
from gateway.dialects.gemini.context import NAME, resource_path, split_resource
from gateway.dialects.gemini.embed import (
    embed_path,
    parse_embed_request,
    parse_embed_response,
    render_embed_request,
    render_embed_response,
)
from gateway.dialects.gemini.errors import parse_error, render_error
from gateway.dialects.gemini.reasoning import drop_state
from gateway.dialects.gemini.request import check, parse_request, render_request
from gateway.dialects.gemini.response import render_response
from gateway.dialects.gemini.stream import GeminiStreamParser, GeminiStreamRenderer, parse_response
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.dialects.shared.token_count import count_parser

_ACTIONS: dict[str, str] = {"generate": "generateContent", "count_tokens": "countTokens"}


def _count_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """A count with everything that counts: instructions and tools too."""
    return {"generateContentRequest": {"model": "/".join(split_resource(model)), **body}}


def _render_count(tokens: int) -> dict[str, Any]:
    return {"totalTokens": tokens}


def _path(model: str, *, stream: bool, verb: Verb) -> str:
    action = "streamGenerateContent" if stream and verb == "generate" else _ACTIONS[verb]
    tail = "?alt=sse" if stream and verb == "generate" else ""
    return f"/v1beta/{resource_path(model)}:{action}{tail}"


DIALECT = Dialect(
    name=NAME,
    # An empty line: nothing in a stream of events, nothing between the items of an array.
    keepalive=b"\r\n",
    client=Client(
        parse_request=parse_request,
        render_response=render_response,
        stream_renderer=GeminiStreamRenderer,
        render_error=render_error,
        render_count=_render_count,
    ),
    provider=Provider(
        path=_path,
        render_request=render_request,
        parse_response=parse_response,
        stream_parser=GeminiStreamParser,
        parse_error=parse_error,
        parse_count=count_parser("totalTokens"),
    ),
    check_passthrough=check,
    model_in_path=True,
    carries_reasoning_state=True,
    drop_reasoning_state=drop_state,
    replays_reasoning=True,
    default_reasoning_display="none",
    token_count_body=_count_body,
    needs_inline_media=needs_bytes,
    embed_client=EmbedClient(parse_embed=parse_embed_request, render_embed=render_embed_response),
    embed_provider=EmbedProvider(
        embed_path=embed_path, render_embed=render_embed_request, parse_embed=parse_embed_response
    ),
    last_user_text=last_user_text_reader("contents", None),
)
