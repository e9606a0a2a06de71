"""Why a response ended: a provider's `finish_reason` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Finish, FinishReason
from gateway.dialects.openai_chat.legacy_functions import FUNCTION_CALL

# `eos` is Together's, `model_length` Mistral's, `error` OpenRouter's and Mistral's.
_IN: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "length": "length",
    "max_tokens": "length",
    "model_length": "context",
    "tool_calls": "tool",
    "tool_use": "tool",
    "function_call": "tool",
    "content_filter": "filter",
    "error": "malformed",
    # DeepSeek aborted the response itself.
    "insufficient_system_resource": "malformed",
}
_OUT: dict[FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
    "refusal": "stop",
    "pause": "stop",
    "malformed": "stop",
}


def finish_in(finish_reason: Any, *, calls: bool, refused: bool, stop: Any = None) -> Finish:
    """The canonical finish of a response with these properties.

    A response with tool calls has finished for them, whatever the provider's reason is.
    `stop` is the sequence that ended it, where the provider says so (vLLM).
    """
    reason = _IN.get(finish_reason, "stop") if isinstance(finish_reason, str) else "stop"
    if calls and reason == "stop":
        reason = "tool"
    elif reason == "tool" and not calls:
        reason = "stop"
    if refused and reason == "stop":
        reason = "refusal"
    if reason == "stop" and isinstance(stop, str) and stop:
        return Finish(reason="stop_sequence", stop_sequence=stop)
    explanation = (
        f"the model's answer ended with {finish_reason}" if reason == "malformed" else None
    )
    return Finish(reason=reason, explanation=explanation)


def finish_out(finish: Finish, *, refused: bool, functions: bool = False) -> str:
    """The `finish_reason` for a client; `refused`: whether the model wrote a refusal.

    `functions`: whether the client accepts calls in the legacy form only.
    A refusal without text comes from the provider's filter, not from the model.
    """
    if finish.reason == "refusal" and not refused:
        return "content_filter"
    if functions and finish.reason == "tool":
        return FUNCTION_CALL
    return _OUT[finish.reason]
