"""Errors: Google's refusal -> canonical, and back for a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error
from gateway.dialects.base import ErrorReply
from gateway.dialects.gemini.names import Json
from gateway.dialects.retry import retry_after, should_retry

_LONGEST = 2000
_TYPES = "type.googleapis.com/google.rpc."

# google.rpc status -> kind.
_STATUSES: dict[str, str] = {
    "INVALID_ARGUMENT": "invalid_request",
    "OUT_OF_RANGE": "invalid_request",
    # No billing account, or a country without the free tier: another target may do.
    "FAILED_PRECONDITION": "upstream_auth",
    "UNAUTHENTICATED": "upstream_auth",
    "PERMISSION_DENIED": "upstream_auth",
    "NOT_FOUND": "not_found",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "CANCELLED": "upstream_error",
    "INTERNAL": "upstream_error",
    "UNKNOWN": "upstream_error",
    "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "timeout",
}
# HTTP status -> kind, where it says more than the word, or comes without one.
_CODES: dict[int, str] = {
    401: "upstream_auth",
    402: "quota",
    403: "upstream_auth",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    429: "rate_limit",
    499: "upstream_error",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
# Wordings that are the only sign of a kind (wire/spec.md, section 5).
_PHRASES: tuple[tuple[str, str], ...] = (
    ("exceeds the maximum number of tokens", "context_length"),
    ("api key not valid", "upstream_auth"),
    ("api key expired", "upstream_auth"),
    ("api_key_invalid", "upstream_auth"),
)

# kind -> (status, google.rpc word) for a client.
_SHOWN: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "INVALID_ARGUMENT"),
    "unsupported_param": (400, "INVALID_ARGUMENT"),
    "context_length": (400, "INVALID_ARGUMENT"),
    "content_policy": (400, "INVALID_ARGUMENT"),
    "too_large": (400, "INVALID_ARGUMENT"),
    "method_not_allowed": (405, "UNIMPLEMENTED"),
    "gateway_auth": (401, "UNAUTHENTICATED"),
    "not_found": (404, "NOT_FOUND"),
    "not_allowed": (403, "PERMISSION_DENIED"),
    "client_gone": (499, "CANCELLED"),
    "rate_limit": (429, "RESOURCE_EXHAUSTED"),
    "quota": (429, "RESOURCE_EXHAUSTED"),
    "upstream_auth": (500, "INTERNAL"),
    "overloaded": (503, "UNAVAILABLE"),
    "timeout": (504, "DEADLINE_EXCEEDED"),
    "upstream_error": (500, "INTERNAL"),
    "malformed_output": (500, "INTERNAL"),
}


# --- a provider's ------------------------------------------------------------------------


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """What the upstream's refusal means."""
    payload: Any
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        payload = None
    return msgspec.structs.replace(
        error_in(payload, status=status, raw=body),
        retry_after_s=retry_after(headers, payload),
        should_retry=should_retry(headers),
        upstream_id=headers.get("x-request-id") or headers.get("x-goog-request-id"),
    )


def error_in(payload: Any, *, status: int | None = None, raw: bytes = b"") -> Error:
    """The error in a payload of any known shape; `raw` is shown where it has none."""
    fields = _fields(payload)
    code = fields.get("status")
    code = code if isinstance(code, str) else None
    number = fields.get("code")
    told = status if status is not None else (number if type(number) is int else None)
    message = fields.get("message")
    if not isinstance(message, str) or not message:
        message = _plain(raw, told)
    return Error(
        kind=_kind(told, code, message, fields.get("details")),
        message=message[:_LONGEST],
        code=code,
        status=status,
    )


def is_error(payload: Any) -> bool:
    """Whether JSON that came with status 200 is an error all the same."""
    return isinstance(_first(payload), dict) and bool(_first(payload).get("error"))


def _first(payload: Any) -> Any:
    """The object itself, or the only one of a list, as some of Google's front ends send it."""
    return payload[0] if isinstance(payload, list) and payload else payload


def _fields(payload: Any) -> Json:
    payload = _first(payload)
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("error")
    if isinstance(inner, str):
        return {"message": inner}
    return inner if isinstance(inner, dict) else payload


def _plain(raw: bytes, status: int | None) -> str:
    text = raw[:500].decode("utf-8", "replace").strip()
    number = f" {status}" if status is not None else ""
    if not text:
        return f"the upstream failed{number} without a message"
    if text.startswith("<"):
        return f"the upstream answered{number} with an HTML page, not with its API"
    return text


def _kind(status: int | None, code: str | None, message: str, details: Any) -> str:
    kind = _CODES.get(status or 0) or _STATUSES.get(code or "")
    if kind is None:
        wrong = status is not None and 400 <= status < 500
        kind = "invalid_request" if wrong else "upstream_error"
    if kind == "rate_limit" and _is_daily(details):
        return "quota"
    if kind not in {"invalid_request", "upstream_error"}:
        return kind
    told = message.lower()
    return next((known for phrase, known in _PHRASES if phrase in told), kind)


def _is_daily(details: Any) -> bool:
    """Whether a limit is one of the day's: waiting a few seconds does not help."""
    rows = details if isinstance(details, list) else []
    failures = (row.get("violations") for row in rows if isinstance(row, dict))
    violations = [v for listed in failures if isinstance(listed, list) for v in listed]
    ids = [v.get("quotaId") for v in violations if isinstance(v, dict)]
    return any(isinstance(name, str) and "PerDay" in name for name in ids)


# --- a client's --------------------------------------------------------------------------


def error_body(error: Error) -> Json:
    """The JSON of an error, before the answer or in the middle of a stream."""
    status, word = _shown(error)
    inner: Json = {"code": status, "message": error.message, "status": word}
    details: list[Json] = []
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPES}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{error.retry_after_s}s"})
    if details:
        inner["details"] = details
    return {"error": inner}


def _shown(error: Error) -> tuple[int, str]:
    if error.kind == "not_allowed" and error.code == "insufficient_quota":
        return _SHOWN["quota"]
    return _SHOWN[error.kind]


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of an answer.

    A prompt that a provider's policy refuses is an answer here: one without candidates.
    """
    headers: dict[str, str] = {}
    if error.kind == "content_policy":
        return ErrorReply(status=200, body=blocked(error.message))
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    status, _ = _shown(error)
    return ErrorReply(status=status, body=error_body(error), headers=headers)


def blocked(message: str) -> Json:
    """The answer to a prompt that was refused."""
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": message}
    return {"promptFeedback": feedback}
