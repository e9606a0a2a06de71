"""The types that a passthrough Chat request must have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.shared.passthrough_schema import passthrough_checker

# `model` is a placeholder role of no provider; vendors do add roles, so this list is
# the union of what Chat-speaking providers document.
Role = Literal["system", "developer", "user", "assistant", "tool", "function", "latest_reminder"]
_NonNegativeInt = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_BoundedFloat = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Function(msgspec.Struct):
    """The function of a tool."""

    name: str


class Tool(msgspec.Struct):
    """An offered tool."""

    type: str
    function: Function | None = None


class Message(msgspec.Struct):
    """One message of the history."""

    role: Role
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class PassthroughSchema(msgspec.Struct):
    """The fields that have the same type with every Chat provider."""

    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    tools: list[Tool] | None = None
    max_tokens: _NonNegativeInt | None = None
    max_completion_tokens: _NonNegativeInt | None = None
    n: _NonNegativeInt | None = None
    temperature: _BoundedFloat | None = None
    top_p: _BoundedFloat | None = None
    frequency_penalty: _BoundedFloat | None = None
    presence_penalty: _BoundedFloat | None = None
    stop: str | list[str] | None = None
    stream_options: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    tool_choice: str | dict[str, Any] | None = None


check = passthrough_checker(PassthroughSchema)
