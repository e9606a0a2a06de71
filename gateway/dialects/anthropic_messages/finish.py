"""Why an answer ended: `stop_reason` and `stop_details` <-> canonical."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gateway.canon.errors import Error
from gateway.canon.response import Finish
from gateway.dialects.anthropic_messages.names import FINISH_REASONS, STOP_REASONS, Json

_CATEGORIES = frozenset({"cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"})


def parse_finish(stop_fields: Json, *, has_tool_call: bool) -> Finish:
    """The canonical reason; `has_tool_call` says whether the response contains a tool call.

    The tool call decides, not the reported reason.
    """
    stop_reason = stop_fields.get("stop_reason")
    reason: Any = (
        FINISH_REASONS.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"
    )
    if reason in {"stop", "tool"}:
        reason = "tool" if has_tool_call else "stop"
    details = stop_fields.get("stop_details")
    details = details if isinstance(details, dict) else {}
    return Finish(
        reason=reason,
        stop_sequence=_string_or_none(stop_fields.get("stop_sequence")),
        explanation=_string_or_none(details.get("explanation")),
        category=_string_or_none(details.get("category")),
    )


def _string_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def render_finish(finish: Finish, *, has_refusal: bool) -> Json:
    """`stop_reason`, `stop_sequence` and, for a refusal, its details.

    `has_refusal` says whether the response contains a refusal part.
    """
    if has_refusal and finish.reason == "stop":
        finish = replace(finish, reason="refusal")
    out: Json = {
        "stop_reason": STOP_REASONS.get(finish.reason, "end_turn"),
        "stop_sequence": finish.stop_sequence,
    }
    if out["stop_reason"] == "refusal" and (finish.explanation or finish.category):
        # Another provider's category is not one of Anthropic's.
        has_anthropic_category = finish.category in _CATEGORIES
        out["stop_details"] = {
            "type": "refusal",
            "category": finish.category if has_anthropic_category else None,
            "explanation": finish.explanation
            or (None if has_anthropic_category else finish.category),
        }
    return out


def malformed_output_error(finish: Finish) -> Error:
    """The error for malformed model output."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)
