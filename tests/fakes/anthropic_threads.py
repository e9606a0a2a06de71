"""Anthropic's message threads (beta `message-threads-2026-08-12`): conversations that it stores."""

from __future__ import annotations

from typing import Any

from tests.fakes.script import Refusal

# What a thread keeps from its first request, and a later one must not repeat.
_KEPT_FIELDS = ("system", "tools")


class Threads:
    """The stored conversations, by the id of their last response."""

    def __init__(self) -> None:
        self._requests: dict[str, dict[str, Any]] = {}

    def complete(self, body: dict[str, Any]) -> dict[str, Any] | Refusal:
        """Return the request with the stored conversation before its own messages."""
        thread = body.get("thread")
        if thread is None or thread["type"] == "create":
            return body
        stored = self._requests.get(thread["previous_message_id"])
        if stored is None:
            message = "No usable Thread state was found for `previous_message_id`."
            details = {"error_code": "thread_not_found"}
            return Refusal(404, "not_found_error", message, details=details)
        if any(name in body for name in _KEPT_FIELDS):
            return Refusal(400, "invalid_request_error", "system and tools are of the thread")
        kept = {name: stored[name] for name in _KEPT_FIELDS if name in stored}
        return {**body, **kept, "messages": stored["messages"] + body["messages"]}

    def store(self, body: dict[str, Any], message_id: str, content: list[dict[str, Any]]) -> None:
        """Store the conversation of a request with a `thread`, and its response."""
        if body.get("thread") is not None:
            response = {"role": "assistant", "content": content}
            self._requests[message_id] = {**body, "messages": [*body["messages"], response]}
