"""A client's input items -> instructions and turns.

System and developer messages before the first other item are instructions; later ones
are turns of their own. What the model made (messages, reasoning, calls) is one assistant
turn until something else comes; results in a row are one user turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from gateway.canon.arguments import parsed
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
from gateway.canon.signature import recovered, unwrap
from gateway.dialects.fields import items, needed_text, text, wrong
from gateway.dialects.openai_responses.names import NAME, STATE, Json, joined_name
from gateway.dialects.openai_responses.parts_in import content_in
from gateway.dialects.openai_responses.tools_in import listed_in

Placed = tuple[Any, str]


class Conversation:
    """What the items come to; filled by `conversation_in`."""

    def __init__(self, known: dict[str, Json]) -> None:
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []
        self.tools: list[Tool] = []
        # Fields of items that no dialect knows, by path.
        self.unknown: Json = {}
        # Items of earlier answers by id, for references.
        self.known = known
        self._customs: set[str] = set()
        # Whose turn the last one is, where another item may still join it.
        self._open = ""

    def speak(self, part: Part, at: str) -> None:
        """Add to the assistant's turn."""
        if self._open != "assistant":
            self.turns.append(Turn(role="assistant", at=at))
            self._open = "assistant"
        if isinstance(part, Reasoning) and self._signs_a_call(part):
            return
        self._join(part)
        if isinstance(part, ToolCall) and part.custom:
            self._customs.add(part.id)

    def _signs_a_call(self, thought: Reasoning) -> bool:
        """Give a call of this turn the state that stands after it as reasoning without words."""
        state, turn = thought.signature, self.turns[-1]
        if thought.text or state is None or not state.item:
            return False
        for place, part in enumerate(turn.parts):
            if isinstance(part, ToolCall) and part.id == state.item:
                signed = replace(part, signature=replace(state, item=""))
                parts = (*turn.parts[:place], signed, *turn.parts[place + 1 :])
                self.turns[-1] = replace(turn, parts=parts)
                return True
        return False

    def answer(self, result: ToolResult, at: str) -> None:
        """Add to the turn of results."""
        if self._open != "results":
            self.turns.append(Turn(role="user", at=at))
            self._open = "results"
        self._join(replace(result, custom=result.custom or result.id in self._customs))

    def turn(self, turn: Turn) -> None:
        """Add a turn that stands for itself."""
        self.turns.append(turn)
        self._open = ""

    def _join(self, part: Part) -> None:
        self.turns[-1] = replace(self.turns[-1], parts=(*self.turns[-1].parts, part))


def placed_in(body: Json) -> list[Placed]:
    """The items of a body with their paths; a string is a user's message."""
    given = body.get("input")
    if given is None:
        return []
    if type(given) is str:
        return [({"role": "user", "content": given}, "input")]
    if type(given) is not list:
        raise wrong("input", "a string or a list of items", given)
    return [(item, f"input[{i}]") for i, item in enumerate(given)]


def conversation_in(placed: Iterable[Placed], known: dict[str, Json]) -> Conversation:
    """The conversation in items. Raises GatewayError naming the item at fault."""
    out = Conversation(known)
    for item, at in placed:
        _item_in(out, item, at)
    return out


def _item_in(out: Conversation, item: Any, at: str) -> None:
    if type(item) is not dict:
        raise wrong(at, "an object", item)
    kind = text(item, "type", at)
    if kind is None:
        kind = "message" if "role" in item else "item_reference"
    reader = _READERS.get(kind)
    if reader is None:
        out.speak(Native(dialect=NAME, data=item, at=at), at)
    else:
        reader(out, item, at)


def _message_in(out: Conversation, item: Json, at: str) -> None:
    role = item.get("role")
    if item.get("phase") is not None:
        out.unknown[f"{at}.phase"] = item["phase"]
    match role:
        case "user":
            out.turn(Turn(role="user", parts=content_in(item, "content", at), at=at))
        case "assistant":
            for part in content_in(item, "content", at) or (Text(text="", at=at),):
                out.speak(part, at)
        case "system" | "developer":
            _system_in(out, item, at)
        case _:
            path = f"{at}.role"
            told = "missing" if role is None else f"not {role!r}"[:60]
            known = "user, assistant, system, developer"
            raise invalid(f"{path} must be one of {known}; it is {told}", path)


def _system_in(out: Conversation, item: Json, at: str) -> None:
    parts = content_in(item, "content", at)
    texts = tuple(part for part in parts if isinstance(part, Text))
    if not out.turns and len(texts) == len(parts):
        out.instructions += texts
    else:
        out.turn(Turn(role="system", parts=parts, at=at))


def _reasoning_in(out: Conversation, item: Json, at: str) -> None:
    """A thought: its summary, or its own words where there is none (`content` may be null)."""
    said = [words for key in ("summary", "content") if (words := _words(item, key, at))]
    value = text(item, "encrypted_content", at)
    item_id = text(item, "id", at) or ""
    signature = None
    if value:
        signature = unwrap(value) or Signature(kind=STATE, value=value, item=item_id)
    told, signature = recovered(said[0] if said else "", signature)
    redacted = signature is not None and signature.kind == "redacted"
    out.speak(Reasoning(text=told, signature=signature, redacted=redacted, at=at), at)


def _words(item: Json, key: str, at: str) -> str:
    parts = items(item, key, at)
    return "\n\n".join(needed_text(p, "text", f"{at}.{key}[{i}]") for i, p in enumerate(parts))


def _call_in(out: Conversation, item: Json, at: str) -> None:
    arguments, raw = _arguments_in(item, at)
    name = joined_name(text(item, "namespace", at), needed_text(item, "name", at))
    call_id = needed_text(item, "call_id", at)
    out.speak(ToolCall(id=call_id, name=name, arguments=arguments, raw=raw, at=at), at)


def _arguments_in(item: Json, at: str) -> tuple[Json | None, str | None]:
    """A call's arguments, which some clients send as an object instead of a string."""
    value = item.get("arguments")
    if value is None or type(value) is dict:
        return value or {}, None
    if type(value) is not str:
        raise wrong(f"{at}.arguments", "a string of JSON", value)
    return parsed(value)


def _custom_call_in(out: Conversation, item: Json, at: str) -> None:
    name = joined_name(text(item, "namespace", at), needed_text(item, "name", at))
    call_id, raw = needed_text(item, "call_id", at), text(item, "input", at) or ""
    out.speak(ToolCall(id=call_id, name=name, raw=raw, custom=True, at=at), at)


def _result_in(out: Conversation, item: Json, at: str) -> None:
    call_id = text(item, "call_id", at)
    if call_id is None:
        raise invalid(f"{at}.call_id is required: give a string", f"{at}.call_id")
    parts = () if item.get("output") == "" else content_in(item, "output", at)
    custom = item.get("type") == "custom_tool_call_output"
    out.answer(ToolResult(id=call_id, parts=parts, custom=custom, at=at), at)


def _reference_in(out: Conversation, item: Json, at: str) -> None:
    path = f"{at}.id"
    found = out.known.get(needed_text(item, "id", at))
    if found is None or found.get("type") == "item_reference":
        raise invalid(f"{path}: no item with the id {item['id'][:100]!r} is kept here", path)
    _item_in(out, found, at)


def _tools_in(out: Conversation, item: Json, at: str) -> None:
    """Tools that Codex hands in as an item; they are on offer like any other."""
    out.tools += listed_in(item, at, out.unknown)


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
