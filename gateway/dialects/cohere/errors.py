"""Errors: a provider's refusal -> canonical, and canonical -> a client's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import KINDS, Error
from gateway.canon.json_values import decode_or_none
from gateway.dialects.base import ErrorReply
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
    498: "upstream_auth",
    499: "upstream_error",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
# Phrases in the message that are the only sign of a kind.
_KIND_BY_PHRASE: tuple[tuple[str, str], ...] = (
    ("too many tokens", "context_length"),
    *CONTEXT_LENGTH_PHRASES,
    ("model not found", "not_found"),
    ("blocked output", "content_policy"),
    ("blocked input", "content_policy"),
)
_KINDS_REFINED_BY_PHRASE = frozenset({"invalid_request", "upstream_error"})
# The monthly limit of a trial key (Cohere has no code for it): a retry soon does not help.
_MONTHLY_LIMIT_PHRASES = ("calls / month", "calls per month")


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The canonical error of an upstream's error response; headers have lower-case names."""
    payload = decode_or_none(body)
    return msgspec.structs.replace(
        parse_error_payload(payload, status=status, body=body),
        retry_after_s=retry_after(headers, payload),
        should_retry=should_retry(headers),
        upstream_id=headers.get("x-debug-trace-id") or _payload_id(payload),
    )


def parse_error_payload(payload: Any, *, status: int | None = None, body: bytes = b"") -> Error:
    """The error in a payload; without a message in it, the text of `body`."""
    message = parse_error_message(payload) or plain_error_message(body, status)
    return Error(
        kind=_classify_error(status, message), message=message[:_MAX_MESSAGE_LENGTH], status=status
    )


def _payload_id(payload: Any) -> str | None:
    trace_id = payload.get("id") if isinstance(payload, dict) else None
    return trace_id if isinstance(trace_id, str) else None


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
    kind = _KIND_BY_STATUS.get(status or 0)
    if kind is None:
        is_client_error = status is not None and 400 <= status < 500
        kind = "invalid_request" if is_client_error else "upstream_error"
    lower_message = message.lower()
    if kind == "rate_limit" and any(limit in lower_message for limit in _MONTHLY_LIMIT_PHRASES):
        return "quota"
    if kind not in _KINDS_REFINED_BY_PHRASE:
        return kind
    return next(
        (phrase_kind for phrase, phrase_kind in _KIND_BY_PHRASE if phrase in lower_message), kind
    )


# --- errors for clients ---------------------------------------------------------------------------

# The SDK has classes for 500, 503 and 504, none for 502.
_SDK_STATUSES = {502: 500}


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of a response."""
    status = KINDS[error.kind].status
    headers = {"x-debug-trace-id": request_id}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    return ErrorReply(
        status=_SDK_STATUSES.get(status, status),
        body={"id": request_id, "message": error.message},
        headers=headers,
    )
