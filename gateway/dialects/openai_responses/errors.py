"""Errors in failed responses and in `error` events of a stream."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error
from gateway.dialects.openai_responses.names import Json
from gateway.dialects.shared.openai_errors import find_error

# kind -> the code of a failed response; the official SDK defines no others for these.
_CODES = {
    "rate_limit": "rate_limit_exceeded",
    "quota": "rate_limit_exceeded",
    "content_policy": "invalid_prompt",
    "invalid_request": "invalid_prompt",
    "unsupported_param": "invalid_prompt",
    "context_length": "invalid_prompt",
    "too_large": "invalid_prompt",
}


def failure_in(response: Any) -> Error | None:
    """The error of a response; None if it did not fail."""
    if not isinstance(response, dict):
        return None
    error = response.get("error")
    if error:
        return find_error({"error": error})
    status = response.get("status")
    if status == "failed" or status == "cancelled":
        message = f"the upstream's answer has the status {status}"
        return Error(kind="upstream_error", message=message)
    return None


def failure_or_default(response: Any) -> Error:
    """The error of a failed response, or a default if it contains none."""
    message = "the upstream's answer failed without a message"
    return failure_in(response) or Error(kind="upstream_error", message=message)


def event_error(data: Json) -> Error:
    """The error of an `error` event, in either of its forms."""
    inner = data.get("error")
    if isinstance(inner, dict):
        return find_error({"error": inner})
    return find_error({"error": {key: value for key, value in data.items() if key != "type"}})


def failure_out(error: Error) -> Json:
    """The `error` field of a failed response."""
    return {"code": _CODES.get(error.kind, "server_error"), "message": error.message}
