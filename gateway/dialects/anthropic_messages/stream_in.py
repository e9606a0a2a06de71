"""A provider's stream -> canonical events.

The wire says which block a delta belongs to by its index; canonically one block is
open at a time, so what comes for others is held until their turn (`_Block.held`).
A server's slips are forgiven where the meaning is plain: deltas before their block's
start, a missing block end, a missing `message_stop`. An answer counts as whole once
its `stop_reason` (or `message_stop`) came; anything less ends in Failed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.arguments import parsed
from gateway.canon.errors import Error, GatewayError, bad_upstream
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
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.citations import citation_in
from gateway.dialects.anthropic_messages.errors import error_in
from gateway.dialects.anthropic_messages.finish import finish_in
from gateway.dialects.anthropic_messages.names import NAME, Json
from gateway.dialects.anthropic_messages.response import extra_in, free_text, made_by, text_of
from gateway.dialects.anthropic_messages.usage import merged, tier_in, usage_in
from gateway.dialects.base import Rendered
from gateway.framing.sse import Frame

_CUT = "the upstream's stream broke off before the answer was complete"
# delta type -> the field that holds its words, and the kind of block it belongs to.
_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "reasoning"),
    "signature_delta": ("signature", "reasoning"),
    "input_json_delta": ("partial_json", "tool_call"),
    "citations_delta": ("citation", "text"),
}
_KINDS = {
    "text": "text",
    "thinking": "reasoning",
    "redacted_thinking": "reasoning",
    "tool_use": "tool_call",
}


class _Text(msgspec.Struct):
    type: str
    text: str


class _TextDelta(msgspec.Struct):
    """The event that most frames are."""

    index: int
    delta: _Text


_text_delta = msgspec.json.Decoder(_TextDelta).decode
_decode = msgspec.json.Decoder().decode


class _Block:
    """A block of the wire: its kind, what was said of it, and events not yet given out."""

    __slots__ = ("closed", "custom", "given", "held", "kind", "signature", "words")

    def __init__(self, kind: str, *, custom: bool = False) -> None:
        self.kind = kind
        self.custom = custom
        self.closed = False
        self.given: Json | None = None
        self.held: list[Event] = []
        self.signature: tuple[str, str] = ("", "signature")
        self.words: list[str] = []


class MessagesStreamParser:
    """Reads one stream."""

    def __init__(self, traits: Traits, rendered: Rendered | None) -> None:
        self._traits = traits
        self._rendered = rendered
        self._model = traits.model
        self._started = False
        self._over = False
        self._called = False
        self._usage: Json = {}
        self._said: Json = {}
        # In the order they began; the first one that is not closed is the open one.
        self._blocks: dict[int, _Block] = {}

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._over:
            return []
        if frame.event == "content_block_delta":
            plain = self._plain_text(frame.data)
            if plain is not None:
                return plain
        try:
            return self._read(frame)
        except GatewayError as failure:
            return self._fail(failure.error)

    def close(self) -> list[Event]:
        """What is still owed at the end of the bytes: End, or Failed for a cut stream."""
        if self._over:
            return []
        if isinstance(self._said.get("stop_reason"), str):
            return self._end()
        return self._fail(Error(kind="upstream_error", message=_CUT))

    def _plain_text(self, data: bytes) -> list[Event] | None:
        """A text delta of the open block, read without a detour; None for anything else."""
        try:
            event = _text_delta(data)
        except (msgspec.MsgspecError, UnicodeError):
            return None
        block = self._blocks.get(event.index)
        if block is None or block.kind != "text" or block.closed:
            return None
        if event.delta.type != "text_delta":
            return None
        return self._give(event.index, [Delta(event.delta.text)]) if event.delta.text else []

    # --- frames ------------------------------------------------------------------------

    def _read(self, frame: Frame) -> list[Event]:
        if frame.data.strip() == b"[DONE]":
            return []
        try:
            data = _decode(frame.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise bad_upstream("the upstream sent an event that is not valid JSON") from None
        if not isinstance(data, dict):
            raise bad_upstream("the upstream sent an event that is no object")
        name = data.get("type") or frame.event
        match name:
            case "content_block_delta":
                return self._delta(data)
            case "content_block_start":
                return self._begin(data)
            case "content_block_stop":
                return self._stop(self._index(data))
            case "message_start":
                return self._start(data.get("message"))
            case "message_delta":
                return self._message_delta(data)
            case "message_stop":
                return self._end()
            case "error":
                return self._fail(error_in(data))
            case _ if isinstance(data.get("error"), dict | str):
                return self._fail(error_in(data))
            case _:
                return []

    def _start(self, message: Any) -> list[Event]:
        if self._started:
            return []
        self._started = True
        message = message if isinstance(message, dict) else {}
        model = text_of(message.get("model"))
        self._model = self._traits.model or model
        self._usage = merged({}, message.get("usage"))
        return [
            Start(
                id=text_of(message.get("id")),
                model=model,
                usage=usage_in(self._usage) if self._usage else None,
                service_tier=tier_in(self._usage),
                extra=extra_in(message),
            )
        ]

    def _message_delta(self, data: Json) -> list[Event]:
        delta = data.get("delta")
        if isinstance(delta, dict):
            self._said |= {key: value for key, value in delta.items() if value is not None}
        self._usage = merged(self._usage, data.get("usage"))
        return []

    def _end(self) -> list[Event]:
        events = self._start(None)
        while self._blocks:
            events += self._stop(next(iter(self._blocks)))
        self._over = True
        usage = usage_in(self._usage)
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(finish_in(self._said, called=self._called))]

    def _fail(self, error: Error) -> list[Event]:
        self._over = True
        return [Failed(error)]

    # --- blocks ------------------------------------------------------------------------

    def _index(self, data: Json) -> int:
        """The wire's index; where it has none, the block that began last."""
        index = data.get("index")
        if type(index) is int:
            return index
        return next(reversed(self._blocks), 0)

    def _begin(self, data: Json) -> list[Event]:
        given = data.get("content_block")
        if not isinstance(given, dict):
            raise bad_upstream("the upstream began a content block that is no object")
        index = data.get("index")
        if type(index) is not int:
            index = max(self._blocks, default=-1) + 1
        events = self._make_room(index)
        kind = _KINDS.get(text_of(given.get("type")), "native")
        return events + self._open(index, kind, given)

    def _make_room(self, index: int) -> list[Event]:
        """End the block that has this index, as another is to take it."""
        if index not in self._blocks:
            return []
        if index != next(iter(self._blocks)):
            raise bad_upstream("the upstream used the index of a content block twice")
        return self._stop(index)

    def _open(self, index: int, kind: str, given: Json) -> list[Event]:
        """Begin a block, and say what its start already holds."""
        events = [] if self._started else self._start(None)
        block = self._blocks[index] = _Block(kind)
        first: list[Event] = []
        match kind:
            case "text":
                first = [BlockStart(kind="text"), *_words(given.get("text"))]
                cited = given.get("citations")
                first += _cited(cited if isinstance(cited, list) else [])
            case "reasoning":
                redacted = given.get("type") == "redacted_thinking"
                state = "data" if redacted else "signature"
                block.signature = (text_of(given.get(state)), "redacted" if redacted else state)
                first = [BlockStart(kind="reasoning", redacted=redacted)]
                first += _words(given.get("thinking"))
            case "tool_call":
                first = [self._call(block, given)]
            case _:
                first = [BlockStart(kind="native", dialect=NAME, native=given)]
        return events + self._give(index, first)

    def _call(self, block: _Block, given: Json) -> Event:
        self._called = True
        sent = text_of(given.get("name"))
        names = self._rendered.names if self._rendered is not None else {}
        block.custom = self._rendered is not None and sent in self._rendered.custom
        held = given.get("input")
        block.given = held if isinstance(held, dict) and held else None
        return BlockStart(
            kind="tool_call",
            id=text_of(given.get("id")),
            name=names.get(sent, sent),
            custom=block.custom,
        )

    def _give(self, index: int, events: list[Event]) -> list[Event]:
        """The events, if it is this block's turn; else they are held."""
        if next(iter(self._blocks)) == index:
            return events
        self._blocks[index].held += events
        return []

    def _delta(self, data: Json) -> list[Event]:
        delta = data.get("delta")
        if not isinstance(delta, dict):
            raise bad_upstream("the upstream sent a delta that is no object")
        index = self._index(data)
        block = self._blocks.get(index)
        if block is not None and block.closed:
            raise bad_upstream("the upstream sent more of a content block that had ended")
        if block is not None and block.kind == "native":
            return self._give(index, [NativeDelta(delta)])
        field, kind = _meaning(delta)
        if not kind:
            return []
        events: list[Event] = []
        if block is None or block.kind != kind:
            if kind == "tool_call":
                raise bad_upstream("the upstream sent a tool's input without the tool's block")
            events = self._make_room(index)
            events += self._open(index, kind, {})
            block = self._blocks[index]
        return events + self._give(index, _told(block, field, delta.get(field)))

    def _stop(self, index: int) -> list[Event]:
        """End a block; if it was the open one, let those that waited speak."""
        block = self._blocks.get(index)
        if block is None or block.closed:
            return []
        block.closed = True
        events = self._give(index, self._last(block))
        while self._blocks:
            first = next(iter(self._blocks))
            if not self._blocks[first].closed:
                break
            del self._blocks[first]
            if self._blocks:
                waiting = self._blocks[next(iter(self._blocks))]
                events += waiting.held
                waiting.held = []
        return events

    def _last(self, block: _Block) -> list[Event]:
        """What a block says at its end."""
        events: list[Event] = []
        if block.kind == "reasoning":
            value, kind = block.signature
            events.append(Signed(made_by(self._traits, self._model, value, kind)))
        elif block.custom:
            arguments, raw = parsed("".join(block.words)) if block.words else (block.given, None)
            events += _words(free_text(arguments, raw))
        elif block.given is not None and not block.words:
            events += _words(msgspec.json.encode(block.given).decode())
        return [*events, BlockEnd()]


def _meaning(delta: Json) -> tuple[str, str]:
    """The field of a delta that counts and the kind of block it belongs to."""
    known = _DELTAS.get(text_of(delta.get("type")))
    if known is not None:
        return known
    if "type" in delta:
        return "", ""
    return next((known for known in _DELTAS.values() if known[0] in delta), ("", ""))


def _told(block: _Block, field: str, value: Any) -> list[Event]:
    """The events of one delta; a signature and a free text's JSON are kept to the end."""
    if field == "citation":
        return _cited([value])
    if not isinstance(value, str):
        raise bad_upstream(f"the upstream sent a delta whose {field} is no text")
    if field == "signature":
        block.signature = (value, block.signature[1])
        return []
    if field == "partial_json" and value:
        block.words.append(value)
    return [] if block.custom else _words(value)


def _words(value: Any) -> list[Event]:
    return [Delta(value)] if isinstance(value, str) and value else []


def _cited(items: list[Any]) -> list[Event]:
    found = (citation_in(item) for item in items)
    return [Cited(citation) for citation in found if citation is not None]
