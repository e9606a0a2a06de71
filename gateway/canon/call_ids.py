"""Unique ids for tool calls.

Local servers give several calls the same id. Every API pairs a result with its call by the id,
and OpenAI's SDK fails on a response with the same one twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Clients of Gemini and Ollama may write calls without ids; these are the ids that they are given:
# the numbers of the turn and of the call.
_GENERATED_ID = re.compile(r"call_\d+_\d+")


def is_generated_id(call_id: str) -> bool:
    """Whether the gateway created this id of a call in a client's history."""
    return _GENERATED_ID.fullmatch(call_id) is not None


class UnusedIds:
    """Creates ids for calls whose own id is already in use: the id with the next unused number."""

    def __init__(self, used_ids: Iterable[str] = ()) -> None:
        self._used_ids = set(used_ids)
        # An id -> the last number that was tried for it, so that none is tried again.
        self._last_suffixes: dict[str, int] = {}

    def create(self, call_id: str) -> str:
        """An unused id: this one with a number."""
        number = self._last_suffixes.get(call_id, 1) + 1
        while (candidate := f"{call_id}_{number}") in self._used_ids:
            number += 1
        self._last_suffixes[call_id] = number
        self._used_ids.add(candidate)
        return candidate

    def claim(self, call_id: str) -> str:
        """This id, or one with a number if it is in use; an empty one stays empty."""
        if call_id in self._used_ids:
            return self.create(call_id)
        if call_id:
            self._used_ids.add(call_id)
        return call_id
