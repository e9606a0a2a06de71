"""The canonical answer, and the two ways between it and a stream of events."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.canon.request import Part

FinishReason = Literal[
    "stop", "stop_sequence", "length", "context", "tool", "filter", "refusal", "pause", "malformed"
]


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one call; None means the provider did not say, never 0.

    Attributes:
        input: prompt tokens that were neither read from nor written to a cache.
        cache_read: prompt tokens read from a prompt cache.
        cache_write: prompt tokens written to a prompt cache, any lifetime.
        cache_write_1h: the part of `cache_write` with the one-hour lifetime.
        output: all generated tokens, reasoning included.
        reasoning: the part of `output` spent on reasoning.
        provider_cost: US dollars as the provider itself reported them.
        estimated: True when the gateway counted, not the provider.
        native: the provider's usage object, verbatim, for its own dialect.
    """

    input: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None
    provider_cost: float | None = None
    estimated: bool = False
    native: dict[str, Any] = {}

    @property
    def prompt(self) -> int | None:
        """All prompt tokens, cached and written ones included; None if none is known."""
        cached, written = self.cache_read, self.cache_write
        if cached is None and written is None:
            return self.input
        return (self.input or 0) + (cached or 0) + (written or 0)


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """Why generation ended.

    `stop_sequence` is the string that ended it, where known; `explanation` are a
    provider's words about a refusal or filter, `category` its class.
    """

    reason: FinishReason
    stop_sequence: str | None = None
    explanation: str | None = None
    category: str | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer.

    `extra` holds, per dialect, fields that only it knows; `others` the further answers of
    a request that asked for several (`Sampling.n`), whose tokens `usage` counts too.
    """

    id: str = ""
    model: str = ""
    parts: tuple[Part, ...] = ()
    finish: Finish = Finish(reason="stop")
    usage: Usage | None = None
    created: int | None = None
    service_tier: str | None = None
    extra: dict[str, dict[str, Any]] = {}
    others: tuple[Response, ...] = ()
