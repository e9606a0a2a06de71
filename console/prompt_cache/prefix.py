"""A request's body as the pieces of its prompt, in the order in which caches see them.

Providers keep the longest part of a prompt that is the same as before: tools first, then
the system prompt, then the messages. Marks that say where to keep (`cache_control`) are
no part of what is compared: clients move them forward with each turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")
_MARKS = frozenset({"cache_control", "cachePoint"})
_MOST_DEPTH = 60
_MOST_WORD = 32


class Piece(NamedTuple):
    """One part of a prompt: where it stands, what it says, and whether it is marked.

    `part` is `tools`, `system` or `messages`; `name` a tool's name or a message's role.
    """

    part: str
    place: str
    name: str
    text: str
    marked: bool = False


class Split(NamedTuple):
    """Where two prompts part: the number of equal pieces, and of bytes in them."""

    pieces: int
    size: int


def pieces(body: Any) -> list[Piece]:
    """The pieces of a body of any dialect; none of what is not understood."""
    if not isinstance(body, dict):
        return []
    inner = body.get("toolConfig")
    tools = body.get("tools")
    if tools is None and isinstance(inner, dict):
        tools = inner.get("tools")
    return [*_tools(tools), *_system(body), *_messages(body)]


def _tools(tools: Any) -> Iterator[Piece]:
    for number, tool in enumerate(tools if isinstance(tools, list) else []):
        declared = tool.get("functionDeclarations") if isinstance(tool, dict) else None
        for at, one in enumerate(declared if isinstance(declared, list) else [tool]):
            place = f"tools[{number}]" if one is tool else f"tools[{number}].{at}"
            yield _piece("tools", place, _tool_name(one), one)


def _tool_name(tool: Any) -> str:
    if not isinstance(tool, dict):
        return ""
    for inner in (tool, tool.get("function"), tool.get("toolSpec")):
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return str(inner["name"])
    return str(tool.get("type", ""))


def _system(body: dict[str, Any]) -> Iterator[Piece]:
    for field in ("system", "instructions", "systemInstruction"):
        value = body.get(field)
        if isinstance(value, dict):
            value = value.get("parts")
        if value:
            yield from _blocks("system", field, "system", value)


def _messages(body: dict[str, Any]) -> Iterator[Piece]:
    for field in ("messages", "input", "contents"):
        value = body.get(field)
        if isinstance(value, str):
            yield _piece("messages", field, "user", value)
        for number, item in enumerate(value if isinstance(value, list) else []):
            yield from _message(f"{field}[{number}]", item)


def _message(place: str, item: Any) -> Iterator[Piece]:
    if not isinstance(item, dict):
        yield _piece("messages", place, "", item)
        return
    role = str(item.get("role") or item.get("type") or "")
    part = "system" if role in ("system", "developer") else "messages"
    inner = "content" if "content" in item else "parts"
    rest = {name: value for name, value in item.items() if name not in (inner, "role")}
    if item.get(inner) is not None:
        yield from _blocks(part, f"{place}.{inner}", role, item[inner])
    if rest.keys() - _MARKS:
        yield _piece(part, place, role, rest)


def _blocks(part: str, place: str, name: str, value: Any) -> Iterator[Piece]:
    """A text, or the blocks of a list; one block of text is the same as that text."""
    if not isinstance(value, list):
        yield _piece(part, place, name, value)
        return
    for number, block in enumerate(value):
        yield _piece(part, f"{place}[{number}]", name, block)


def _piece(part: str, place: str, name: str, value: Any) -> Piece:
    marked = _is_marked(value)
    plain = _without_marks(value, 0) if marked else value
    is_text = isinstance(plain, dict) and plain.keys() <= {"type", "text"}
    if is_text and isinstance(plain.get("text"), str):
        plain = plain["text"]
    text = plain if isinstance(plain, str) else _encoder.encode(plain).decode("utf-8", "replace")
    return Piece(part, place, name, text, marked)


def _is_marked(value: Any) -> bool:
    """Whether a mark stands in the block, or in one inside it (a tool's result)."""
    if not isinstance(value, dict):
        return False
    inner = value.get("content")
    return not _MARKS.isdisjoint(value) or (
        isinstance(inner, list) and any(_is_marked(one) for one in inner)
    )


def _without_marks(value: Any, depth: int) -> Any:
    if depth > _MOST_DEPTH:
        return value
    if isinstance(value, dict):
        return {k: _without_marks(v, depth + 1) for k, v in value.items() if k not in _MARKS}
    if isinstance(value, list):
        return [_without_marks(one, depth + 1) for one in value]
    return value


def split(before: list[Piece], after: list[Piece]) -> Split:
    """How far two prompts are the same."""
    count = size = 0
    for old, new in zip(before, after, strict=False):
        if (old.part, old.name, old.text) != (new.part, new.name, new.text):
            size += _common(old.text, new.text) if old.part == new.part else 0
            break
        count += 1
        size += len(old.text)
    return Split(count, size)


def _common(one: str, other: str) -> int:
    """The length of what two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def differing(old: str, new: str, around: int = 60, most: int = 240) -> tuple[str, str, str, str]:
    """The place where two texts differ: what stands before it, the old, the new, and after.

    Whole words are shown: of two dates not only the digit that differs.
    """
    start = _common(old, new)
    tail = _common(old[start:][::-1], new[start:][::-1])
    start -= _word(new[max(0, start - _MOST_WORD) : start][::-1])
    tail -= _word(new[len(new) - tail :][:_MOST_WORD])
    gone, come = old[start : len(old) - tail], new[start : len(new) - tail]
    lead = new[max(0, start - around) : start]
    rest = new[len(new) - tail :][:around] if tail else ""
    return lead, _cut(gone, most), _cut(come, most), rest


def _word(text: str) -> int:
    """How many characters a text begins with before a space; 0 for more than a word."""
    found = next((at for at, sign in enumerate(text) if sign.isspace()), len(text))
    return found if found < _MOST_WORD else 0


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
