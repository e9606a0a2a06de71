"""Converts messages of the page to canonical turns, and back."""

from __future__ import annotations

import base64
import binascii
from typing import Any, assert_never

import msgspec
from django.utils.translation import gettext as _

from console.playground.part_json import decode_part, encode_part
from console.playground.validation import FieldErrors, Json
from gateway.canon.arguments import render_arguments
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

MAX_MESSAGES = 5000
MAX_PARTS = 2000
# Field for the encoded part next to its simple form, see `render_part`.
EXACT_PART_FIELD = "exact"
_EDITABLE = frozenset({"text", "image", "tool_call", "tool_result"})
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
IMAGE_BYTES = 10 * 1024 * 1024
_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "tool": "user",
}


def parse_turns(errors: FieldErrors, container: Json, parent_path: str = "") -> tuple[Turn, ...]:
    """Parse the conversation in `messages`."""
    turns = []
    for path, message in errors.objects(container, "messages", parent_path, max_count=MAX_MESSAGES):
        role = _ROLES.get(str(message.get("role", "user")))
        if role is None:
            errors.add(f"{path}.role", _("One of %s.") % ", ".join(_ROLES))
            continue
        parts = _parse_parts(errors, message, path)
        name = errors.text(message, "name", path, max_length=200) or None
        effort = errors.text(message, "effort", path, max_length=40) or None
        if parts:
            turns.append(Turn(role=role, parts=parts, name=name, effort=effort))
    return tuple(turns)


def _parse_parts(errors: FieldErrors, message: Json, parent_path: str) -> tuple[Part, ...]:
    content = message.get("content")
    if isinstance(content, str):
        return (Text(text=content),) if content else ()
    parts = [
        _parse_part(errors, part, path)
        for path, part in errors.objects(message, "content", parent_path, max_count=MAX_PARTS)
    ]
    return tuple(part for part in parts if part is not None)


def _parse_part(errors: FieldErrors, part: Json, path: str) -> Part | None:
    if part.get(EXACT_PART_FIELD) is not None:
        try:
            return decode_part(part[EXACT_PART_FIELD])
        except ValueError:
            errors.add(f"{path}.{EXACT_PART_FIELD}", _("This part cannot be read."))
            return None
    match part.get("type"):
        case "text":
            text = errors.text(part, "text", path)
            return Text(text=text) if text else None
        case "image":
            return _parse_image(errors, part, path)
        case "reasoning":
            return None  # displayed, never sent: it needs the provider's state
        case "tool_call":
            arguments = errors.mapping(part, "arguments", path) or {}
            name, id_ = errors.text(part, "name", path), errors.text(part, "id", path)
            if not name or not id_:
                errors.add(path, _("A tool call needs an ID and a name."))
            return ToolCall(id=id_, name=name, arguments=arguments)
        case "tool_result":
            return _parse_tool_result(errors, part, path)
        case _:
            errors.add(f"{path}.type", _("One of text, image, tool_call, tool_result."))
            return None


def _parse_tool_result(errors: FieldErrors, part: Json, path: str) -> ToolResult:
    id_ = errors.text(part, "id", path)
    if not id_:
        errors.add(f"{path}.id", _("A tool result needs the ID of its call."))
    is_error = errors.flag(part, "is_error", path, default=False)
    return tool_result(id_, part.get("content"), is_error=is_error)


def tool_result(id_: str, content: Any, *, is_error: bool = False) -> ToolResult:
    """Tool result for the model: text unchanged, other values as JSON."""
    text = tool_result_text(content)
    parts = (Text(text=text),) if text else ()
    return ToolResult(id=id_, parts=parts, is_error=is_error or None)


def tool_result_text(content: Any) -> str:
    """Content of a tool result as text."""
    if content is None:
        return ""
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def _parse_image(errors: FieldErrors, part: Json, path: str) -> Image | None:
    kind, data = part.get("media_type"), errors.text(part, "data", path, max_length=2 * IMAGE_BYTES)
    if kind not in IMAGES:
        errors.add(f"{path}.media_type", _("Images must be PNG, JPEG, GIF or WebP."))
        return None
    try:
        size = len(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        errors.add(f"{path}.data", _("The image is not valid base64."))
        return None
    if not 0 < size <= IMAGE_BYTES:
        errors.add(f"{path}.data", _("Images can be up to 10 MB."))
        return None
    return Image(media_type=kind, data=data)


# --- from canonical turns: a logged request opened in the playground -----------------------


def render_turns(turns: tuple[Turn, ...]) -> list[Json]:
    """Messages for the page; `parse_turns` restores equal turns."""
    return [_render_turn(turn) for turn in turns if turn.parts]


def _render_turn(turn: Turn) -> Json:
    message: Json = {"role": turn.role, "content": [render_part(part) for part in turn.parts]}
    extra = {"name": turn.name, "effort": turn.effort}
    return message | {name: value for name, value in extra.items() if value}


def render_part(part: Part) -> Json:
    """Simple form of a part; includes the encoded part where the form is lossy."""
    page_part = _simple_form(part)
    errors = FieldErrors()
    parsed_part = _parse_part(errors, page_part, "") if page_part["type"] in _EDITABLE else None
    if (
        parsed_part is not None
        and not errors.messages
        and encode_part(parsed_part) == encode_part(part)
    ):
        return page_part
    return page_part | {EXACT_PART_FIELD: encode_part(part)}


def _simple_form(part: Part) -> Json:
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text}
        case Image():
            if part.data is None:
                return {"type": "file", "label": f"image: {part.url or part.file_id}"}
            return {"type": "image", "media_type": part.media_type, "data": part.data}
        case ToolCall():
            arguments = (
                part.arguments if part.arguments is not None else {"input": render_arguments(part)}
            )
            return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": arguments}
        case ToolResult():
            text = "\n".join(
                inner_part.text for inner_part in part.parts if isinstance(inner_part, Text)
            )
            result_json: Json = {"type": "tool_result", "id": part.id, "content": text}
            return result_json | {"is_error": True} if part.is_error else result_json
        case Reasoning():
            return {"type": "reasoning", "text": part.text}
        case Document():
            name = part.title or part.url or part.file_id or part.media_type or ""
            return {"type": "file", "label": f"document: {name}".removesuffix(": ")}
        case Audio():
            return {"type": "file", "label": f"audio: {part.format}"}
        case Native():
            return {"type": "file", "label": str(part.data.get("type") or part.dialect)}
        case _:
            assert_never(part)
