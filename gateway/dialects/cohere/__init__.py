"""Cohere's chat and embeddings, version 2: the half that calls them.

`request_out` (with `messages_out` and `tools`) writes a request; `stream_in` and `response`
(with `usage`, `finish`, `citations`) read an answer, `errors` a refusal; `embed` is both ways of
vectors. No client speaks it to the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.errors import Error, bad_upstream
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import Dialect, RenderedRequest, Verb
from gateway.dialects.cohere import errors, request_out, response, stream_in
from gateway.dialects.cohere.embed import EmbedProvider
from gateway.dialects.cohere.names import NAME
from gateway.dialects.shared.provider_only import ProviderOnlyClient


class _Provider:
    """Adapter for Cohere."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return "/v2/chat"

    def render_request(self, request: Request, traits: Traits) -> RenderedRequest:
        return request_out.render_request(request, traits)

    def parse_response(
        self, body: Any, traits: Traits, rendered: RenderedRequest | None
    ) -> Response:
        return response.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: RenderedRequest | None
    ) -> stream_in.ChatStreamParser:
        return stream_in.ChatStreamParser(traits, rendered)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        raise bad_upstream("Cohere counts no chats")


DIALECT = Dialect(
    name=NAME,
    keepalive=b"",
    client=ProviderOnlyClient(NAME),
    provider=_Provider(),
    serves_clients=False,
    embed_provider=EmbedProvider(),
)
