"""Errors: a provider's refusal -> canonical, and back for a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error
from gateway.dialects.anthropic_messages.names import Json
from gateway.dialects.base import ErrorReply
from gateway.dialects.retry import retry_after, should_retry

_LONGEST = 2000
_TOO_LONG = "prompt is too long"

# The provider's type of a failure -> kind.
_TYPES: dict[str, str] = {
    "authentication_error": "upstream_auth",
    "permission_error": "upstream_auth",
    "billing_error": "quota",
    "not_found_error": "not_found",
    "request_too_large": "too_large",
    "rate_limit_error": "rate_limit",
    "overloaded_error": "overloaded",
    "timeout_error": "timeout",
    "invalid_request_error": "invalid_request",
    "api_error": "upstream_error",
}
# A status that says more than the type beside it, or comes without one.
_STATUSES: dict[int, str] = {
    401: "upstream_auth",
    402: "quota",
    403: "upstream_auth",
    404: "not_found",
    408: "timeout",
    409: "upstream_error",
    413: "too_large",
    424: "upstream_error",
    429: "rate_limit",
    499: "upstream_error",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
# Wordings that are the only sign of a kind (wire/spec.md, section 5).
_PHRASES: tuple[tuple[str, str], ...] = (
    (_TOO_LONG, "context_length"),
    ("input is too long", "context_length"),
    ("exceed context limit", "context_length"),
    ("too many input tokens", "context_length"),
    ("maximum context length", "context_length"),
    # It comes as a 400 too, of the type invalid_request_error.
    ("credit balance is too low", "quota"),
    ("content filtering policy", "content_policy"),
    ("is deprecated for this model", "unsupported_param"),
    ("extra inputs are not permitted", "unsupported_param"),
)
_PHRASED = frozenset({"invalid_request", "upstream_error"})
_LIMIT_HEADERS = "anthropic-ratelimit-"

# kind -> (status, type) for a client.
_SHOWN: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "invalid_request_error"),
    "unsupported_param": (400, "invalid_request_error"),
    "context_length": (400, "invalid_request_error"),
    "content_policy": (400, "invalid_request_error"),
    "too_large": (413, "request_too_large"),
    "method_not_allowed": (405, "invalid_request_error"),
    "gateway_auth": (401, "authentication_error"),
    "not_found": (404, "not_found_error"),
    "not_allowed": (403, "permission_error"),
    "client_gone": (499, "api_error"),
    "rate_limit": (429, "rate_limit_error"),
    "quota": (402, "billing_error"),
    "upstream_auth": (500, "api_error"),
    "overloaded": (529, "overloaded_error"),
    "timeout": (504, "timeout_error"),
    "upstream_error": (500, "api_error"),
    "malformed_output": (500, "api_error"),
}
# The SDK retries every 408, 409, 429 and 5xx unless told otherwise.
_RETRY: dict[str, bool] = {"quota": False, "upstream_auth": False, "overloaded": True}


# --- a provider's ----------------------------------------------------------------------


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """What the upstream's refusal means; headers have lower-case names."""
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        payload = None
    error = error_in(payload, status=status, raw=body)
    wait = retry_after(headers, payload)
    if error.kind == "rate_limit" and _is_spent(headers, error, wait):
        error = msgspec.structs.replace(error, kind="quota")
    return msgspec.structs.replace(
        error,
        retry_after_s=wait,
        should_retry=should_retry(headers),
        upstream_id=headers.get("request-id") or headers.get("x-request-id"),
    )


def _is_spent(headers: Mapping[str, str], error: Error, wait: int | None) -> bool:
    """Whether a 429 is a spend limit: the one that comes without a time to wait."""
    told = wait is not None or "retry-after" in headers or should_retry(headers) is not None
    limited = any(name.startswith(_LIMIT_HEADERS) for name in headers)
    return error.code == "rate_limit_error" and not told and not limited


def error_in(payload: Any, *, status: int | None = None, raw: bytes = b"") -> Error:
    """The error in a payload of any known shape; `raw` is shown where it has none."""
    fields = _fields(payload)
    code = fields.get("type") if fields.get("type") != "error" else None
    code = code if isinstance(code, str) else None
    message = _message(fields, payload) or _plain(raw, status)
    return Error(
        kind=_kind(status, code, message), message=message[:_LONGEST], code=code, status=status
    )


def is_error(payload: Any) -> bool:
    """Whether JSON that came with status 200 is an error all the same."""
    return isinstance(payload, dict) and (payload.get("type") == "error" or "error" in payload)


def _fields(payload: Any) -> Json:
    """The object that holds type and message."""
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("error")
    return inner if isinstance(inner, dict) else payload


def _message(fields: Json, payload: Any) -> str | None:
    detail = fields.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        detail = detail[0].get("msg")
    told = payload.get("error") if isinstance(payload, dict) else None
    candidates = (fields.get("message"), detail, told)
    return next((words for words in candidates if isinstance(words, str) and words), None)


def _plain(raw: bytes, status: int | None) -> str:
    text = raw[:500].decode("utf-8", "replace").strip()
    number = f" {status}" if status is not None else ""
    if not text:
        return f"the upstream failed{number} without a message"
    if text.startswith("<"):
        return f"the upstream answered{number} with an HTML page, not with its API"
    return text


def _kind(status: int | None, code: str | None, message: str) -> str:
    kind = _STATUSES.get(status or 0)
    if kind is None or (kind == "upstream_auth" and code == "billing_error"):
        kind = _TYPES.get(code or "", kind)
    if kind is None:
        kind = "invalid_request" if status is not None and status < 500 else "upstream_error"
    if status is not None and status < 400:
        kind = _TYPES.get(code or "", "upstream_error")
    if kind not in _PHRASED:
        return kind
    told = message.lower()
    return next((known for phrase, known in _PHRASES if phrase in told), kind)


# --- a client's ------------------------------------------------------------------------


def error_body(error: Error) -> Json:
    """The JSON of an error in the middle of a stream."""
    _, kind = _shown(error)
    message = error.message
    # Claude Code knows by these words that it has to make the conversation shorter.
    if error.kind == "context_length" and not message.lower().startswith(_TOO_LONG):
        message = f"{_TOO_LONG}: {message}"
    return {"type": "error", "error": {"type": kind, "message": message}}


def _shown(error: Error) -> tuple[int, str]:
    if error.kind == "not_allowed" and error.code == "insufficient_quota":
        return _SHOWN["quota"]
    return _SHOWN[error.kind]


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of an answer."""
    headers = {"request-id": request_id}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    retry = error.should_retry if error.should_retry is not None else _RETRY.get(error.kind)
    if retry is not None:
        headers["x-should-retry"] = "true" if retry else "false"
    status, _ = _shown(error)
    body = {**error_body(error), "request_id": request_id}
    return ErrorReply(status=status, body=body, headers=headers)
