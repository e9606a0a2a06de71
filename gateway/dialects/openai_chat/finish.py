"""Why an answer ended: a provider's `finish_reason` <-> canonical."""

from __future__ import annotations

from typing import Any

from gateway.canon.response import Finish, FinishReason

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
    # DeepSeek's word for an answer that it broke off itself.
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


def finish_in(word: Any, *, calls: bool, refused: bool, stop: Any = None) -> Finish:
    """The canonical finish of an answer that holds calls, or words of refusal.

    A model that called a tool has finished for it, whatever word the provider has.
    `stop` is the sequence that ended it, where the provider says so (vLLM).
    """
    reason = _IN.get(word, "stop") if isinstance(word, str) else "stop"
    if calls and reason == "stop":
        reason = "tool"
    elif reason == "tool" and not calls:
        reason = "stop"
    if refused and reason == "stop":
        reason = "refusal"
    if reason == "stop" and isinstance(stop, str) and stop:
        return Finish(reason="stop_sequence", stop_sequence=stop)
    told = f"the model's answer ended with {word}" if reason == "malformed" else None
    return Finish(reason=reason, explanation=told)


def finish_out(finish: Finish, *, refused: bool) -> str:
    """The `finish_reason` for a client; `refused` says whether the model's own words say no.

    A refusal without words is the provider's filter, not the model's politeness.
    """
    if finish.reason == "refusal" and not refused:
        return "content_filter"
    return _OUT[finish.reason]
