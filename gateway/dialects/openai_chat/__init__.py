"""OpenAI Chat Completions, and the many providers whose API is a variant of it.

Inverse pairs: `request_in` and `request_out` (with `messages_*` for the history),
`stream_in` and `stream_out` (a complete response is parsed as a stream of one chunk;
`response_out` renders it). `parts`, `tool_calls`, `tools`, `reasoning`, `output`, `usage`,
`finish` and `citations` hold both directions.
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
from gateway.dialects.openai_chat import (
    legacy_functions,
    passthrough_schema,
    peek_usage,
    request_in,
    request_out,
    response_out,
    stream_in,
    stream_out,
)
from gateway.dialects.openai_chat.parts import NAME, inline_files, needs_inline_media
from gateway.dialects.shared import openai_errors as errors
from gateway.dialects.shared.last_user_text import last_user_text_reader


class _Client:
    """Adapter for Chat clients."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        return request_in.parse_request(body, headers)

    def render_response(
        self, response: Response, context: ResponseContext
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        return response_out.render_response(response, context)

    def stream_renderer(self, context: ResponseContext) -> stream_out.ChatStreamRenderer:
        return stream_out.ChatStreamRenderer(context)

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        return errors.render_error(error, request_id)

    def render_count(self, tokens: int) -> dict[str, Any]:
        return {"object": "response.input_tokens", "input_tokens": tokens}


class _Provider:
    """Adapter for Chat providers."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        return "/chat/completions"

    def render_request(self, request: Request, traits: Traits) -> RenderedRequest:
        return request_out.render_request(request, traits)

    def parse_response(
        self, body: Any, traits: Traits, rendered: RenderedRequest | None
    ) -> Response:
        return stream_in.parse_response(body, traits, rendered)

    def stream_parser(
        self, traits: Traits, rendered: RenderedRequest | None
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
    check_passthrough=passthrough_schema.check,
    peek_usage=peek_usage.peek_usage,
    read_echo=legacy_functions.read_functions_echo,
    needs_inline_media=needs_inline_media,
    inline_files=inline_files,
    expects_reasoning=True,
    last_user_text=last_user_text_reader("messages", "text"),
)
