"""OpenAI Responses: items in, items out.

Inverse pairs stand side by side: `request_in` and `request_out` (with `items_*`,
`parts_*` and `tools_*` for the input), `stream_in` and `stream_out` (a whole answer is read
as a stream of one event; `response_out` writes it, `writers` are the items of a stream
while they are written), and both ways in one file for `thinking`, `output`, `usage`,
`finish`, `citations`, `errors`. `state` says what a request leaves to us to remember.
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
from gateway.dialects.openai_responses import (
    passthrough_schema,
    peek_usage,
    request_in,
    request_out,
    response_out,
    state_tokens,
    stream_in,
    stream_out,
)
from gateway.dialects.openai_responses.echo import read_echo
from gateway.dialects.openai_responses.names import COMPACT, NAME
from gateway.dialects.shared import openai_errors
from gateway.dialects.shared.last_user_text import last_user_text_reader


class _Client:
    """Adapter for Responses clients."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        return request_in.parse_request(body, headers)

    def render_response(
        self, response: Response, context: ResponseContext
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        return response_out.render_response(response, context)

    def stream_renderer(self, context: ResponseContext) -> stream_out.ResponsesStreamRenderer:
        return stream_out.ResponsesStreamRenderer(context)

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return openai_errors.render_error(error, request_id, prompt="input")

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"object": "response.input_tokens", "input_tokens": tokens}


class _Provider:
    """Adapter for Responses providers."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return "/responses/input_tokens" if verb == "count_tokens" else "/responses"

    def render_request(self, request: Request, traits: Traits) -> RenderedRequest:
        return request_out.render_request(request, traits)

    def parse_response(
        self, body: Any, traits: Traits, rendered: RenderedRequest | None
    ) -> Response:
        return stream_in.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: RenderedRequest | None
    ) -> stream_in.ResponsesStreamParser:
        return stream_in.ResponsesStreamParser(traits, rendered)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        return openai_errors.parse_error(status, headers, body)

    def parse_count(self, body: Any) -> int:
        tokens = body.get("input_tokens") if isinstance(body, dict) else None
        if type(tokens) is not int or tokens < 0:
            raise bad_upstream("the upstream's count holds no number of input_tokens")
        return tokens


DIALECT = Dialect(
    name=NAME,
    keepalive=b": keep-alive\n\n",
    client=_Client(),
    provider=_Provider(),
    replays_reasoning=True,
    check_passthrough=passthrough_schema.check,
    peek_usage=peek_usage.peek_usage,
    token_count_body=request_out.token_count_body,
    passthrough_paths={COMPACT: "/responses/compact"},
    passthrough_only=frozenset({COMPACT}),
    parse_continuation=request_in.parse_request,
    read_echo=read_echo,
    replace_state_tokens=state_tokens.replace_tokens,
    drop_reasoning_state=state_tokens.drop_state,
    last_user_text=last_user_text_reader("input", "input_text"),
)
