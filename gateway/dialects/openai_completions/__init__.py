"""OpenAI's older text completions: a prompt in, its continuation out.

`request_in` and `request_out`, `stream_in` and `answer_out` are inverse pairs; `usage`
and `finish` hold both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, bad_upstream
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import openai_errors
from gateway.dialects.base import Dialect, ErrorReply, Exchange, Rendered, Several, Verb
from gateway.dialects.openai_completions import (
    answer_out,
    outline,
    request_in,
    request_out,
    several,
    stream_in,
)
from gateway.dialects.openai_completions.names import NAME


class _Client:
    """What it takes to serve clients that send a prompt."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        return request_in.parse_request(body, headers)

    def render_response(
        self, response: Response, exchange: Exchange
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        return answer_out.render_response(response, exchange)

    def stream_renderer(self, exchange: Exchange) -> answer_out.CompletionStreamRenderer:
        return answer_out.CompletionStreamRenderer(exchange)

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return openai_errors.render_error(error, request_id, "prompt")

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"object": "response.input_tokens", "input_tokens": tokens}


class _Provider:
    """What it takes to call providers that continue a prompt."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return "/completions"

    def render_request(self, request: Request, traits: Traits) -> Rendered:
        return request_out.render_request(request, traits)

    def parse_response(self, body: Any, traits: Traits, rendered: Rendered | None) -> Response:
        return stream_in.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: Rendered | None
    ) -> stream_in.CompletionStreamParser:
        return stream_in.CompletionStreamParser(traits, rendered)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return openai_errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        raise bad_upstream("there is no call that counts a completion's tokens")


DIALECT = Dialect(
    name=NAME,
    keepalive=b": keep-alive\n\n",
    client=_Client(),
    provider=_Provider(),
    check=outline.check,
    several=Several(several.split, several.joined, several.JoinedStream),
)
