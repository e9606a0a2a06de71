"""OpenAI Chat Completions, and the many providers that speak it with an accent.

Inverse pairs stand side by side: `request_in` and `request_out` (with `messages_*`
for the history), `stream_in` and `stream_out` (a whole answer is read as a stream of
one chunk; `response_out` writes it), and both ways in one file for `parts`, `calls`,
`tools`, `reasoning`, `output`, `usage`, `finish`, `citations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, bad_upstream
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import openai_errors as errors
from gateway.dialects.base import Dialect, ErrorReply, Exchange, Rendered, Verb
from gateway.dialects.ending import reader
from gateway.dialects.openai_chat import (
    glance,
    outline,
    request_in,
    request_out,
    response_out,
    stream_in,
    stream_out,
)
from gateway.dialects.openai_chat.parts import NAME, needs_bytes


class _Client:
    """What it takes to serve Chat clients."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        return request_in.parse_request(body, headers)

    def render_response(
        self, response: Response, exchange: Exchange
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        return response_out.render_response(response, exchange)

    def stream_renderer(self, exchange: Exchange) -> stream_out.ChatStreamRenderer:
        return stream_out.ChatStreamRenderer(exchange)

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return errors.render_error(error, request_id)

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"object": "response.input_tokens", "input_tokens": tokens}


class _Provider:
    """What it takes to call providers that speak Chat."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return "/chat/completions"

    def render_request(self, request: Request, traits: Traits) -> Rendered:
        return request_out.render_request(request, traits)

    def parse_response(self, body: Any, traits: Traits, rendered: Rendered | None) -> Response:
        return stream_in.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: Rendered | None
    ) -> stream_in.ChatStreamParser:
        return stream_in.ChatStreamParser(traits, rendered)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        raise bad_upstream("OpenAI Chat has no call that counts tokens")


DIALECT = Dialect(
    name=NAME,
    keepalive=b": keep-alive\n\n",
    client=_Client(),
    provider=_Provider(),
    check=outline.check,
    glance=glance.glance,
    needs_bytes=needs_bytes,
    expects_thoughts=True,
    ending=reader("messages", "text"),
)
