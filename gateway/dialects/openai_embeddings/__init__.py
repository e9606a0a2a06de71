"""OpenAI's embeddings, and the many providers that speak them.

`request` and `response` hold both ways. The dialect has no answers: what generates is
refused in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from gateway.canon.adaptation import Adaptation
from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import openai_errors
from gateway.dialects.base import (
    Dialect,
    ErrorReply,
    Exchange,
    Rendered,
    StreamParser,
    StreamRenderer,
    Verb,
)
from gateway.dialects.openai_embeddings import outline, request, response
from gateway.dialects.openai_embeddings.names import NAME, PATH


def _no_answers() -> NoReturn:
    raise GatewayError(
        Error(kind="unsupported_param", message="this provider makes embeddings only")
    )


class _Client:
    """What it takes to serve clients that want vectors."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        _no_answers()

    def render_response(
        self, answer: Response, exchange: Exchange
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        _no_answers()

    def stream_renderer(self, exchange: Exchange) -> StreamRenderer:
        _no_answers()

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return openai_errors.render_error(error, request_id, "input")

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"object": "response.input_tokens", "input_tokens": tokens}

    def parse_embed(self, body: dict[str, Any]) -> EmbedRequest:
        return request.parse_embed(body)

    def render_embed(
        self, answer: EmbedResponse, asked: EmbedRequest, exchange: Exchange
    ) -> dict[str, Any]:
        return response.render_embed(answer, asked, exchange)


class _Provider:
    """What it takes to have a provider make vectors."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return PATH

    def render_request(self, asked: Request, traits: Traits) -> Rendered:
        _no_answers()

    def parse_response(self, body: Any, traits: Traits, rendered: Rendered | None) -> Response:
        _no_answers()

    def stream_parser(self, traits: Traits, rendered: Rendered | None) -> StreamParser:
        _no_answers()

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return openai_errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        raise bad_upstream("there is no call that counts the tokens of an embedding")

    def embed_path(self, model: str) -> str:
        return PATH

    def render_embed(self, asked: EmbedRequest, traits: Traits) -> Rendered:
        return request.render_embed(asked, traits)

    def parse_embed(self, body: Any) -> EmbedResponse:
        return response.parse_embed(body)

    def glance_embed(self, data: bytes) -> EmbedResponse | None:
        return response.glance_embed(data)


_CLIENT, _PROVIDER = _Client(), _Provider()
DIALECT = Dialect(
    name=NAME,
    keepalive=b"",
    client=_CLIENT,
    provider=_PROVIDER,
    check=outline.check,
    embed_client=_CLIENT,
    embed_provider=_PROVIDER,
)
