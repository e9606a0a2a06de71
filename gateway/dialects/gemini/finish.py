"""Why an answer ended: `finishReason` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error
from gateway.canon.response import Finish

# `finishReason` -> canonical; what is not listed is an ordinary stop.
_REASONS: dict[str, str] = {
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
_WORDS = {
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "filter": "SAFETY",
    "refusal": "SAFETY",
}


def finish_in(word: str, message: Any, *, called: bool, empty: bool) -> Finish:
    """The canonical reason; a stop after calls is one for their sake."""
    reason: Any = _REASONS.get(word, "stop")
    if word == "OTHER" and empty:
        reason = "malformed"
    if reason == "stop" and called:
        reason = "tool"
    told = message if isinstance(message, str) and message else None
    if reason == "malformed" and told is None:
        told = f"the model's answer ended with {word}"
    category = word if reason == "filter" else None
    return Finish(reason=reason, explanation=told, category=category)


def finish_out(finish: Finish) -> str:
    """The reason in this dialect's words; a filter of its own keeps its name."""
    if finish.reason == "filter" and _REASONS.get(finish.category or "") == "filter":
        return finish.category or ""
    return _WORDS.get(finish.reason, "STOP")


def malformed(finish: Finish) -> Error:
    """The error that stands for an answer which the model garbled."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)
