"""What must hold of a Messages request that passes through unread."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.outline import checker

_Count = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1000)]


class Message(msgspec.Struct):
    """One message of the history."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class Outline(msgspec.Struct):
    """The fields whose types are fixed; token counts come without `max_tokens`."""

    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    max_tokens: _Count | None = None
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    stop_sequences: list[str] | None = None
    temperature: _Share | None = None
    top_p: _Share | None = None
    top_k: _Count | None = None


check = checker(Outline)
