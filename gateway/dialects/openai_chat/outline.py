"""What must hold of a Chat request that passes through unread."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.outline import checker

# `model` is a placeholder role of no provider; vendors do add roles, so this list is
# the union of what Chat-speaking providers document.
Role = Literal["system", "developer", "user", "assistant", "tool", "function", "latest_reminder"]
_Count = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_Share = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Function(msgspec.Struct):
    """The function of a tool."""

    name: str


class Tool(msgspec.Struct):
    """A tool on offer."""

    type: str
    function: Function | None = None


class Message(msgspec.Struct):
    """One message of the history."""

    role: Role
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class Outline(msgspec.Struct):
    """The fields whose types every Chat provider agrees on."""

    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    tools: list[Tool] | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    n: _Count | None = None
    temperature: _Share | None = None
    top_p: _Share | None = None
    frequency_penalty: _Share | None = None
    presence_penalty: _Share | None = None
    stop: str | list[str] | None = None
    stream_options: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    tool_choice: str | dict[str, Any] | None = None


check = checker(Outline)
