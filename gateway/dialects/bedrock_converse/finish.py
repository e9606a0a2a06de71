"""Why an answer ended: `stopReason` -> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Finish
from gateway.dialects.bedrock_converse.names import FINISH_REASONS


def parse_finish(stop_reason: Any, model_fields: Any, *, has_tool_call: bool) -> Finish:
    """The canonical reason; `model_fields` are the model-specific fields of the response.

    The tool call decides, not the reported reason.
    """
    reason: Any = (
        FINISH_REASONS.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"
    )
    if reason in {"stop", "tool"}:
        reason = "tool" if has_tool_call else "stop"
    stop_sequence = model_fields.get("stop_sequence") if isinstance(model_fields, dict) else None
    explanation = None
    if reason == "malformed":
        explanation = f"the model's answer ended with {stop_reason}"
    return Finish(
        reason=reason,
        stop_sequence=stop_sequence
        if isinstance(stop_sequence, str) and reason == "stop_sequence"
        else None,
        explanation=explanation,
        category=stop_reason if reason == "filter" else None,
    )
