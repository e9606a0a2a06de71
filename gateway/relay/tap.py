"""Reads along with a stream of canonical events: tokens, first token, finish.

It keeps counts, not text: what passed is in the recorder, if bodies are stored.
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
from gateway.canon.response import Finish, Response, Usage

# A rough average for English and code; only used where the provider counts nothing.
BYTES_PER_TOKEN = 4


class Tap:
    """What one attempt's answer came to."""

    __slots__ = (
        "answer_id",
        "error",
        "finish",
        "first_token_at",
        "model",
        "output_bytes",
        "started",
        "tier",
        "usage",
    )

    def __init__(self) -> None:
        self.started = False
        self.first_token_at: float | None = None
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.error: Error | None = None
        self.answer_id = ""
        self.model = ""
        self.tier: str | None = None
        self.output_bytes = 0

    @property
    def over(self) -> bool:
        """Whether the answer has ended, well or badly."""
        return self.finish is not None or self.error is not None

    def feed(self, events: list[Event]) -> None:
        """Note what these events say."""
        for event in events:
            kind = type(event)
            if kind is Delta:
                self.output_bytes += _size(event.text)  # type: ignore[union-attr]
                if self.first_token_at is None:
                    self.first_token_at = time.perf_counter()
            elif kind is BlockStart:
                if self.first_token_at is None and event.kind == "tool_call":  # type: ignore[union-attr]
                    self.first_token_at = time.perf_counter()
            else:
                self._note(event)

    def _note(self, event: Event) -> None:
        match event:
            case Start():
                self.started = True
                self.answer_id, self.model = event.id, event.model
                self.tier = event.service_tier
                if event.usage is not None:
                    self.usage = merged(self.usage, event.usage)
            case UsageUpdate():
                self.usage = merged(self.usage, event.usage)
            case End():
                self.finish = event.finish
            case Failed():
                self.error = event.error
            case _:
                pass

    def note_response(self, response: Response) -> None:
        """Note a whole answer."""
        self.started = True
        self.first_token_at = time.perf_counter()
        self.usage, self.finish = response.usage, response.finish
        self.answer_id, self.model = response.id, response.model
        self.tier = response.service_tier
        self.output_bytes = sum(_bytes(part) for part in response.parts)

    def note_embeddings(self, response: EmbedResponse) -> None:
        """Note the counts of vectors; they have no finish and no first token."""
        self.started = True
        self.usage, self.model = response.usage, response.model


def merged(old: Usage | None, new: Usage) -> Usage:
    """The later count, field by field; a field the later one lacks keeps its value."""
    if old is None:
        return new
    values = {
        name: value if value is not None else getattr(old, name)
        for name in Usage.__struct_fields__
        if (value := getattr(new, name)) is not None or getattr(old, name) is not None
    }
    return msgspec.structs.replace(old, **values)


def _bytes(part: Part) -> int:
    match part:
        case Text() | Reasoning() | Refusal():
            return _size(part.text)
        case ToolCall():
            return _size(part.raw or "") or len(msgspec.json.encode(part.arguments))
        case _:
            return 0


def _size(text: str) -> int:
    # Whether a text is ASCII is known without a look at it.
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
