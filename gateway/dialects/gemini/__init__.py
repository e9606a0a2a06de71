"""Google's generateContent: the Gemini API, and Vertex AI below other paths.

Inverse pairs stand side by side: `request_in` and `request_out` (with `parts_*` and
`contents_out` for the history), `stream_in` and `stream_out`, and both ways in one file
for `tools`, `thinking`, `output`, `schema`, `citations`, `response`, `usage`, `finish`,
`errors`, `embed`. `signatures` is how opaque state travels in `thoughtSignature`.
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
from gateway.dialects.gemini import (
    errors,
    passthrough_schema,
    request_in,
    request_out,
    response,
    signatures,
    stream_in,
    stream_out,
)
from gateway.dialects.gemini.embed import EmbedClient, EmbedProvider
from gateway.dialects.gemini.names import NAME, resource_path, split_resource
from gateway.dialects.gemini.parts_out import needs_bytes
from gateway.dialects.shared.last_user_text import last_user_text_reader

_ACTIONS: dict[str, str] = {"generate": "generateContent", "count_tokens": "countTokens"}


class _Client:
    """Adapter for Gemini clients."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        return request_in.parse_request(body, headers)

    def render_response(
        self, answer: Response, context: ResponseContext
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        return response.render_response(answer, context)

    def stream_renderer(self, context: ResponseContext) -> stream_out.GeminiStreamRenderer:
        return stream_out.GeminiStreamRenderer(context)

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return errors.render_error(error, request_id)

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"totalTokens": tokens}


class _Provider:
    """Adapter for Google's API."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        action = "streamGenerateContent" if stream and verb == "generate" else _ACTIONS[verb]
        tail = "?alt=sse" if stream and verb == "generate" else ""
        return f"/v1beta/{resource_path(model)}:{action}{tail}"

    def render_request(self, request: Request, traits: Traits) -> RenderedRequest:
        return request_out.render_request(request, traits)

    def parse_response(
        self, body: Any, traits: Traits, rendered: RenderedRequest | None
    ) -> Response:
        return response.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: RenderedRequest | None
    ) -> stream_in.GeminiStreamParser:
        return stream_in.GeminiStreamParser(traits, rendered)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        tokens = body.get("totalTokens") if isinstance(body, dict) else None
        if type(tokens) is not int or tokens < 0:
            raise bad_upstream("the upstream's count holds no number of totalTokens")
        return tokens


def _count_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """A count with everything that counts: instructions and tools too."""
    return {"generateContentRequest": {"model": "/".join(split_resource(model)), **body}}


DIALECT = Dialect(
    name=NAME,
    # An empty line: nothing in a stream of events, nothing between the items of an array.
    keepalive=b"\r\n",
    client=_Client(),
    provider=_Provider(),
    check_passthrough=passthrough_schema.check,
    model_in_path=True,
    carries_reasoning_state=True,
    drop_reasoning_state=signatures.drop_state,
    replays_reasoning=True,
    default_reasoning_display="none",
    token_count_body=_count_body,
    needs_inline_media=needs_bytes,
    embed_client=EmbedClient(),
    embed_provider=EmbedProvider(),
    last_user_text=last_user_text_reader("contents", None),
)
