"""A client's input items -> instructions and turns.

System and developer messages before the first other item are instructions; later ones
are turns of their own. Consecutive items of the model (messages, reasoning, calls) form one
assistant turn; consecutive results form one user turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from msgspec.structs import replace

from gateway.canon.arguments import parse_arguments
from gateway.canon.errors import invalid
from gateway.canon.request import (
    Native,
    Part,
    Reasoning,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.signature import recover_reasoning_text, unwrap_signature
from gateway.dialects.openai_responses.names import NAME, STATE_KIND, Json, join_name
from gateway.dialects.openai_responses.parts_in import content_in
from gateway.dialects.openai_responses.tools_in import tools_in
from gateway.dialects.shared.fields import objects, required_text, text, wrong_type

PathedItem = tuple[Any, str]


class Conversation:
    """The parsed items; filled by `conversation_in`."""

    def __init__(self, items_by_id: dict[str, Json]) -> None:
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []
        self.tools: list[Tool] = []
        # Fields of items that no dialect supports, by path.
        self.unknown_fields: Json = {}
        # Items of earlier responses by id, for references.
        self.items_by_id = items_by_id
        self._custom_call_ids: set[str] = set()
        # The open turn: its role, parts and path, and the index of the first call with
        # each id.
        self._role: Literal["", "assistant", "user"] = ""
        self._parts: list[Part] = []
        self._path = ""
        self._call_indexes: dict[str, int] = {}

    @property
    def begun(self) -> bool:
        """Whether there is a turn."""
        return bool(self.turns or self._parts)

    def speak(self, part: Part, path: str) -> None:
        """Add to the assistant's turn."""
        self._open_turn("assistant", path)
        if isinstance(part, Reasoning) and self._attach_call_state(part):
            return
        if isinstance(part, ToolCall):
            self._call_indexes.setdefault(part.id, len(self._parts))
            if part.custom:
                self._custom_call_ids.add(part.id)
        self._parts.append(part)

    def _attach_call_state(self, reasoning: Reasoning) -> bool:
        """Attach state that follows a call as reasoning without text to the call."""
        state = reasoning.signature
        if reasoning.text or state is None or not state.item_id:
            return False
        call_index = self._call_indexes.get(state.item_id)
        if call_index is None:
            return False
        self._parts[call_index] = replace(
            self._parts[call_index], signature=replace(state, item_id="")
        )
        return True

    def answer(self, result: ToolResult, path: str) -> None:
        """Add to the turn of results."""
        self._open_turn("user", path)
        self._parts.append(
            replace(result, custom=result.custom or result.id in self._custom_call_ids)
        )

    def turn(self, turn: Turn) -> None:
        """Add a complete turn."""
        self.close()
        self.turns.append(turn)

    def _open_turn(self, role: Literal["assistant", "user"], path: str) -> None:
        """Start a turn unless the open one has this role."""
        if self._role != role:
            self.close()
            self._role, self._path = role, path

    def close(self) -> None:
        """End the open turn."""
        if self._role:
            self.turns.append(Turn(role=self._role, parts=tuple(self._parts), path=self._path))
            self._role, self._parts, self._call_indexes = "", [], {}


def pathed_items_in(body: Json) -> list[PathedItem]:
    """The input items of a body with their paths; a string is a user's message."""
    input_value = body.get("input")
    if input_value is None:
        return []
    if type(input_value) is str:
        return [({"role": "user", "content": input_value}, "input")]
    if type(input_value) is not list:
        raise wrong_type("input", "a string or a list of items", input_value)
    return [(item, f"input[{i}]") for i, item in enumerate(input_value)]


def conversation_in(
    pathed_items: Iterable[PathedItem], items_by_id: dict[str, Json]
) -> Conversation:
    """The conversation in items. Raises GatewayError naming the item at fault."""
    conversation = Conversation(items_by_id)
    for item, path in pathed_items:
        _item_in(conversation, item, path)
    conversation.close()
    return conversation


def _item_in(conversation: Conversation, item: Any, path: str) -> None:
    if type(item) is not dict:
        raise wrong_type(path, "an object", item)
    kind = text(item, "type", path)
    if kind is None:
        kind = "message" if "role" in item else "item_reference"
    reader = _READERS.get(kind)
    if reader is None:
        conversation.speak(Native(dialect=NAME, data=item, path=path), path)
    else:
        reader(conversation, item, path)


