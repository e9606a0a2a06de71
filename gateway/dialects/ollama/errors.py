"""Errors: `{"error": "words"}`, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import KINDS, Error
from gateway.dialects.base import ErrorReply
from gateway.dialects.ollama.names import Json
from gateway.dialects.retry import retry_after, should_retry

_LONGEST = 2000
_STATUSES: dict[int, str] = {
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
# Wordings that are the only sign of a kind.
_PHRASES: tuple[tuple[str, str], ...] = (
    ("exceeds context", "context_length"),
    ("exceeds the available context", "context_length"),
    ("exceeds maximum context", "context_length"),
    ("input length exceeds", "context_length"),
    ("does not support", "unsupported_param"),
    ("is not supported for this model", "unsupported_param"),
    ("server busy", "overloaded"),
    ("not found", "not_found"),
    ("too many requests", "rate_limit"),
)
_PHRASED = frozenset({"invalid_request", "upstream_error"})


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """What the upstream's refusal means."""
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        payload = None
    return msgspec.structs.replace(
        error_in(payload, status=status, raw=body),
        retry_after_s=retry_after(headers, payload),
        should_retry=should_retry(headers),
        upstream_id=headers.get("x-request-id"),
    )


def is_error(payload: Any) -> bool:
    """Whether JSON that came with status 200 is an error all the same."""
    return isinstance(payload, dict) and bool(payload.get("error"))


def error_in(payload: Any, *, status: int | None = None, raw: bytes = b"") -> Error:
    """The error in a payload; `raw` is shown where it has no words."""
    told: Any = payload.get("error") if isinstance(payload, dict) else None
    code: Any = None
    if isinstance(told, dict):
        told, code = told.get("message"), told.get("code") or told.get("type")
    message = told if isinstance(told, str) and told else _plain(raw, status)
    return Error(
        kind=_kind(status, message),
        message=message[:_LONGEST],
        code=str(code)[:200] if isinstance(code, str | int) else None,
        status=status,
    )


def _kind(status: int | None, message: str) -> str:
    kind = "upstream_error"
    if status is not None:
        kind = _STATUSES.get(status) or ("invalid_request" if status < 500 else "upstream_error")
    if kind not in _PHRASED:
        return kind
    told = message.lower()
    return next((known for phrase, known in _PHRASES if phrase in told), kind)


def _plain(raw: bytes, status: int | None) -> str:
    text = raw[:500].decode("utf-8", "replace").strip()
    number = f" {status}" if status is not None else ""
    if not text:
        return f"the upstream failed{number} without a message"
    if text.startswith("<"):
        return f"the upstream answered{number} with an HTML page, not with its API"
    return text


def error_body(error: Error) -> Json:
    """The JSON of an error, before the first byte and in the middle of a stream alike."""
    return {"error": error.message}


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of an answer."""
    headers = {"x-request-id": request_id}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    status = KINDS[error.kind].status
    return ErrorReply(status=status, body=error_body(error), headers=headers)
