"""The canonical response, its usage and its finish reason."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.canon.request import Part

FinishReason = Literal[
    "stop", "stop_sequence", "length", "context", "tool", "filter", "refusal", "pause", "malformed"
]


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one call; None if the provider did not report a count, never 0.

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
    def prompt_tokens(self) -> int | None:
        """All prompt tokens, cached and written ones included; None if none is known."""
        cached, written = self.cache_read, self.cache_write
        if cached is None and written is None:
            return self.input
        return (self.input or 0) + (cached or 0) + (written or 0)


# More tokens than any call can use, and more dollars than any can cost.
MAX_TOKENS = 10**12
MAX_COST_USD = 10.0**9


def merge_usage(old: Usage | None, new: Usage) -> Usage:
    """The later counts field by field; a count missing in the later report is kept."""
    if old is None:
        return new
    reported = {
        name: value
        for name in Usage.__struct_fields__
        if (value := getattr(new, name)) is not None and value != {}
    }
    return msgspec.structs.replace(old, **reported)


def clamp_usage(usage: Usage) -> Usage:
    """The usage with counts and cost that can be stored, limited and billed.

    Counts are clamped to 0 .. MAX_TOKENS; a cost that is negative, infinite, no number or
    over MAX_COST_USD is unknown.
    """
    counts = (
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.cache_write_1h,
        usage.output,
        usage.reasoning,
    )
    cost = usage.provider_cost
    counts_in_range = all(count is None or 0 <= count <= MAX_TOKENS for count in counts)
    cost_in_range = cost is None or 0 <= cost <= MAX_COST_USD
    if counts_in_range and cost_in_range:
        return usage
    clamped = {
        name: None if count is None else max(0, min(count, MAX_TOKENS))
        for name, count in zip(_COUNTS, counts, strict=True)
    }
    return msgspec.structs.replace(usage, **clamped, provider_cost=cost if cost_in_range else None)


_COUNTS = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """Why generation ended.

    `stop_sequence` is the string that ended it, if known; `explanation` is a provider's text
    about a refusal or filter, `category` its class.
    """

    reason: FinishReason
    stop_sequence: str | None = None
    explanation: str | None = None
    category: str | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A complete response.

    `extra` has, per dialect, fields that only it supports; `alternatives` are the other
    responses of a request for several (`Sampling.n`); `usage` includes their tokens.
    """

    id: str = ""
    model: str = ""
    parts: tuple[Part, ...] = ()
    finish: Finish = Finish(reason="stop")
    usage: Usage | None = None
    created: int | None = None
    service_tier: str | None = None
    extra: dict[str, dict[str, Any]] = {}
    alternatives: tuple[Response, ...] = ()
