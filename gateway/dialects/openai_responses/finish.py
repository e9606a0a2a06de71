"""Why an answer ended: `status` and `incomplete_details` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error
from gateway.canon.response import Finish, FinishReason
from gateway.dialects.openai_responses.names import Json

_REASONS: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "filter",
    "steered": "stop",
}
# canonical -> the reason of an incomplete answer; what is not listed is completed.
_INCOMPLETE: dict[FinishReason, str] = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "filter": "content_filter",
}


def finish_in(response: Json, *, called: bool, refused: bool) -> Finish:
    """The canonical finish of an answer that holds calls, or words of refusal.

    A background answer that is still to come counts as paused.
    """
    status: Any = response.get("status")
    if status == "queued" or status == "in_progress":
        return Finish(reason="pause")
    if status == "incomplete":
        details = response.get("incomplete_details")
        word = details.get("reason") if isinstance(details, dict) else None
        reason = _REASONS.get(word, "length") if isinstance(word, str) else "length"
        if reason != "stop":
            return Finish(reason=reason)
    if called:
        return Finish(reason="tool")
    return Finish(reason="refusal" if refused else "stop")


def finish_out(finish: Finish, *, refused: bool) -> Json:
    """`status` and `incomplete_details`; `refused` says whether the answer says so in words.

    A refusal without any is shown as the filter's: else it would look like a whole answer.
    """
    reason = finish.reason
    if reason == "refusal" and not refused:
        reason = "filter"
    word = _INCOMPLETE.get(reason)
    if word is None:
        return {"status": "completed", "incomplete_details": None}
    return {"status": "incomplete", "incomplete_details": {"reason": word}}


def malformed(finish: Finish) -> Error:
    """The error that stands for an answer which the model garbled."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)
