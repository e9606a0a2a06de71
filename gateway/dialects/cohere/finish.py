"""Why an answer ended: `finish_reason` -> canonical, or a failure."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error
from gateway.canon.response import Finish
from gateway.dialects.cohere.names import FAILURES, REASONS


def finish_in(word: Any, *, called: bool) -> Finish:
    """The canonical reason; `called` says whether the answer holds a tool call."""
    reason: Any = REASONS.get(word, "stop") if isinstance(word, str) else "stop"
    if reason in {"stop", "tool"}:
        reason = "tool" if called else "stop"
    return Finish(reason=reason)


def failure_in(word: Any, message: Any) -> Error | None:
    """The error of an answer that ended as one."""
    kind = FAILURES.get(word) if isinstance(word, str) else None
    if kind is None:
        return None
    told = message if isinstance(message, str) and message else ""
    return Error(kind=kind, message=(told or f"the model's answer ended with {word}")[:2000])
