"""The canonical stream: `Start (BlockStart Delta* BlockEnd)* UsageUpdate* End`.

One block is open at a time. A parser creates the events from a provider's frames and has
all the state; a renderer writes them for a client. `Failed` may occur anywhere and ends the
stream instead of `End`; a `UsageUpdate` may come right before it. Tests check every parser
against this grammar.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.canon.errors import Error
from gateway.canon.request import Citation, Signature
from gateway.canon.response import Finish, Response, Usage

BlockKind = Literal["text", "reasoning", "tool_call", "refusal", "native"]


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The response has begun; `usage` if the provider reports the prompt's tokens first.

    `prompt_tokens` is an early count that a later `UsageUpdate` replaces.
    """

    id: str = ""
    model: str = ""
    created: int | None = None
    service_tier: str | None = None
    usage: Usage | None = None
    prompt_tokens: int | None = None
    extra: dict[str, Any] = {}


class BlockStart(msgspec.Struct, frozen=True, kw_only=True):
    """A block opens.

    `id`, `name`, `custom`, `signed`, `caller` are set for tool calls, `phase` for texts, `native`
    for native blocks. `signed`: the call's state is the next event.
    """

    kind: BlockKind
    id: str = ""
    name: str = ""
    custom: bool = False
    signed: bool = False
    caller: dict[str, Any] = {}
    redacted: bool = False
    phase: str = ""
    dialect: str = ""
    native: dict[str, Any] = {}


class Delta(msgspec.Struct, frozen=True):
    """Text of the open block: text, reasoning, refusal or argument JSON. Never empty.

    `logprobs` are the tokens of this text with their log probabilities, in the form of OpenAI's
    Chat; empty if the provider sends none.
    """

    text: str
    logprobs: tuple[dict[str, Any], ...] = ()


class CitationDelta(msgspec.Struct, frozen=True):
    """A source of the open text block."""

    citation: Citation


class SignatureDelta(msgspec.Struct, frozen=True):
    """The opaque state of the open reasoning or tool-call block."""

    signature: Signature


class NativeDelta(msgspec.Struct, frozen=True):
    """A delta of a native block as its dialect writes it."""

    data: dict[str, Any]


class BlockEnd(msgspec.Struct, frozen=True):
    """The open block is complete. A tool call without a Delta has the arguments `{}`."""


class UsageUpdate(msgspec.Struct, frozen=True):
    """The tokens so far; a later one replaces an earlier one field by field.

    `service_tier` is set if the provider reports it with the tokens, and not at the start.
    """

    usage: Usage
    service_tier: str | None = None


class End(msgspec.Struct, frozen=True):
    """The response is complete, and so are its `alternatives`.

    `extra` has the fields of `Response.extra` that the provider sends last. `error_follows` is true
    if the provider sent an error after the whole response: the client needs no error then.
    """

    finish: Finish
    alternatives: tuple[Response, ...] = ()
    extra: dict[str, dict[str, Any]] = {}
    error_follows: bool = False


class Failed(msgspec.Struct, frozen=True):
    """The stream failed; no event follows."""

    error: Error


Event = (
    Start
    | BlockStart
    | Delta
    | CitationDelta
    | SignatureDelta
    | NativeDelta
    | BlockEnd
    | UsageUpdate
    | End
    | Failed
)
