"""Why a response ended: `status` and `incomplete_details` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Finish, FinishReason
from gateway.dialects.openai_responses.names import Json

_REASONS: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "filter",
    "steered": "stop",
}
# canonical -> the reason of an incomplete response; others are completed.
_INCOMPLETE: dict[FinishReason, str] = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "filter": "content_filter",
}


def finish_in(response: Json, *, has_calls: bool, refused: bool) -> Finish:
    """The canonical finish of a response with these properties.

    A background response that is not finished counts as paused.
    """
    status: Any = response.get("status")
    if status == "queued" or status == "in_progress":
        return Finish(reason="pause")
    if status == "incomplete":
        details = response.get("incomplete_details")
        incomplete_reason = details.get("reason") if isinstance(details, dict) else None
        reason = (
            _REASONS.get(incomplete_reason, "length")
            if isinstance(incomplete_reason, str)
            else "length"
        )
        if reason != "stop":
            return Finish(reason=reason)
    if has_calls:
        return Finish(reason="tool")
    return Finish(reason="refusal" if refused else "stop")


def finish_out(finish: Finish, *, refused: bool) -> Json:
    """`status` and `incomplete_details`; `refused`: whether the response has refusal text.

    A refusal without text becomes `content_filter`; else it would look complete.
    """
    reason = finish.reason
    if reason == "refusal" and not refused:
        reason = "filter"
    incomplete_reason = _INCOMPLETE.get(reason)
    if incomplete_reason is None:
        return {"status": "completed", "incomplete_details": None}
    return {"status": "incomplete", "incomplete_details": {"reason": incomplete_reason}}
