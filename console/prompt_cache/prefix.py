"""Splits the body of a request into prompt segments, in the order in which caches read them.

Providers cache the longest unchanged prefix of a prompt: tools first, then the system
prompt, then the messages. Cache breakpoints (`cache_control`) are excluded from the
comparison, because clients move them forward with each turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")
_BREAKPOINT_FIELDS = frozenset({"cache_control", "cachePoint"})
_MAX_DEPTH = 60
_MAX_WORD_LENGTH = 32


class Segment(NamedTuple):
    """One segment of a prompt: its path, its text, and whether it has a cache breakpoint.

    `part` is `tools`, `system` or `messages`; `name` a tool's name or a message's role.
    """

    part: str
    path: str
    name: str
    text: str
    has_breakpoint: bool = False


class CommonPrefix(NamedTuple):
    """Common prefix of two prompts: number of equal segments, and of characters."""

    segments: int
    size: int


def prompt_segments(body: Any) -> list[Segment]:
    """Segments of a body of any dialect; empty if the format is unknown."""
    if not isinstance(body, dict):
        return []
    inner = body.get("toolConfig")
    tools = body.get("tools")
    if tools is None and isinstance(inner, dict):
        tools = inner.get("tools")
    return [*_tool_segments(tools), *_system_segments(body), *_message_segments(body)]


def _tool_segments(tools: Any) -> Iterator[Segment]:
    for number, tool in enumerate(tools if isinstance(tools, list) else []):
        declarations = tool.get("functionDeclarations") if isinstance(tool, dict) else None
        for index, declaration in enumerate(
            declarations if isinstance(declarations, list) else [tool]
        ):
            path = f"tools[{number}]" if declaration is tool else f"tools[{number}].{index}"
            yield _segment_of("tools", path, _tool_name(declaration), declaration)


def _tool_name(tool: Any) -> str:
    if not isinstance(tool, dict):
        return ""
    for inner in (tool, tool.get("function"), tool.get("toolSpec")):
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return str(inner["name"])
    return str(tool.get("type", ""))


def _system_segments(body: dict[str, Any]) -> Iterator[Segment]:
    for field in ("system", "instructions", "systemInstruction"):
        value = body.get(field)
        if isinstance(value, dict):
            value = value.get("parts")
        if value:
            yield from _block_segments("system", field, "system", value)


def _message_segments(body: dict[str, Any]) -> Iterator[Segment]:
    for field in ("messages", "input", "contents"):
        value = body.get(field)
        if isinstance(value, str):
            yield _segment_of("messages", field, "user", value)
        for number, item in enumerate(value if isinstance(value, list) else []):
            yield from _segments_of_message(f"{field}[{number}]", item)


def _segments_of_message(path: str, item: Any) -> Iterator[Segment]:
    if not isinstance(item, dict):
        yield _segment_of("messages", path, "", item)
        return
    role = str(item.get("role") or item.get("type") or "")
    part = "system" if role in ("system", "developer") else "messages"
    content_field = "content" if "content" in item else "parts"
    other_fields = {
        name: value for name, value in item.items() if name not in (content_field, "role")
    }
    if item.get(content_field) is not None:
        yield from _block_segments(part, f"{path}.{content_field}", role, item[content_field])
    if other_fields.keys() - _BREAKPOINT_FIELDS:
        yield _segment_of(part, path, role, other_fields)


def _block_segments(part: str, path: str, name: str, value: Any) -> Iterator[Segment]:
    """Segments of a text or a list of blocks; a single text block equals its text."""
    if not isinstance(value, list):
        yield _segment_of(part, path, name, value)
        return
    for number, block in enumerate(value):
        yield _segment_of(part, f"{path}[{number}]", name, block)


def _segment_of(part: str, path: str, name: str, value: Any) -> Segment:
    has_breakpoint = _has_breakpoint(value)
    content = _drop_breakpoints(value, 0) if has_breakpoint else value
    is_text = isinstance(content, dict) and content.keys() <= {"type", "text"}
    if is_text and isinstance(content.get("text"), str):
        content = content["text"]
    text = (
        content if isinstance(content, str) else _encoder.encode(content).decode("utf-8", "replace")
    )
    return Segment(part, path, name, text, has_breakpoint)


def _has_breakpoint(value: Any) -> bool:
    """Whether the block, or a block inside it (tool result), has a cache breakpoint."""
    if not isinstance(value, dict):
        return False
    content = value.get("content")
    return not _BREAKPOINT_FIELDS.isdisjoint(value) or (
        isinstance(content, list) and any(_has_breakpoint(block) for block in content)
    )


def _drop_breakpoints(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return {
            k: _drop_breakpoints(v, depth + 1)
            for k, v in value.items()
            if k not in _BREAKPOINT_FIELDS
        }
    if isinstance(value, list):
        return [_drop_breakpoints(child, depth + 1) for child in value]
    return value


def common_prefix(before: list[Segment], after: list[Segment]) -> CommonPrefix:
    """Length of the common prefix of two prompts."""
    count = size = 0
    for old_segment, new_segment in zip(before, after, strict=False):
        if (old_segment.part, old_segment.name, old_segment.text) != (
            new_segment.part,
            new_segment.name,
            new_segment.text,
        ):
            size += (
                _common_prefix_length(old_segment.text, new_segment.text)
                if old_segment.part == new_segment.part
                else 0
            )
            break
        count += 1
        size += len(old_segment.text)
    return CommonPrefix(count, size)


def _common_prefix_length(first_text: str, second_text: str) -> int:
    """Length of the common prefix of two texts."""
    low, high = 0, min(len(first_text), len(second_text))
    while low < high:
        middle = (low + high + 1) // 2
        if first_text[:middle] == second_text[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def text_difference(
    old_text: str, new_text: str, context_chars: int = 60, max_length: int = 240
) -> tuple[str, str, str, str]:
    """Text before the difference, old text, new text, and text after it.

    Extends to complete words, so that of two dates not only one digit is displayed.
    """
    start = _common_prefix_length(old_text, new_text)
    tail = _common_prefix_length(old_text[start:][::-1], new_text[start:][::-1])
    start -= _leading_word_length(new_text[max(0, start - _MAX_WORD_LENGTH) : start][::-1])
    tail -= _leading_word_length(new_text[len(new_text) - tail :][:_MAX_WORD_LENGTH])
    removed_text, added_text = (
        old_text[start : len(old_text) - tail],
        new_text[start : len(new_text) - tail],
    )
    prefix_text = new_text[max(0, start - context_chars) : start]
    suffix_text = new_text[len(new_text) - tail :][:context_chars] if tail else ""
    return (
        prefix_text,
        _truncate_text(removed_text, max_length),
        _truncate_text(added_text, max_length),
        suffix_text,
    )


def _leading_word_length(text: str) -> int:
    """Length of the first word of a text; 0 if it is longer than a word."""
    word_length = next(
        (index for index, character in enumerate(text) if character.isspace()), len(text)
    )
    return word_length if word_length < _MAX_WORD_LENGTH else 0


def _truncate_text(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else f"{text[:max_length]}…"
