"""Why an answer ended: `stop_reason` and `stop_details` <-> canonical."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gateway.canon.errors import Error
from gateway.canon.response import Finish
from gateway.dialects.anthropic_messages.names import REASONS, STOP_REASONS, Json

_CATEGORIES = frozenset({"cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"})


def finish_in(said: Json, *, called: bool) -> Finish:
    """The canonical reason; `called` says whether the answer holds a tool call.

    A call without the reason for it is one all the same, and a reason without a call none.
    """
    word = said.get("stop_reason")
    reason: Any = REASONS.get(word, "stop") if isinstance(word, str) else "stop"
    if reason in {"stop", "tool"}:
        reason = "tool" if called else "stop"
    details = said.get("stop_details")
    details = details if isinstance(details, dict) else {}
    return Finish(
        reason=reason,
        stop_sequence=_text(said.get("stop_sequence")),
        explanation=_text(details.get("explanation")),
        category=_text(details.get("category")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def finish_out(finish: Finish, *, refused: bool) -> Json:
    """`stop_reason`, `stop_sequence` and, for a refusal, what is known of its cause.

    `refused` says whether the answer holds words of refusal.
    """
    if refused and finish.reason == "stop":
        finish = replace(finish, reason="refusal")
    out: Json = {
        "stop_reason": STOP_REASONS.get(finish.reason, "end_turn"),
        "stop_sequence": finish.stop_sequence,
    }
    if out["stop_reason"] == "refusal" and (finish.explanation or finish.category):
        # Another provider's word for it is no category here.
        named = finish.category in _CATEGORIES
        out["stop_details"] = {
            "type": "refusal",
            "category": finish.category if named else None,
            "explanation": finish.explanation or (None if named else finish.category),
        }
    return out


def malformed(finish: Finish) -> Error:
    """The error that stands for an answer which the model garbled."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)
