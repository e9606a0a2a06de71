"""What must hold of a generateContent request that passes through unread."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.canon.errors import invalid
from gateway.dialects.outline import checker

# One object may stand for a list of one, as in Google's own examples.
_Objects = list[dict[str, Any]] | dict[str, Any]


class Content(msgspec.Struct):
    """One content of the history."""

    parts: _Objects | None = None
    role: Literal["user", "model", "function", "tool", "system", ""] | None = None


_Contents = Annotated[list[Content], msgspec.Meta(min_length=1)] | Content


class Inner(msgspec.Struct):
    """The request inside a token count."""

    contents: _Contents


class Outline(msgspec.Struct, rename="camel"):
    """The fields whose types are fixed; a token count may hold a request instead."""

    contents: _Contents | None = None
    generate_content_request: Inner | None = None
    system_instruction: dict[str, Any] | str | None = None
    tools: _Objects | None = None
    tool_config: dict[str, Any] | None = None
    safety_settings: _Objects | None = None
    generation_config: dict[str, Any] | None = None
    cached_content: str | None = None


_check = checker(Outline)
# What a request says something in: a conversation, or texts to embed.
_SAID = (b'"contents"', b'"content"', b'"requests"')


def check(body: bytes) -> None:
    """Raise GatewayError naming the first field that can not be meant."""
    _check(body)
    if not any(word in body for word in _SAID):
        raise invalid("contents is required: give a list of at least one content", "contents")
