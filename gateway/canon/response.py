"""The canonical response, its usage and its finish reason."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field
from gateway.canon.request import Part

FinishReason = Literal[
    "stop", "stop_sequence", "length", "context", "tool", "filter", "refusal", "pause", "malformed"
]


COUNTS = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "web_searches",
)


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens and searches of one call; None if the provider did not report a count, never 0.

    Attributes:
        input: prompt tokens that were neither read from nor written to a cache.
        cache_read: prompt tokens read from a prompt cache.
        cache_write: prompt tokens written to a prompt cache, any lifetime.
        cache_write_1h: the part of `cache_write` with the one-hour lifetime.
        output: all generated tokens, reasoning included.
        reasoning: the part of `output` spent on reasoning.
        web_searches: searches that the provider ran and bills beside the tokens.
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
    web_searches: int | None = None
    provider_cost: float | None = None
    estimated: bool = False
    native: dict[str, Any] = {}

    @property
    def prompt_tokens(self) -> int | None:
        """All prompt tokens, cached and written ones included; None if none is known."""
        return sum_prompt_tokens(self.input, self.cache_read, self.cache_write)


def sum_prompt_tokens(
    uncached: int | None, cache_read: int | None, cache_write: int | None
) -> int | None:
    """All tokens of a prompt from its three counts; None if none is known."""
    if cache_read is None and cache_write is None:
        return uncached
    return (uncached or 0) + (cache_read or 0) + (cache_write or 0)


def merge_usage(old: Usage | None, new: Usage) -> Usage:
    """The later counts field by field; a missing one keeps its earlier value."""
    if old is None:
        return new
    reported_counts = {
        name: value
        for name in Usage.__struct_fields__
        if (value := getattr(new, name)) is not None and value != {}
    }
    return msgspec.structs.replace(old, **reported_counts)


def add_usage(first: Usage | None, second: Usage | None) -> Usage | None:
    """The sum of the tokens of two calls; None if those of one are unknown."""
    if first is None or second is None:
        return None
    counts: dict[str, Any] = {
        name: (getattr(first, name) or 0) + (getattr(second, name) or 0)
        for name in COUNTS
        if getattr(first, name) is not None or getattr(second, name) is not None
    }
    costs = (first.provider_cost, second.provider_cost)
    return Usage(
        **counts,
        provider_cost=None if None in costs else sum(cost or 0 for cost in costs),
        estimated=first.estimated or second.estimated,
    )


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """Why generation ended.

    `stop_sequence` is the string that ended it, if known; `explanation` is a provider's text
    about a refusal or filter, `category` its class. `unknown` is the provider's own reason if the
    gateway does not know it; `reason` is then an approximation. `recommended_model` is the model
    that the provider recommends after a refusal.
    """

    reason: FinishReason
    stop_sequence: str | None = None
    explanation: str | None = None
    category: str | None = None
    recommended_model: str | None = None
    unknown: str | None = None


def unknown_finish(finish: Finish) -> tuple[Adaptation, ...]:
    """The report of a reason that the gateway does not know; empty for all others."""
    if finish.unknown is None:
        return ()
    reason = f"unknown to the gateway: shown as {finish.reason}"
    return (approximated_field("finish_reason", reason, before=finish.unknown),)


def unknown_reason(value: Any, known: Container[str]) -> str | None:
    """A provider's reason that is not one of the known ones; None if it is, or is no text."""
    is_unknown = isinstance(value, str) and value and value not in known
    return value[:60] if is_unknown else None


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
