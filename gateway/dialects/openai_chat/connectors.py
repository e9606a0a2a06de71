"""Messages of a response of Mistral that ran tools itself: its connectors.

Such a choice has `messages` in place of `message`: each call, its result and the text after it
(docs.mistral.ai, Using Connectors in Chat Completions).
"""

from __future__ import annotations

from typing import Any

from gateway.canon.json_values import dict_items
from gateway.canon.request import Native
from gateway.dialects.shared.fields import string_or_empty

Json = dict[str, Any]


def merge_messages(messages: Any) -> Json | None:
    """One message with the texts and the client's calls; None if the model wrote none."""
    own_messages = [m for m in dict_items(messages) if m.get("role", "assistant") == "assistant"]
    if not own_messages:
        return None
    results = _results_by_id(messages)
    content: list[Json] = []
    calls: list[Json] = []
    for message in own_messages:
        text = message.get("content")
        content += [{"type": "text", "text": text}] if isinstance(text, str) else dict_items(text)
        calls += [c for c in dict_items(message.get("tool_calls")) if _id_of(c) not in results]
    return {"content": content, "tool_calls": calls}


def executed_calls(messages: Any) -> tuple[Native, ...]:
    """The calls that the provider ran, with their results."""
    results = _results_by_id(messages)
    calls = [c for m in dict_items(messages) for c in dict_items(m.get("tool_calls"))]
    return tuple(
        Native(
            dialect="mistral",
            data={"type": "tool.execution", "call": call, "result": results[_id_of(call)]},
        )
        for call in calls
        if _id_of(call) in results
    )


def _id_of(call: Json) -> str:
    return string_or_empty(call.get("id"))


def _results_by_id(messages: Any) -> Json:
    """The contents of the results by the id of their call."""
    results = [m for m in dict_items(messages) if m.get("role") == "tool"]
    return {
        result["tool_call_id"]: result.get("content")
        for result in results
        if string_or_empty(result.get("tool_call_id"))
    }
