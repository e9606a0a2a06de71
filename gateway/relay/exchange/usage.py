"""Collects usage from a stream of canonical events: tokens, first token, finish reason.

It stores counts, not text: the recorder has the content, if bodies are stored.
"""

from __future__ import annotations

import time

import msgspec

from gateway.canon.embeddings import EmbedResponse
from gateway.canon.errors import Error
from gateway.canon.events import (
    BlockStart,
    Delta,
    End,
    Event,
    Failed,
    Start,
    UsageUpdate,
)
from gateway.canon.request import Part, Reasoning, Refusal, Text, ToolCall
from gateway.canon.response import COUNTS, Finish, Response, Usage, merge_usage

# A rough average for English and code; used only if the provider reports no usage.
BYTES_PER_TOKEN = 4
# More tokens than any call can use, and more dollars than any can cost.
MAX_TOKENS = 10**12
MAX_COST_USD = 10.0**9


class UsageTap:
    """Usage and outcome of one attempt's response.

    Attributes:
        block_count: the blocks of a stream so far.
        finished: whether the response has ended, with or without an error.
        has_all_counts: whether the provider reports the tokens of the prompt and of the output.
    """

    __slots__ = (
        "block_count",
        "error",
        "finish",
        "finished",
        "first_token_at",
        "has_all_counts",
        "model",
        "output_bytes",
        "provider_response_id",
        "service_tier",
        "started",
        "usage",
    )

    def __init__(self) -> None:
        self.started = False
        self.first_token_at: float | None = None
        self.usage: Usage | None = None
        self.has_all_counts = False
        self.finish: Finish | None = None
        self.finished = False
        self.error: Error | None = None
        self.provider_response_id = ""
        self.model = ""
        self.service_tier: str | None = None
        self.output_bytes = 0
        self.block_count = 0

    def feed(self, events: list[Event]) -> None:
        """Update the counts from these events."""
        for event in events:
            kind = type(event)
            if kind is Delta:
                self.output_bytes += _text_bytes(event.text)  # type: ignore[union-attr]
                if self.first_token_at is None:
                    self.first_token_at = time.perf_counter()
            elif kind is BlockStart:
                self.block_count += 1
                if self.first_token_at is None and event.kind == "tool_call":  # type: ignore[union-attr]
                    self.first_token_at = time.perf_counter()
            else:
                self._note_event(event)

    def _note_event(self, event: Event) -> None:
        match event:
            case Start():
                self.started = True
                self.provider_response_id, self.model = event.id, event.model
                self.service_tier = event.service_tier
                if event.usage is not None:
                    self._set_usage(merge_usage(self.usage, event.usage))
            case UsageUpdate():
                self._set_usage(merge_usage(self.usage, event.usage))
                self.service_tier = event.service_tier or self.service_tier
            case End():
                self.finish, self.finished = event.finish, True
            case Failed():
                self.error, self.finished = event.error, True
            case _:
                pass

    def _set_usage(self, usage: Usage) -> None:
        """Set the usage, with counts and cost that can be stored, limited and billed.

        Counts are clamped to 0 .. MAX_TOKENS; a cost that is negative, infinite, no number or
        over MAX_COST_USD is unknown.
        """
        prompt = (usage.input, usage.cache_read, usage.cache_write)
        self.has_all_counts = usage.output is not None and prompt != (None, None, None)
        # No count is larger than their bitwise OR, which is negative if one of them is.
        bits = (usage.input or 0) | (usage.cache_read or 0) | (usage.cache_write or 0)
        bits |= (usage.cache_write_1h or 0) | (usage.output or 0) | (usage.reasoning or 0)
        bits |= usage.web_searches or 0
        if not 0 <= bits <= MAX_TOKENS or usage.provider_cost is not None:
            usage = clamp_usage(usage)
        self.usage = usage

    def note_response(self, response: Response) -> None:
        """Update the counts from a complete response."""
        self.started = True
        self.first_token_at = time.perf_counter()
        if response.usage is not None:
            self._set_usage(response.usage)
        self.finish, self.finished = response.finish, True
        self.provider_response_id, self.model = response.id, response.model
        self.service_tier = response.service_tier
        if self.usage is None or self.usage.output is None:
            self.output_bytes = sum(_part_bytes(part) for part in response.parts)

    def note_embeddings(self, response: EmbedResponse) -> None:
        """Update the counts from embeddings, which have no finish reason and no first token."""
        self.started = True
        if response.usage is not None:
            self._set_usage(response.usage)
        self.model = response.model


def clamp_usage(usage: Usage) -> Usage:
    """The usage with counts and a cost within their limits; a cost beyond is unknown."""
    counts = {name: getattr(usage, name) for name in COUNTS}
    clamped_counts = {
        name: None if count is None else max(0, min(count, MAX_TOKENS))
        for name, count in counts.items()
    }
    cost = usage.provider_cost
    if cost is not None and not 0 <= cost <= MAX_COST_USD:
        cost = None
    return msgspec.structs.replace(usage, **clamped_counts, provider_cost=cost)


def _part_bytes(part: Part) -> int:
    match part:
        case Text() | Reasoning() | Refusal():
            return _text_bytes(part.text)
        case ToolCall():
            return _text_bytes(part.raw_arguments or "") or len(msgspec.json.encode(part.arguments))
        case _:
            return 0


def _text_bytes(text: str) -> int:
    # `isascii` takes constant time.
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
