"""Errors: `{"error": "message"}`, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import KINDS, Error
from gateway.canon.json_values import decode_or_none
from gateway.dialects.base import ErrorReply
from gateway.dialects.ollama.context import Json
from gateway.dialects.shared.error_body import CONTEXT_LENGTH_PHRASES, plain_error_message
from gateway.dialects.shared.retry_after import retry_after, should_retry

_MAX_MESSAGE_LENGTH = 2000
_KIND_BY_STATUS: dict[int, str] = {
    401: "upstream_auth",
    402: "quota",
    403: "upstream_auth",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
# Phrases in the message that are the only sign of a kind.
_KIND_BY_PHRASE: tuple[tuple[str, str], ...] = (
    *CONTEXT_LENGTH_PHRASES,
    ("does not support", "unsupported_param"),
    ("is not supported for this model", "unsupported_param"),
    ("server busy", "overloaded"),
    ("not found", "not_found"),
    ("too many requests", "rate_limit"),
)
_KINDS_REFINED_BY_PHRASE = frozenset({"invalid_request", "upstream_error"})


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The canonical error of an upstream's error response."""
    payload = decode_or_none(body)
    return msgspec.structs.replace(
        parse_error_payload(payload, status=status, body=body),
        retry_after_s=retry_after(headers, payload),
        should_retry=should_retry(headers),
        upstream_id=headers.get("x-request-id"),
    )


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
        kind=_classify_error(status, message),
        message=message[:_MAX_MESSAGE_LENGTH],
        code=str(code)[:200] if isinstance(code, str | int) else None,
        status=status,
    )


def _classify_error(status: int | None, message: str) -> str:
    kind = "upstream_error"
    if status is not None:
        kind = _KIND_BY_STATUS.get(status) or (
            "invalid_request" if status < 500 else "upstream_error"
        )
    if kind not in _KINDS_REFINED_BY_PHRASE:
        return kind
    lower_message = message.lower()
    return next(
        (phrase_kind for phrase, phrase_kind in _KIND_BY_PHRASE if phrase in lower_message), kind
    )


def render_error_body(error: Error) -> Json:
    """The JSON of an error, before the response or in the middle of a stream."""
    return {"error": error.message}


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of a response."""
    headers = {"x-request-id": request_id}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    status = KINDS[error.kind].status
    return ErrorReply(status=status, body=render_error_body(error), headers=headers)
