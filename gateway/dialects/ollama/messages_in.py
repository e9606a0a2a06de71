"""A client's messages -> instructions and turns.

Calls usually have no ids: one is generated from the indexes of message and call, and a
result belongs to the first call of its name without a result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.canon.arguments import parse_arguments
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.media import parse_data_url, resolve_media_type
from gateway.canon.request import Image, Part, Reasoning, Text, ToolCall, ToolResult, Turn
from gateway.dialects.ollama.names import Json
from gateway.dialects.shared.fields import (
    objects,
    required_mapping,
    required_text,
    strings,
    text,
    wrong_type,
)

_PARSED_FIELDS = frozenset(
    {
        *("role", "content", "thinking", "images", "tool_calls"),
        *("tool_name", "tool_call_id", "name"),
    }
)


class Conversation:
    """The parsed conversation; filled by `parse_messages`."""

    def __init__(self) -> None:
        self.instructions: list[Text] = []
        self.turns: list[Turn] = []
        # Unknown message fields, by path.
        self.extra_fields: Json = {}
        # The calls of the last assistant turn that have no result yet.
        self.open_calls = OpenCalls([])
        # Results in a row, which become one turn, and the path of the first.
        self.results: list[Part] = []
        self.results_path = ""

    def flush_results(self) -> None:
        """Adds the buffered results as a turn."""
        if self.results:
            turn = Turn(role="user", parts=tuple(self.results), path=self.results_path)
            self.turns.append(turn)
            self.results = []


class OpenCalls:
    """The calls of one turn without a result yet, in order, by id and by name."""

    def __init__(self, calls: list[ToolCall]) -> None:
        self._calls = deque(calls)
        self._by_id: dict[str, deque[ToolCall]] = {}
        self._by_name: dict[str, deque[ToolCall]] = {}
        self._answered_paths: set[str] = set()
        for call in calls:
            self._by_id.setdefault(call.id, deque()).append(call)
            self._by_name.setdefault(call.name, deque()).append(call)

    def match_result(self, call_id: str | None, name: str | None) -> ToolCall | None:
        """Removes and returns the first call with this id or, without an id, this name."""
        if call_id:
            candidates = self._by_id.get(call_id)
        else:
            candidates = self._calls if name is None else self._by_name.get(name)
        while candidates:
            call = candidates.popleft()
            # The path distinguishes calls with the same id.
            if call.path not in self._answered_paths:
                self._answered_paths.add(call.path)
                return call
        return None


def empty_request_error(message: str, path: str) -> GatewayError:
    """The error for a request without input, which only loads the model."""
    return GatewayError(Error(kind="invalid_request", message=message, param=path, code="preload"))


def parse_messages(body: Json) -> Conversation:
    """The conversation in a body. Raises GatewayError naming the message at fault."""
    messages = body.get("messages")
    if not messages and type(messages) in {list, type(None)}:
        raise empty_request_error("messages must hold at least one message", "messages")
    if type(messages) is not list:
        raise wrong_type("messages", "a list", messages)
    conversation = Conversation()
    for index, message in enumerate(messages):
        _parse_message(conversation, message, index)
    conversation.flush_results()
    return conversation


def _parse_message(conversation: Conversation, message: Any, index: int) -> None:
    path = f"messages[{index}]"
    if type(message) is not dict:
        raise wrong_type(path, "an object with a role", message)
    role = message.get("role")
    parser = _MESSAGE_PARSERS.get(role) if type(role) is str else None
    if parser is None:
        problem = "missing" if role is None else f"not {role!r}"[:60]
        raise invalid(
            f"{path}.role must be one of {', '.join(_MESSAGE_PARSERS)}; it is {problem}",
            f"{path}.role",
        )
    for key, value in message.items():
        if key not in _PARSED_FIELDS and value is not None:
            conversation.extra_fields[f"{path}.{key}"] = value
    if role != "tool":
        conversation.flush_results()
    parser(conversation, message, index, path)


def _parse_system_message(conversation: Conversation, message: Json, index: int, path: str) -> None:
    texts = _parse_texts(message, path)
    if not conversation.turns:
        conversation.instructions += texts
    else:
        conversation.turns.append(Turn(role="system", parts=tuple(texts), path=path))


def _parse_user_message(conversation: Conversation, message: Json, index: int, path: str) -> None:
    parts: list[Part] = [*_parse_texts(message, path), *parse_images(message, path)]
    if not parts:
        parts.append(Text(text="", path=path))
    conversation.turns.append(
        Turn(role="user", parts=tuple(parts), name=text(message, "name", path), path=path)
    )


def _parse_assistant_message(
    conversation: Conversation, message: Json, index: int, path: str
) -> None:
    parts: list[Part] = []
    if reasoning_text := text(message, "thinking", path):
        parts.append(Reasoning(text=reasoning_text, path=f"{path}.thinking"))
    parts += _parse_texts(message, path)
    parts += parse_images(message, path)
    calls = _parse_calls(message, index, path)
    conversation.open_calls = OpenCalls(calls)
    parts += calls
    conversation.turns.append(
        Turn(role="assistant", parts=tuple(parts), name=text(message, "name", path), path=path)
    )


def _parse_texts(message: Json, path: str) -> list[Text]:
    content = text(message, "content", path)
    return [Text(text=content, path=path)] if content else []


def parse_images(holder: Json, path: str = "") -> list[Image]:
    """The images of a message or a prompt: base64, with the media type sniffed."""
    images = []
    for index, value in enumerate(strings(holder, "images", path)):
        image_path = f"{path}.images[{index}]" if path else f"images[{index}]"
        declared_type, data = parse_data_url(value) or (None, value)
        media_type = resolve_media_type(data, declared_type, "image/png")
        images.append(Image(data=data, media_type=media_type, path=image_path))
    return images


def _parse_calls(message: Json, message_index: int, path: str) -> list[ToolCall]:
    calls_path = f"{path}.tool_calls"
    call_objects = objects(message, "tool_calls", path)
    return [
        _parse_call(call, f"call_{message_index}_{call_index}", f"{calls_path}[{call_index}]")
        for call_index, call in enumerate(call_objects)
    ]


def _parse_call(call: Json, generated_id: str, path: str) -> ToolCall:
    function = required_mapping(call, "function", path)
    function_path = f"{path}.function"
    arguments, raw = _parse_arguments(function.get("arguments"), function_path)
    return ToolCall(
        id=text(call, "id", path) or generated_id,
        name=required_text(function, "name", function_path),
        arguments=arguments,
        raw=raw,
        path=path,
    )


def _parse_arguments(value: Any, path: str) -> tuple[Json | None, str | None]:
    """The arguments: an object, or the string that clients of other dialects know."""
    if value is None:
        return {}, None
    if type(value) is dict:
        return value, None
    if type(value) is str:
        return parse_arguments(value)
    raise wrong_type(f"{path}.arguments", "an object", value)


def _parse_tool_message(conversation: Conversation, message: Json, index: int, path: str) -> None:
    name = text(message, "tool_name", path) or text(message, "name", path)
    call_id = text(message, "tool_call_id", path)
    call = conversation.open_calls.match_result(call_id, name)
    parts: list[Part] = [*_parse_texts(message, path), *parse_images(message, path)]
    result = ToolResult(
        id=call.id if call is not None else call_id or f"result_{index}",
        parts=tuple(parts),
        name=name or (call.name if call is not None else None),
        path=path,
    )
    if not conversation.results:
        conversation.results_path = path
    conversation.results.append(result)


_MESSAGE_PARSERS: dict[str, Callable[[Conversation, Json, int, str], None]] = {
    "system": _parse_system_message,
    "developer": _parse_system_message,
    "user": _parse_user_message,
    "assistant": _parse_assistant_message,
    "tool": _parse_tool_message,
}
