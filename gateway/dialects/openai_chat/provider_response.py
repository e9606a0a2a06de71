"""Complete responses of a provider: its JSON to canonical.

A response is read as a stream of one chunk; the most frequent one, a single text, directly.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.fold import fold_events
from gateway.canon.logprobs import logprob_tokens, logprobs_extra
from gateway.canon.request import Text
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_chat.connectors import executed_calls, merge_messages
from gateway.dialects.openai_chat.response import parse_finish, parse_usage
from gateway.dialects.openai_chat.stream_parser import (
    ChatStreamParser,
    Choice,
    Chunk,
    MessageFields,
    response_extra,
    wants_multiple_choices,
)
from gateway.dialects.shared.openai_errors import is_error, parse_error_payload


def parse_response(body: Any, traits: Traits, rendered_request: RenderedRequest | None) -> Response:
    """The canonical response. Raises GatewayError for a body that is no response."""
    if is_error(body):
        raise GatewayError(parse_error_payload(body))
    try:
        chunk = msgspec.convert(body, Chunk)
    except (msgspec.MsgspecError, RecursionError):
        raise bad_upstream("the upstream's response is not a chat completion") from None
    choices = chunk.choices
    if not choices or choices[0] is None:
        raise bad_upstream("the upstream's response contains no choices")
    response = _choice_response(chunk, choices[0], traits, rendered_request)
    if not wants_multiple_choices(rendered_request):
        return response
    chunk.usage = None
    other_calls = tuple(
        _choice_response(chunk, choice, traits, rendered_request)
        for choice in choices[1:]
        if choice
    )
    return msgspec.structs.replace(response, alternatives=other_calls)


def _choice_response(
    chunk: Chunk, choice: Choice, traits: Traits, rendered_request: RenderedRequest | None
) -> Response:
    if choice.message is None and choice.delta is None:
        message = merge_messages(choice.messages)
        if message is None:
            raise bad_upstream("the upstream's response contains no message")
        choice.message = MessageFields(**message)
    response = _text_response(chunk, choice)
    if response is not None:
        return response
    choice.index, choice.finish_reason = 0, choice.finish_reason or "stop"
    chunk.choices = [choice]
    response = fold_events(ChatStreamParser(traits, rendered_request).feed_complete(chunk))
    extra = response.extra | logprobs_extra(logprob_tokens(choice.logprobs))
    parts = (*executed_calls(choice.messages), *response.parts)
    return msgspec.structs.replace(response, parts=parts, extra=extra)


def _text_response(chunk: Chunk, choice: Choice) -> Response | None:
    """The response if its message is one text without anything else; else None."""
    message = choice.message
    if message is None or type(message.content) is not str or not message.content:
        return None
    if (
        message.reasoning_content
        or message.reasoning
        or message.reasoning_details
        or message.refusal
        or message.annotations
        or message.audio
        or message.images
        or message.tool_calls
        or message.function_call
        or choice.delta is not None
        or choice.logprobs is not None
        or chunk.x_groq is not None
        or chunk.citations
        or chunk.search_results
    ):
        return None
    tier = chunk.service_tier
    return Response(
        id=chunk.id if isinstance(chunk.id, str) else "",
        model=chunk.model if isinstance(chunk.model, str) else "",
        parts=(Text(text=message.content),),
        finish=parse_finish(
            choice.finish_reason or "stop", calls=False, has_refusal=False, stop=choice.stop_reason
        ),
        usage=parse_usage(chunk.usage) if chunk.usage else None,
        created=chunk.created if type(chunk.created) is int else None,
        service_tier=tier if isinstance(tier, str) else None,
        extra=response_extra(chunk),
    )
