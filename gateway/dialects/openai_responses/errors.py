"""Errors in this dialect's own places: an answer that failed, and a stream's end."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error
from gateway.dialects.openai_errors import error_in
from gateway.dialects.openai_responses.names import Json

# kind -> the code of a failed answer; the official SDK knows no others for these.
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
    """What went wrong with an answer; None for one that did not fail."""
    if not isinstance(response, dict):
        return None
    told = response.get("error")
    if told:
        return error_in({"error": told})
    status = response.get("status")
    if status == "failed" or status == "cancelled":
        message = f"the upstream's answer has the status {status}"
        return Error(kind="upstream_error", message=message)
    return None


def failed(response: Any) -> Error:
    """What went wrong with an answer that is said to have failed."""
    message = "the upstream's answer failed without a message"
    return failure_in(response) or Error(kind="upstream_error", message=message)


def event_error(data: Json) -> Error:
    """What an `error` event says, in either of its forms."""
    inner = data.get("error")
    if isinstance(inner, dict):
        return error_in({"error": inner})
    return error_in({"error": {key: value for key, value in data.items() if key != "type"}})


def failure_out(error: Error) -> Json:
    """The `error` of a failed answer."""
    return {"code": _CODES.get(error.kind, "server_error"), "message": error.message}
