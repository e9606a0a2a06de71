"""Why an answer ended: `stopReason` -> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Finish
from gateway.dialects.bedrock_converse.names import REASONS


def finish_in(word: Any, more: Any, *, called: bool) -> Finish:
    """The canonical reason; `more` are the model's own fields of the answer.

    A call without the reason for it is one all the same, and a reason without a call none.
    """
    reason: Any = REASONS.get(word, "stop") if isinstance(word, str) else "stop"
    if reason in {"stop", "tool"}:
        reason = "tool" if called else "stop"
    told = more.get("stop_sequence") if isinstance(more, dict) else None
    explanation = None
    if reason == "malformed":
        explanation = f"the model's answer ended with {word}"
    return Finish(
        reason=reason,
        stop_sequence=told if isinstance(told, str) and reason == "stop_sequence" else None,
        explanation=explanation,
        category=word if reason == "filter" else None,
    )
