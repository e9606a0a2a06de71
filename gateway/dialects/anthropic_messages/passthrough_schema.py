"""The schema of a Messages request in passthrough."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.shared.passthrough_schema import passthrough_checker

_TokenCount = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_SamplingNumber = Annotated[float, msgspec.Meta(ge=0, le=1000)]


class Message(msgspec.Struct):
    """One message of the history."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class PassthroughSchema(msgspec.Struct):
    """The fields whose types are fixed; token counts come without `max_tokens`."""

    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    max_tokens: _TokenCount | None = None
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    stop_sequences: list[str] | None = None
    temperature: _SamplingNumber | None = None
    top_p: _SamplingNumber | None = None
    top_k: _TokenCount | None = None


check = passthrough_checker(PassthroughSchema)
