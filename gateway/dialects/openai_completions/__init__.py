"""OpenAI's legacy text completions: a prompt in, its continuation out.

`request_in` and `request_out`, `stream_in` and `response_out` are inverse pairs; `usage`
and `finish` hold both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error, bad_upstream
from gateway.canon.request import Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import (
    Dialect,
    ErrorReply,
    PromptSplit,
    RenderedRequest,
    ResponseContext,
    Verb,
)
from gateway.dialects.openai_completions import (
    passthrough_schema,
    prompt_split,
    request_in,
    request_out,
    response_out,
    stream_in,
)
from gateway.dialects.openai_completions.names import NAME
from gateway.dialects.shared import openai_errors


class _Client:
    """Adapter for completion clients."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        return request_in.parse_request(body, headers)

    def render_response(
        self, response: Response, context: ResponseContext
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        return response_out.render_response(response, context)

    def stream_renderer(self, context: ResponseContext) -> response_out.CompletionStreamRenderer:
        return response_out.CompletionStreamRenderer(context)

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return openai_errors.render_error(error, request_id, "prompt")

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"object": "response.input_tokens", "input_tokens": tokens}


class _Provider:
    """Adapter for completion providers."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return "/completions"

    def render_request(self, request: Request, traits: Traits) -> RenderedRequest:
        return request_out.render_request(request, traits)

    def parse_response(
        self, body: Any, traits: Traits, rendered: RenderedRequest | None
    ) -> Response:
        return stream_in.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: RenderedRequest | None
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
    check_passthrough=passthrough_schema.check,
    prompt_split=PromptSplit(
        prompt_split.split_request,
        prompt_split.merge_responses,
        prompt_split.MergedCompletionStream,
    ),
)
