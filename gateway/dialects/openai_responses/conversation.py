"""A client's conversation as it is read from its items, turn by turn."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from gateway.canon.request import (
    Document,
    Part,
    Reasoning,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.dialects.openai_responses.context import Json


class Conversation:
    """The parsed items; filled by `parse_conversation`."""

    def __init__(self, items_by_id: dict[str, Json]) -> None:
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []
        self.tools: list[Tool] = []
        # Fields of items that no dialect supports, by path.
        self.unknown_fields: Json = {}
        # Items of earlier responses by id, for references.
        self.items_by_id = items_by_id
        self._custom_call_ids: set[str] = set()
        # The open turn: its role, parts and path. None replaces state that belongs to a call.
        self._role: Literal["", "assistant", "user"] = ""
        self._parts: list[Part | None] = []
        self._path = ""
        # The index of the first call with each id, and of the state of a call that comes later.
        self._call_indexes: dict[str, int] = {}
        self._state_indexes: dict[str, int] = {}
        # The turn and index of the last call with each id in the turns before the open one.
        self._earlier_calls: dict[str, tuple[int, int]] = {}

    @property
    def has_turn(self) -> bool:
        """Whether there is a turn."""
        return bool(self.turns or self._parts)

    def add_assistant_part(self, part: Part, path: str) -> None:
        """Add to the assistant's turn."""
        self._open_turn("assistant", path)
        state = part.signature if isinstance(part, Reasoning) and not part.text else None
        if state is not None and state.item_id:
            call_index = self._call_indexes.get(state.item_id)
            if call_index is not None:
                self._attach_state(call_index, state)
                return
            self._state_indexes[state.item_id] = len(self._parts)
        self._parts.append(part)
        if isinstance(part, ToolCall):
            self._call_indexes.setdefault(part.id, len(self._parts) - 1)
            if part.custom:
                self._custom_call_ids.add(part.id)
            state_index = self._state_indexes.pop(part.id, None)
            if state_index is not None:
                state_part = self._parts[state_index]
                assert isinstance(state_part, Reasoning)
                assert state_part.signature is not None
                self._attach_state(len(self._parts) - 1, state_part.signature)
                self._parts[state_index] = None

    def _attach_state(self, call_index: int, state: Signature) -> None:
        """Attach state that a client sends as reasoning without text to its call."""
        call = self._parts[call_index]
        assert isinstance(call, ToolCall)
        self._parts[call_index] = replace(call, signature=replace(state, item_id=""))

    def add_result(self, result: ToolResult, path: str) -> None:
        """Add to the turn of results."""
        self._open_turn("user", path)
        self._record_file_details(result.parts)
        self._parts.append(
            replace(result, custom=result.custom or result.id in self._custom_call_ids)
        )

    def add_turn(self, turn: Turn) -> None:
        """Add a complete turn."""
        self.close()
        self._record_file_details(turn.parts)
        self.turns.append(turn)

    def _record_file_details(self, parts: tuple[Part, ...]) -> None:
        """Record the details of files, which no other dialect has."""
        for part in parts:
            if type(part) is Document and part.detail is not None:
                self.unknown_fields[f"{part.path}.detail"] = part.detail

    def _open_turn(self, role: Literal["assistant", "user"], path: str) -> None:
        """Start a turn unless the open one has this role."""
        if self._role != role:
            self.close()
            self._role, self._path = role, path

    def close(self) -> None:
        """End the open turn."""
        if not self._role:
            return
        for call_id, index in self._state_indexes.items():
            if self._attach_state_to_earlier_call(call_id, self._parts[index]):
                self._parts[index] = None
        parts = [part for part in self._parts if part is not None]
        if parts or not self._state_indexes:
            for index, part in enumerate(parts):
                if isinstance(part, ToolCall):
                    self._earlier_calls[part.id] = len(self.turns), index
            self.turns.append(Turn(role=self._role, parts=tuple(parts), path=self._path))
        self._role, self._parts, self._call_indexes, self._state_indexes = "", [], {}, {}

    def _attach_state_to_earlier_call(self, call_id: str, state: Part | None) -> bool:
        """Attach state to a call before its result; whether there is one without state."""
        turn_index, part_index = self._earlier_calls.get(call_id, (-1, -1))
        if turn_index < 0 or not isinstance(state, Reasoning) or state.signature is None:
            return False
        parts = list(self.turns[turn_index].parts)
        call = parts[part_index]
        if not isinstance(call, ToolCall) or call.signature is not None:
            return False
        parts[part_index] = replace(call, signature=replace(state.signature, item_id=""))
        self.turns[turn_index] = replace(self.turns[turn_index], parts=tuple(parts))
        return True
