"""What must hold of a generateContent request that passes through unread."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.canon.errors import invalid
from gateway.dialects.outline import checker


class Content(msgspec.Struct):
    """One content of the history."""

    parts: list[dict[str, Any]] | None = None
    role: Literal["user", "model", "function", "tool", "system", ""] | None = None


class Inner(msgspec.Struct):
    """The request inside a token count."""

    contents: Annotated[list[Content], msgspec.Meta(min_length=1)]


class Outline(msgspec.Struct, rename="camel"):
    """The fields whose types are fixed; a token count may hold a request instead."""

    contents: Annotated[list[Content], msgspec.Meta(min_length=1)] | None = None
    generate_content_request: Inner | None = None
    system_instruction: dict[str, Any] | str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_config: dict[str, Any] | None = None
    safety_settings: list[dict[str, Any]] | None = None
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
