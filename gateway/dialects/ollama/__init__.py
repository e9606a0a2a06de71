"""Ollama's own API: /api/chat and /api/generate, and /api/embed.

Inverse pairs stand side by side: `request_in` and `request_out` (with `messages_*` for
the history), `stream_in` and `stream_out` (a whole answer is read as a stream of one
line; `response_out` writes it), and both ways in one file for `tools`, `usage`,
`finish`, `errors`, `embed`. A prompt of /api/generate is read as a chat of one message;
to an Ollama it passes through as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, bad_upstream
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import Dialect, ErrorReply, RenderedRequest, ResponseContext, Verb
from gateway.dialects.ollama import (
    errors,
    passthrough_schema,
    request_in,
    request_out,
    response_out,
    stream_in,
    stream_out,
)
from gateway.dialects.ollama.embed import EmbedClient, EmbedProvider
from gateway.dialects.ollama.messages_out import needs_bytes
from gateway.dialects.ollama.names import CHAT_PATH, EMBEDDINGS_PATH, GENERATE_PATH, NAME
from gateway.dialects.shared.last_user_text import last_user_text_reader
from gateway.framing.ndjson import KEEPALIVE


class _Client:
    """Adapter for Ollama clients."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        return request_in.parse_request(body, headers)

    def render_response(
        self, response: Response, context: ResponseContext
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        return response_out.render_response(response, context)

    def stream_renderer(self, context: ResponseContext) -> stream_out.OllamaStreamRenderer:
        return stream_out.OllamaStreamRenderer(context)

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return errors.render_error(error, request_id)

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"prompt_eval_count": tokens}


class _Provider:
    """Adapter for an Ollama server."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return CHAT_PATH

    def render_request(self, request: Request, traits: Traits) -> RenderedRequest:
        return request_out.render_request(request, traits)

    def parse_response(
        self, body: Any, traits: Traits, rendered: RenderedRequest | None
    ) -> Response:
        return stream_in.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: RenderedRequest | None
    ) -> stream_in.OllamaStreamParser:
        return stream_in.OllamaStreamParser(traits, rendered)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        raise bad_upstream("Ollama has no call that counts tokens")


DIALECT = Dialect(
    name=NAME,
    keepalive=KEEPALIVE,
    framing="ndjson",
    client=_Client(),
    provider=_Provider(),
    needs_inline_media=needs_bytes,
    embed_client=EmbedClient(),
    embed_provider=EmbedProvider(),
    check_passthrough=passthrough_schema.check,
    streams_by_default=True,
    render_preload=response_out.render_empty_answer,
    passthrough_paths={GENERATE_PATH: GENERATE_PATH, EMBEDDINGS_PATH: EMBEDDINGS_PATH},
    last_user_text=last_user_text_reader("messages", None),
)
