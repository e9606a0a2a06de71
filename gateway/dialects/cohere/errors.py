"""Errors: a provider's refusal -> canonical, and canonical -> a client's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import KINDS, Error
from gateway.canon.json_values import decode_or_none
from gateway.dialects.base import ErrorReply
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

# 498: the API key is not valid.
_INVALID_TOKEN_STATUS = 498
# Phrases in the message that are the only sign of a kind.
_KIND_BY_PHRASE: Phrases = (
    ("too many tokens", "context_length"),
    ("model not found", "not_found"),
    ("blocked output", "content_policy"),
    ("blocked input", "content_policy"),
)
# The monthly limit of a trial key (Cohere has no code for it): a retry soon does not help.
_MONTHLY_LIMIT_PHRASES = ("calls / month", "calls per month")


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The canonical error of an upstream's error response; headers have lower-case names."""
    payload = decode_or_none(body)
    error = parse_error_payload(payload, status=status, body=body)
    error = with_response_headers(error, headers, payload, "x-debug-trace-id")
    trace_id = payload.get("id") if isinstance(payload, dict) else None
    if error.upstream_id is None and isinstance(trace_id, str):
        return msgspec.structs.replace(error, upstream_id=trace_id)
    return error


def parse_error_payload(payload: Any, *, status: int | None = None, body: bytes = b"") -> Error:
    """The error in a payload; without a message in it, the text of `body`."""
    message = parse_error_message(payload) or plain_error_message(body, status)
    return Error(
        kind=_classify_error(status, message), message=message[:MAX_MESSAGE_CHARS], status=status
    )


def parse_error_message(payload: Any) -> str:
    """The message of an error; empty if it has none."""
    if not isinstance(payload, dict):
        return ""
    error_payload = payload.get("error")
    candidates = (
        payload.get("message"),
        error_payload,
        _nested_message(error_payload),
        _nested_message(payload.get("data")),
    )
    return next((message for message in candidates if isinstance(message, str) and message), "")


def _nested_message(value: Any) -> Any:
    return value.get("message") if isinstance(value, dict) else None


def _classify_error(status: int | None, message: str) -> str:
    if status == _INVALID_TOKEN_STATUS:
        return "upstream_auth"
    kind = kind_of_status(status)
    if kind == "rate_limit" and any(limit in message.lower() for limit in _MONTHLY_LIMIT_PHRASES):
        return "quota"
    return refine_kind(kind, message, _KIND_BY_PHRASE)


# --- errors for clients ---------------------------------------------------------------------------

# The SDK has classes for 500, 503 and 504, none for 502.
_SDK_STATUSES = {502: 500}
# LiteLLM and CrewAI recognize a prompt that is too long by it.
_TOO_LONG_PHRASE = "too many tokens"


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of a response."""
    status = KINDS[error.kind].status
    headers = {"x-debug-trace-id": request_id, **retry_after_header(error)}
    return ErrorReply(
        status=_SDK_STATUSES.get(status, status),
        body={"id": request_id, "message": client_message(error)},
        headers=headers,
    )


def client_message(error: Error) -> str:
    """The message of an error, in a response or at the end of a stream."""
    return context_length_message(error, _TOO_LONG_PHRASE, _TOO_LONG_PHRASE)
