"""OpenAI's embeddings, and the many providers with the same API.

`request` and `response` hold both directions. The dialect cannot generate: such requests
are refused.
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
from gateway.dialects.base import (
    Dialect,
    ErrorReply,
    RenderedRequest,
    ResponseContext,
    StreamParser,
    StreamRenderer,
    Verb,
)
from gateway.dialects.openai_embeddings import passthrough_schema, request, response
from gateway.dialects.openai_embeddings.names import NAME, PATH
from gateway.dialects.shared import openai_errors


def _refuse_generation() -> NoReturn:
    raise GatewayError(
        Error(kind="unsupported_param", message="this provider supports embeddings only")
    )


class _Client:
    """Adapter for embeddings clients."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        _refuse_generation()

    def render_response(
        self, response: Response, context: ResponseContext
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        _refuse_generation()

    def stream_renderer(self, context: ResponseContext) -> StreamRenderer:
        _refuse_generation()

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return openai_errors.render_error(error, request_id, "input")

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"object": "response.input_tokens", "input_tokens": tokens}

    def parse_embed(self, body: dict[str, Any]) -> EmbedRequest:
        return request.parse_embed(body)

    def render_embed(
        self, answer: EmbedResponse, embed_request: EmbedRequest, context: ResponseContext
    ) -> dict[str, Any]:
        return response.render_embed(answer, embed_request, context)


class _Provider:
    """Adapter for embeddings providers."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return PATH

    def render_request(self, generate_request: Request, traits: Traits) -> RenderedRequest:
        _refuse_generation()

    def parse_response(
        self, body: Any, traits: Traits, rendered: RenderedRequest | None
    ) -> Response:
        _refuse_generation()

    def stream_parser(self, traits: Traits, rendered: RenderedRequest | None) -> StreamParser:
        _refuse_generation()

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return openai_errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        raise bad_upstream("there is no call that counts the tokens of an embedding")

    def embed_path(self, model: str) -> str:
        return PATH

    def render_embed(self, embed_request: EmbedRequest, traits: Traits) -> RenderedRequest:
        return request.render_embed(embed_request, traits)

    def parse_embed(self, body: Any) -> EmbedResponse:
        return response.parse_embed(body)

    def peek_embed_usage(self, data: bytes) -> EmbedResponse | None:
        return response.peek_embed_usage(data)


_CLIENT, _PROVIDER = _Client(), _Provider()
DIALECT = Dialect(
    name=NAME,
    keepalive=b"",
    client=_CLIENT,
    provider=_PROVIDER,
    check_passthrough=passthrough_schema.check,
    embed_client=_CLIENT,
    embed_provider=_PROVIDER,
)
