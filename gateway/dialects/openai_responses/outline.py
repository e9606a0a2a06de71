"""What must hold of a Responses request that passes through unread."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.outline import checker

_Count = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_Share = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Item(msgspec.Struct):
    """One item of the input; new types come often, roles do not."""

    type: str | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None


class Tool(msgspec.Struct):
    """A tool on offer."""

    type: str


class Outline(msgspec.Struct):
    """The fields whose types are fixed."""

    input: str | list[Item] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_output_tokens: _Count | None = None
    temperature: _Share | None = None
    top_p: _Share | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    include: list[str] | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    background: bool | None = None


check = checker(Outline)
