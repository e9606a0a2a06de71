"""Why an answer ended: `finish_reason` -> canonical, or a failure."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error
from gateway.canon.response import Finish
from gateway.dialects.cohere.names import FAILURE_KINDS, FINISH_REASONS


def parse_finish(finish_reason: Any, *, has_tool_call: bool) -> Finish:
    """The canonical reason; `has_tool_call` says whether the response contains a tool call."""
    reason: Any = (
        FINISH_REASONS.get(finish_reason, "stop") if isinstance(finish_reason, str) else "stop"
    )
    if reason in {"stop", "tool"}:
        reason = "tool" if has_tool_call else "stop"
    return Finish(reason=reason)


def parse_failure(finish_reason: Any, message: Any) -> Error | None:
    """The error of a response whose finish reason is a failure."""
    kind = FAILURE_KINDS.get(finish_reason) if isinstance(finish_reason, str) else None
    if kind is None:
        return None
    error_message = message if isinstance(message, str) and message else ""
    return Error(
        kind=kind,
        message=(error_message or f"the model's answer ended with {finish_reason}")[:2000],
    )
