"""The canonical stream: `Start (BlockStart Delta* BlockEnd)* UsageUpdate* End`.

One block is open at a time. A parser makes these from a provider's frames and
carries all the state; a renderer prints them for a client and only prints.
`Failed` may stand anywhere and ends the stream in place of `End`.
`GRAMMAR` says which event may follow which; tests check every parse by it.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.canon.errors import Error
from gateway.canon.request import Citation, Signature
from gateway.canon.response import Finish, Response, Usage

BlockKind = Literal["text", "reasoning", "tool_call", "refusal", "native"]


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The answer has begun; `usage` where the provider counts the prompt up front.

    `prompt_tokens` is a first count that a later `UsageUpdate` replaces.
    """

    id: str = ""
    model: str = ""
    created: int | None = None
    service_tier: str | None = None
    usage: Usage | None = None
    prompt_tokens: int | None = None
    extra: dict[str, Any] = {}


class BlockStart(msgspec.Struct, frozen=True, kw_only=True):
    """A block opens. `id`, `name`, `custom` are a tool call's; `native` a native block's."""

    kind: BlockKind
    id: str = ""
    name: str = ""
    custom: bool = False
    redacted: bool = False
    dialect: str = ""
    native: dict[str, Any] = {}


class Delta(msgspec.Struct, frozen=True):
    """More of the open block: text, reasoning, refusal words or argument JSON. Never empty."""

    text: str


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
    """The tokens so far; a later one replaces an earlier one field by field."""

    usage: Usage


class End(msgspec.Struct, frozen=True):
    """The answer is complete, and so are the `others` that were asked for beside it."""

    finish: Finish
    alternatives: tuple[Response, ...] = ()


class Failed(msgspec.Struct, frozen=True):
    """The stream broke; nothing follows."""

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

# state -> {event type -> next state}. Failed is legal in every state but `over`.
GRAMMAR: dict[str, dict[type, str]] = {
    "new": {Start: "idle"},
    "idle": {BlockStart: "open", UsageUpdate: "idle", End: "over"},
    "open": {
        Delta: "open",
        CitationDelta: "open",
        SignatureDelta: "open",
        NativeDelta: "open",
        BlockEnd: "idle",
    },
    "over": {},
}
