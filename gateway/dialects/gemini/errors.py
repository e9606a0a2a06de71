"""Errors: Google's refusal -> canonical, and back for a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.errors import Error
from gateway.canon.json_values import decode_or_none
from gateway.dialects.base import ErrorReply
from gateway.dialects.gemini.context import Json
from gateway.dialects.shared.errors import (
    KIND_BY_STATUS,
    MAX_MESSAGE_CHARS,
    Phrases,
    client_kind,
    context_length_message,
    kind_of_status,
    plain_error_message,
    refine_kind,
    retry_after_header,
    with_response_headers,
)

# LangChain and LiteLLM recognize a prompt that is too long by it.
_TOO_LONG_PHRASE = "exceeds the maximum number of tokens allowed"
_TYPE_URL_PREFIX = "type.googleapis.com/google.rpc."

# google.rpc status -> kind.
_KIND_BY_RPC_STATUS: dict[str, str] = {
    "INVALID_ARGUMENT": "invalid_request",
    "OUT_OF_RANGE": "invalid_request",
    # No billing account, or a country without the free tier: another target may work.
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
# Phrases in the message that are the only sign of a kind (wire/spec.md, section 5).
_KIND_BY_PHRASE: Phrases = (
    ("api key not valid", "upstream_auth"),
    ("api key expired", "upstream_auth"),
    ("api_key_invalid", "upstream_auth"),
)

# kind -> (HTTP status, google.rpc status) for a client.
_CLIENT_STATUSES: dict[str, tuple[int, str]] = {
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


# --- a provider's error ---------------------------------------------------------------------------


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> Error:
    """The canonical error of an upstream's error response."""
    payload = decode_or_none(body)
    error = parse_error_payload(payload, status=status, body=body)
    return with_response_headers(error, headers, payload, "x-request-id", "x-goog-request-id")


def parse_error_payload(payload: Any, *, status: int | None = None, body: bytes = b"") -> Error:
    """The error in a payload; without a message in it, the text of `body`."""
    fields = _error_fields(payload)
    code = fields.get("status")
    code = code if isinstance(code, str) else None
    error_code = fields.get("code")
    http_status = (
        status if status is not None else (error_code if type(error_code) is int else None)
    )
    message = fields.get("message")
    if not isinstance(message, str) or not message:
        message = plain_error_message(body, http_status)
    return Error(
        kind=_classify_error(http_status, code, message, fields.get("details")),
        message=message[:MAX_MESSAGE_CHARS],
        code=code,
        status=status,
    )


def is_error(payload: Any) -> bool:
    """Whether JSON with status 200 is an error."""
    return isinstance(_unwrap_list(payload), dict) and bool(_unwrap_list(payload).get("error"))


def _unwrap_list(payload: Any) -> Any:
    """The payload, or the first element of a list, as some of Google's front ends send it."""
    return payload[0] if isinstance(payload, list) and payload else payload


def _error_fields(payload: Any) -> Json:
    payload = _unwrap_list(payload)
    if not isinstance(payload, dict):
        return {}
    error_payload = payload.get("error")
    if isinstance(error_payload, str):
        return {"message": error_payload}
    return error_payload if isinstance(error_payload, dict) else payload


def _classify_error(status: int | None, code: str | None, message: str, details: Any) -> str:
    kind = KIND_BY_STATUS.get(status or 0) or _KIND_BY_RPC_STATUS.get(code or "")
    if kind == "rate_limit" and _is_daily_quota(details):
        return "quota"
    return refine_kind(kind or kind_of_status(status), message, _KIND_BY_PHRASE)


def _is_daily_quota(details: Any) -> bool:
    """Whether a daily quota is exhausted: retrying within seconds does not help."""
    detail_objects = details if isinstance(details, list) else []
    failures = (row.get("violations") for row in detail_objects if isinstance(row, dict))
    violations = [
        v for violation_list in failures if isinstance(violation_list, list) for v in violation_list
    ]
    ids = [v.get("quotaId") for v in violations if isinstance(v, dict)]
    return any(isinstance(name, str) and "PerDay" in name for name in ids)


# --- a client's error -----------------------------------------------------------------------------


def render_error_body(error: Error) -> Json:
    """The JSON of an error, before the response or in the middle of a stream."""
    status, status_name = _CLIENT_STATUSES[client_kind(error)]
    opening = f"The input token count {_TOO_LONG_PHRASE}"
    message = context_length_message(error, opening, _TOO_LONG_PHRASE)
    inner: Json = {"code": status, "message": message, "status": status_name}
    details: list[Json] = []
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPE_URL_PREFIX}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append(
            {"@type": f"{_TYPE_URL_PREFIX}RetryInfo", "retryDelay": f"{error.retry_after_s}s"}
        )
    if details:
        inner["details"] = details
    return {"error": inner}


def render_error(error: Error, request_id: str) -> ErrorReply:
    """The error before the first byte of a response.

    A prompt that a policy refuses gets a response here, without candidates.
    """
    if error.kind == "content_policy":
        return ErrorReply(status=200, body=render_blocked_prompt(error.message))
    status, _ = _CLIENT_STATUSES[client_kind(error)]
    headers = retry_after_header(error)
    return ErrorReply(status=status, body=render_error_body(error), headers=headers)


def render_blocked_prompt(message: str) -> Json:
    """The response to a prompt that was refused."""
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": message}
    return {"promptFeedback": feedback}
