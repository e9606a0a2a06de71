"""Errors: `{"error": "message"}`, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.errors import KINDS, Error
from gateway.canon.json_values import decode_or_none
from gateway.dialects.base import ErrorReply
from gateway.dialects.ollama.context import Json
from gateway.dialects.shared.errors import (
    MAX_MESSAGE_CHARS,
    Phrases,
    context_length_message,
    kind_of_status,
    plain_error_message,
    refine_kind,
    retry_after_header,
    with_response_headers,
)

# Phrases in the message that are the only sign of a kind.
_KIND_BY_PHRASE: Phrases = (
    ("does not support", "unsupported_param"),
    ("is not supported for this model", "unsupported_param"),
    ("server busy", "overloaded"),
    ("not found", "not_found"),
    ("too many requests", "rate_limit"),
)


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The canonical error of an upstream's error response."""
    payload = decode_or_none(body)
    error = parse_error_payload(payload, status=status, body=body)
    return with_response_headers(error, headers, payload, "x-request-id")


def is_error(payload: Any) -> bool:
    """Whether JSON with status 200 is an error."""
    return isinstance(payload, dict) and bool(payload.get("error"))


def parse_error_payload(payload: Any, *, status: int | None = None, body: bytes = b"") -> Error:
    """The error in a payload; without a message in it, the text of `body`."""
    error_value: Any = payload.get("error") if isinstance(payload, dict) else None
    code: Any = None
    if isinstance(error_value, dict):
        error_value, code = (
            error_value.get("message"),
            error_value.get("code") or error_value.get("type"),
        )
    message = (
        error_value
        if isinstance(error_value, str) and error_value
        else plain_error_message(body, status)
    )
    return Error(
        kind=refine_kind(kind_of_status(status), message, _KIND_BY_PHRASE),
        message=message[:MAX_MESSAGE_CHARS],
        code=str(code)[:200] if isinstance(code, str | int) else None,
        status=status,
    )


# Ollama's own texts for a prompt that is too long, by which OpenCode recognizes it.
_TOO_LONG_OPENING = "prompt too long; exceeded max context length"
_TOO_LONG_PHRASES = (_TOO_LONG_OPENING, "input length exceeds the context length")


def render_error_body(error: Error) -> Json:
    """The JSON of an error, before the response or in the middle of a stream."""
    return {"error": context_length_message(error, _TOO_LONG_OPENING, *_TOO_LONG_PHRASES)}


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of a response."""
    headers = {"x-request-id": request_id, **retry_after_header(error)}
    status = KINDS[error.kind].status
    return ErrorReply(status=status, body=render_error_body(error), headers=headers)
