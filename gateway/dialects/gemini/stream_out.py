"""Canonical events -> the bytes of a client's stream.

Each chunk is a whole GenerateContentResponse with the parts that are new. Text goes out
as it comes, a call when it is whole, and the last chunk has the reason and the tokens.
With `alt=sse` chunks are events; without, they are the items of one JSON array.
A prompt that a provider's policy refuses is an answer here, as in `errors`.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation
from gateway.canon.errors import Error
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    Cited,
    Delta,
    End,
    Event,
    Failed,
    NativeDelta,
    Signed,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import Folder, newer
from gateway.canon.request import Citation, Reasoning, Text
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.base import Exchange
from gateway.dialects.gemini.errors import blocked, error_body
from gateway.dialects.gemini.finish import malformed
from gateway.dialects.gemini.names import Json
from gateway.dialects.gemini.response import (
    candidate_out,
    ending,
    names_of,
    note_pause,
    part_out,
    thought_out,
)
from gateway.dialects.gemini.usage import usage_out

_encode = msgspec.json.Encoder().encode
_WORDS = frozenset({"text", "refusal"})


class GeminiStreamRenderer:
    """Prints one stream. `report` grows as things come that can not be said."""

    def __init__(self, exchange: Exchange) -> None:
        self.report: list[Adaptation] = []
        self._exchange = exchange
        self._names = names_of(exchange)
        self._array = exchange.framing == "array"
        self._begun = False
        self._over = False
        self._kind = ""
        self._folder = Folder()
        self._usage: Usage | None = None
        self._cited: list[tuple[Citation, str]] = []
        self._parts = 0

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints; nothing after End or Failed."""
        if self._over:
            return b""
        match event:
            case Delta():
                return self._delta(event)
            case BlockStart():
                self._kind = event.kind
                self._folder = Folder()
                self._folder.feed(event)
                return b""
            case BlockEnd():
                return self._close(event)
            case Cited() | Signed() | NativeDelta():
                self._folder.feed(event)
                return b""
            case Start():
                self._usage = event.usage
                return b""
            case UsageUpdate():
                self._usage = newer(self._usage, event.usage)
                return b""
            case End():
                return self._end(event)
            case Failed():
                return self._fail(event.error)
            case _:
                assert_never(event)

    # --- blocks ------------------------------------------------------------------------

    def _delta(self, event: Delta) -> bytes:
        self._folder.feed(event)
        if self._kind in _WORDS:
            return self._chunk([{"text": event.text}])
        if self._kind == "reasoning" and self._exchange.thinking != "none":
            return self._chunk([{"text": event.text, "thought": True}])
        return b""

    def _close(self, event: BlockEnd) -> bytes:
        self._folder.feed(event)
        self._folder.feed(End(Finish(reason="stop")))
        [part] = self._folder.close().parts
        at = f"candidates[0].content.parts[{self._parts}]"
        self._parts += 1
        if isinstance(part, Text):
            self._cited += [(citation, part.text) for citation in part.citations]
        if self._kind in _WORDS:
            return b""
        if isinstance(part, Reasoning):
            return self._sign(part)
        shown = part_out(part, at, self._exchange, self.report)
        return self._chunk(shown) if shown else b""

    def _sign(self, part: Reasoning) -> bytes:
        """What is left of a thought whose words are out: its signature."""
        shown = thought_out(part, self._exchange)
        if not shown or "thoughtSignature" not in shown[0]:
            return b""
        return self._chunk([{**shown[0], "text": ""}])

    # --- chunks ------------------------------------------------------------------------

    def _chunk(self, parts: list[Json], **more: Any) -> bytes:
        content = {"role": "model", "parts": parts}
        candidate = {"content": content, **more, "index": 0}
        return self._print({"candidates": [candidate], **self._names})

    def _print(self, body: Json) -> bytes:
        head = b",\r\n" if self._begun else b"["
        self._begun = True
        if self._array:
            return head + _encode(body)
        return b"data: " + _encode(body) + b"\r\n\r\n"

    def _last(self, body: Json) -> bytes:
        self._over = True
        return self._print(body) + (b"]" if self._array else b"")

    def _end(self, event: End) -> bytes:
        finish = event.finish
        if finish.reason == "malformed":
            return self._fail(malformed(finish))
        note_pause(finish, 0, self.report)
        candidate: Json = {"content": {"role": "model", "parts": [{"text": ""}]}}
        candidate |= {**ending(Response(finish=finish), self._cited), "index": 0}
        body: Json = {"candidates": [candidate]}
        for place, other in enumerate(event.others, 1):
            body["candidates"].append(candidate_out(other, place, self._exchange, self.report))
        if (usage := usage_out(self._usage)) is not None:
            body["usageMetadata"] = usage
        return self._last({**body, **self._names})

    def _fail(self, error: Error) -> bytes:
        if error.kind == "content_policy" and not self._begun:
            return self._last({**blocked(error.message), **self._names})
        return self._last(error_body(error))
