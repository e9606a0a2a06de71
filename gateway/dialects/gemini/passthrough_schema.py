"""The schema of a generateContent request in passthrough."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.canon.errors import invalid
from gateway.dialects.shared.passthrough_schema import passthrough_checker

# One object may stand for a list of one, as in Google's own examples.
_ObjectOrList = list[dict[str, Any]] | dict[str, Any]


class Content(msgspec.Struct):
    """One content of the history."""

    parts: _ObjectOrList | None = None
    role: Literal["user", "model", "function", "tool", "system", ""] | None = None


_Contents = Annotated[list[Content], msgspec.Meta(min_length=1)] | Content


class CountedRequest(msgspec.Struct):
    """The request inside a token count."""

    contents: _Contents


class PassthroughSchema(msgspec.Struct, rename="camel"):
    """The fields whose types are fixed; a token count may hold a request instead."""

    contents: _Contents | None = None
    generate_content_request: CountedRequest | None = None
    system_instruction: dict[str, Any] | str | None = None
    tools: _ObjectOrList | None = None
    tool_config: dict[str, Any] | None = None
    safety_settings: _ObjectOrList | None = None
    generation_config: dict[str, Any] | None = None
    cached_content: str | None = None


_check_schema = passthrough_checker(PassthroughSchema)
# What a request says something in: a conversation, or texts to embed.
_INPUT_FIELDS = (b'"contents"', b'"content"', b'"requests"')


def check(body: bytes) -> None:
    """Raise GatewayError naming the first field that cannot be meant."""
    _check_schema(body)
    if not any(field in body for field in _INPUT_FIELDS):
        raise invalid("contents is required: give a list of at least one content", "contents")
