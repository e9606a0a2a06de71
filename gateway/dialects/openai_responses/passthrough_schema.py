"""The types that a passthrough Responses request must have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.shared.passthrough_schema import passthrough_checker

_NonNegativeInt = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_BoundedFloat = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Item(msgspec.Struct):
    """One input item; vendors add types often, but not roles."""

    type: str | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None


class Tool(msgspec.Struct):
    """A tool on offer."""

    type: str


class PassthroughSchema(msgspec.Struct):
    """The fields whose types are fixed."""

    input: str | list[Item] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_output_tokens: _NonNegativeInt | None = None
    temperature: _BoundedFloat | None = None
    top_p: _BoundedFloat | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    include: list[str] | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    background: bool | None = None


check = passthrough_checker(PassthroughSchema)