def _message_in(conversation: Conversation, item: Json, path: str) -> None:
    role = item.get("role")
    if item.get("phase") is not None:
        conversation.unknown_fields[f"{path}.phase"] = item["phase"]
    match role:
        case "user":
            conversation.turn(Turn(role="user", parts=content_in(item, "content", path), path=path))
        case "assistant":
            for part in content_in(item, "content", path) or (Text(text="", path=path),):
                conversation.speak(part, path)
        case "system" | "developer":
            _system_in(conversation, item, path)
        case _:
            field_path = f"{path}.role"
            problem = "missing" if role is None else f"not {role!r}"[:60]
            supported_roles = "user, assistant, system, developer"
            raise invalid(
                f"{field_path} must be one of {supported_roles}; it is {problem}", field_path
            )


def _system_in(conversation: Conversation, item: Json, path: str) -> None:
    parts = content_in(item, "content", path)
    texts = tuple(part for part in parts if isinstance(part, Text))
    if not conversation.begun and len(texts) == len(parts):
        conversation.instructions += texts
    else:
        conversation.turn(Turn(role="system", parts=parts, path=path))


def _reasoning_in(conversation: Conversation, item: Json, path: str) -> None:
    """Reasoning: its summary, or else its content, which may be null."""
    texts = [
        part_text for key in ("summary", "content") if (part_text := _parts_text(item, key, path))
    ]
    value = text(item, "encrypted_content", path)
    item_id = text(item, "id", path) or ""
    signature = None
    if value:
        signature = unwrap_signature(value) or Signature(
            kind=STATE_KIND, value=value, item_id=item_id
        )
    reasoning_text, signature = recover_reasoning_text(texts[0] if texts else "", signature)
    redacted = signature is not None and signature.kind == "redacted"
    conversation.speak(
        Reasoning(text=reasoning_text, signature=signature, redacted=redacted, path=path), path
    )


def _parts_text(item: Json, key: str, path: str) -> str:
    parts = objects(item, key, path)
    return "\n\n".join(required_text(p, "text", f"{path}.{key}[{i}]") for i, p in enumerate(parts))


def _call_in(conversation: Conversation, item: Json, path: str) -> None:
    arguments, raw = _arguments_in(item, path)
    name = join_name(text(item, "namespace", path), required_text(item, "name", path))
    call_id = required_text(item, "call_id", path)
    conversation.speak(
        ToolCall(id=call_id, name=name, arguments=arguments, raw=raw, path=path), path
    )


def _arguments_in(item: Json, path: str) -> tuple[Json | None, str | None]:
    """A call's arguments, which some clients send as an object instead of a string."""
    value = item.get("arguments")
    if value is None or type(value) is dict:
        return value or {}, None
    if type(value) is not str:
        raise wrong_type(f"{path}.arguments", "a string of JSON", value)
    return parse_arguments(value)


def _custom_call_in(conversation: Conversation, item: Json, path: str) -> None:
    name = join_name(text(item, "namespace", path), required_text(item, "name", path))
    call_id, raw = required_text(item, "call_id", path), text(item, "input", path) or ""
    conversation.speak(ToolCall(id=call_id, name=name, raw=raw, custom=True, path=path), path)


def _result_in(conversation: Conversation, item: Json, path: str) -> None:
    call_id = text(item, "call_id", path)
    if call_id is None:
        raise invalid(f"{path}.call_id is required and must be a string", f"{path}.call_id")
    parts = () if item.get("output") == "" else content_in(item, "output", path)
    custom = item.get("type") == "custom_tool_call_output"
    conversation.answer(ToolResult(id=call_id, parts=parts, custom=custom, path=path), path)


def _reference_in(conversation: Conversation, item: Json, path: str) -> None:
    field_path = f"{path}.id"
    referenced_item = conversation.items_by_id.get(required_text(item, "id", path))
    if referenced_item is None or referenced_item.get("type") == "item_reference":
        raise invalid(
            f"{field_path}: no item with the id {item['id'][:100]!r} is stored here", field_path
        )
    _item_in(conversation, referenced_item, path)


def _tools_in(conversation: Conversation, item: Json, path: str) -> None:
    """Tools that Codex sends as an item; they are offered like any other."""
    conversation.tools += tools_in(item, path)


_READERS: dict[str, Callable[[Conversation, Json, str], None]] = {
    "message": _message_in,
    "reasoning": _reasoning_in,
    "function_call": _call_in,
    "custom_tool_call": _custom_call_in,
    "function_call_output": _result_in,
    "custom_tool_call_output": _result_in,
    "item_reference": _reference_in,
    "additional_tools": _tools_in,
}
