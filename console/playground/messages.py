"""Messages as the page writes them <-> canonical turns."""

from __future__ import annotations

import base64
import binascii
from typing import Any, assert_never

import msgspec
from django.utils.translation import gettext as _

from console.playground.reading import Errors, Json
from gateway.canon.arguments import written
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

MOST_MESSAGES = 500
MOST_PARTS = 200
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
IMAGE_BYTES = 10 * 1024 * 1024
_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "tool": "user",
}


def turns_in(errors: Errors, holder: Json, at: str = "") -> tuple[Turn, ...]:
    """The dialogue under `messages`."""
    found = []
    for path, message in errors.objects(holder, "messages", at, most=MOST_MESSAGES):
        role = _ROLES.get(str(message.get("role", "user")))
        if role is None:
            errors.add(f"{path}.role", _("One of %s.") % ", ".join(_ROLES))
            continue
        parts = _parts_in(errors, message, path)
        if parts:
            found.append(Turn(role=role, parts=parts))
    return tuple(found)


def _parts_in(errors: Errors, message: Json, at: str) -> tuple[Part, ...]:
    content = message.get("content")
    if isinstance(content, str):
        return (Text(text=content),) if content else ()
    parts = [
        _part_in(errors, part, path)
        for path, part in errors.objects(message, "content", at, most=MOST_PARTS)
    ]
    return tuple(part for part in parts if part is not None)


def _part_in(errors: Errors, part: Json, at: str) -> Part | None:
    match part.get("type"):
        case "text":
            text = errors.text(part, "text", at)
            return Text(text=text) if text else None
        case "image":
            return _image_in(errors, part, at)
        case "reasoning":
            return None  # shown, never sent: only its maker may see it again
        case "tool_call":
            arguments = errors.mapping(part, "arguments", at) or {}
            name, id_ = errors.text(part, "name", at), errors.text(part, "id", at)
            if not name or not id_:
                errors.add(at, _("A tool call needs an id and a name."))
            return ToolCall(id=id_, name=name, arguments=arguments)
        case "tool_result":
            return _result_in(errors, part, at)
        case _:
            errors.add(f"{at}.type", _("One of text, image, tool_call, tool_result."))
            return None


def _result_in(errors: Errors, part: Json, at: str) -> ToolResult:
    id_ = errors.text(part, "id", at)
    if not id_:
        errors.add(f"{at}.id", _("A tool result needs the id of its call."))
    failed = errors.flag(part, "is_error", at, default=False)
    return result(id_, part.get("content"), is_error=failed)


def result(id_: str, content: Any, *, is_error: bool = False) -> ToolResult:
    """What a tool gave back, as the model gets it: text as it is, anything else as JSON."""
    words = words_of(content)
    parts = (Text(text=words),) if words else ()
    return ToolResult(id=id_, parts=parts, is_error=is_error or None)


def words_of(content: Any) -> str:
    """A tool's result as text."""
    if content is None:
        return ""
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def _image_in(errors: Errors, part: Json, at: str) -> Image | None:
    kind, data = part.get("media_type"), errors.text(part, "data", at, most=2 * IMAGE_BYTES)
    if kind not in IMAGES:
        errors.add(f"{at}.media_type", _("A picture is PNG, JPEG, GIF or WebP."))
        return None
    try:
        size = len(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        errors.add(f"{at}.data", _("The picture is not base64."))
        return None
    if not 0 < size <= IMAGE_BYTES:
        errors.add(f"{at}.data", _("A picture has at most 10 MB."))
        return None
    return Image(media_type=kind, data=data)


# --- the way back: a request of the log, opened in the playground --------------------------


def turns_out(turns: tuple[Turn, ...]) -> list[Json]:
    """The messages as the page writes them; what it has no place for is left out."""
    messages = []
    for turn in turns:
        content = [part for part in map(_part_out, turn.parts) if part is not None]
        if content:
            messages.append({"role": turn.role, "content": content})
    return messages


def _part_out(part: Part) -> Json | None:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            if part.data is None:
                return {"type": "text", "text": f"[image: {part.url or part.file_id}]"}
            return {"type": "image", "media_type": part.media_type, "data": part.data}
        case ToolCall():
            arguments = part.arguments if part.arguments is not None else {"input": written(part)}
            return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": arguments}
        case ToolResult():
            words = "\n".join(inner.text for inner in part.parts if isinstance(inner, Text))
            told: Json = {"type": "tool_result", "id": part.id, "content": words}
            return told | {"is_error": True} if part.is_error else told
        case Refusal():
            return {"type": "text", "text": part.text}
        case Reasoning() | Document() | Audio() | Native():
            return None
        case _:
            assert_never(part)
