"""Why an answer ended: `finishReason` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Finish

# `finishReason` -> canonical; any other value is an ordinary stop.
_FINISH_REASONS: dict[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "ESCALATION",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
        ),
        "filter",
    ),
    **dict.fromkeys(
        (
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "TOO_MANY_TOOL_CALLS",
            "MISSING_THOUGHT_SIGNATURE",
            "MALFORMED_RESPONSE",
            "NO_IMAGE",
            "IMAGE_OTHER",
        ),
        "malformed",
    ),
}
_GOOGLE_REASONS = {
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "filter": "SAFETY",
    "refusal": "SAFETY",
}


def parse_finish(
    finish_reason: str, message: Any, *, has_tool_call: bool, is_empty: bool
) -> Finish:
    """The canonical reason; a stop after calls is one for their sake."""
    reason: Any = _FINISH_REASONS.get(finish_reason, "stop")
    if finish_reason == "OTHER" and is_empty:
        reason = "malformed"
    if reason == "stop" and has_tool_call:
        reason = "tool"
    explanation = message if isinstance(message, str) and message else None
    if reason == "malformed" and explanation is None:
        explanation = f"the model's answer ended with {finish_reason}"
    category = finish_reason if reason == "filter" else None
    return Finish(reason=reason, explanation=explanation, category=category)


def render_finish(finish: Finish) -> str:
    """The `finishReason`; a Google filter keeps its name."""
    if finish.reason == "filter" and _FINISH_REASONS.get(finish.category or "") == "filter":
        return finish.category or ""
    return _GOOGLE_REASONS.get(finish.reason, "STOP")
