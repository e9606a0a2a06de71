"""The schema of a request in passthrough: a chat, a prompt, or embedding input."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.dialects.shared.passthrough_schema import passthrough_checker

_SamplingNumber = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Function(msgspec.Struct):
    """The function of a tool."""

    name: str


class Tool(msgspec.Struct):
    """A tool on offer."""

    function: Function | None = None


class Message(msgspec.Struct):
    """One message of the history."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_name: str | None = None


class Options(msgspec.Struct):
    """The options whose types are fixed."""

    temperature: _SamplingNumber | None = None
    top_p: _SamplingNumber | None = None
    num_predict: float | None = None
    num_ctx: float | None = None
    seed: float | None = None


class PassthroughSchema(msgspec.Struct):
    """The fields of all three requests; which of them is there the path decides."""

    messages: list[Message] | None = None
    prompt: str | None = None
    input: str | list[str] | None = None
    system: str | None = None
    suffix: str | None = None
    images: list[str] | None = None
    tools: list[Tool] | None = None
    options: Options | None = None
    think: bool | str | None = None
    format: str | dict[str, Any] | None = None
    keep_alive: float | str | None = None


check = passthrough_checker(PassthroughSchema)
