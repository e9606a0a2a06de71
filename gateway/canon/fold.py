"""A whole answer <-> its stream of events, and the check that a stream is well formed.

fold(unfold(response)) == response      for every answer that a model can give
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.arguments import parsed, written
from gateway.canon.errors import GatewayError, bad_upstream
from gateway.canon.events import (
    GRAMMAR,
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
from gateway.canon.request import (
    Citation,
    Native,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
)
from gateway.canon.response import Finish, Response, Usage


def fold(events: Iterable[Event]) -> Response:
    """The whole answer. Raises GatewayError if the stream failed or has no end."""
    folder = Folder()
    for event in events:
        folder.feed(event)
    return folder.close()


class Folder:
    """Collects the events of one answer as they pass."""

    def __init__(self) -> None:
        self._start = Start()
        self._parts: list[Part] = []
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._others: tuple[Response, ...] = ()
        self._block = BlockStart(kind="text")
        self._words: list[str] = []
        self._citations: list[Citation] = []
        self._signature: Signature | None = None
        self._native: dict[str, Any] = {}

    def feed(self, event: Event) -> None:
        """Take in one event. Raises GatewayError for a Failed one."""
        match event:
            case Delta():
                self._words.append(event.text)
            case BlockStart():
                self._open(event)
            case BlockEnd():
                self._parts.append(self._part())
            case Cited():
                self._citations.append(event.citation)
            case Signed():
                self._signature = event.signature
            case NativeDelta():
                _grow(self._native, event.data)
            case Start():
                self._start = event
                self._usage = event.usage
            case UsageUpdate():
                self._usage = newer(self._usage, event.usage)
            case End():
                self._finish, self._others = event.finish, event.others
            case Failed():
                raise GatewayError(event.error)
            case _:
                assert_never(event)

    def close(self) -> Response:
        """The answer. Raises GatewayError if its end has not come."""
        if self._finish is None:
            raise bad_upstream("the upstream's stream broke off before the answer was complete")
        return Response(
            id=self._start.id,
            model=self._start.model,
            parts=tuple(self._parts),
            finish=self._finish,
            usage=self._usage,
            created=self._start.created,
            service_tier=self._start.service_tier,
            extra=self._start.extra,
            others=self._others,
        )

    def _open(self, block: BlockStart) -> None:
        self._block = block
        self._words, self._citations, self._signature = [], [], None
        self._native = dict(block.native)

    def _part(self) -> Part:
        block, text = self._block, "".join(self._words)
        match block.kind:
            case "text":
                return Text(text=text, citations=tuple(self._citations))
            case "reasoning":
                return Reasoning(text=text, signature=self._signature, redacted=block.redacted)
            case "refusal":
                return Refusal(text=text)
            case "native":
                return Native(dialect=block.dialect, data=_whole(self._native))
            case "tool_call":
                arguments, raw = (None, text) if block.custom else parsed(text)
                return ToolCall(
                    id=block.id,
                    name=block.name,
                    arguments=arguments,
                    raw=raw,
                    custom=block.custom,
                    signature=self._signature,
                )
            case _:
                assert_never(block.kind)


# Where the pieces of a native block's `input` are kept until the block ends.
_PIECES = "partial_json"


def _grow(native: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a native delta: strings and lists grow, anything else is replaced."""
    for name, value in delta.items():
        old = native.get(name)
        if name == "type":
            continue
        grows = isinstance(value, str | list) and type(value) is type(old)
        native[name] = old + value if grows else value


def _whole(native: dict[str, Any]) -> dict[str, Any]:
    pieces = native.pop(_PIECES, None)
    if isinstance(pieces, str) and pieces:
        arguments, raw = parsed(pieces)
        native["input"] = {"_raw": raw} if arguments is None else arguments
    return native


def newer(old: Usage | None, new: Usage) -> Usage:
    """The later count field by field; what it leaves out keeps its value."""
    if old is None:
        return new
    said = {
        name: value
        for name in Usage.__struct_fields__
        if (value := getattr(new, name)) is not None and value != {}
    }
    return replace(old, **said)


def unfold(response: Response) -> list[Event]:
    """The events that tell the same answer, one Delta a block."""
    events: list[Event] = [
        Start(
            id=response.id,
            model=response.model,
            created=response.created,
            service_tier=response.service_tier,
            extra=response.extra,
        )
    ]
    for part in response.parts:
        events += _block(part)
    if response.usage is not None:
        events.append(UsageUpdate(response.usage))
    events.append(End(response.finish, response.others))
    return events


def _block(part: Part) -> list[Event]:
    match part:
        case Text():
            cited: list[Event] = [Cited(citation) for citation in part.citations]
            return [BlockStart(kind="text"), *_words(part.text), *cited, BlockEnd()]
        case Reasoning():
            start = BlockStart(kind="reasoning", redacted=part.redacted)
            return [start, *_words(part.text), *_signed(part.signature), BlockEnd()]
        case Refusal():
            return [BlockStart(kind="refusal"), *_words(part.text), BlockEnd()]
        case ToolCall():
            start = BlockStart(kind="tool_call", id=part.id, name=part.name, custom=part.custom)
            words = written(part) if part.arguments != {} else ""
            return [start, *_words(words), *_signed(part.signature), BlockEnd()]
        case Native():
            return [
                BlockStart(kind="native", dialect=part.dialect, native=part.data),
                BlockEnd(),
            ]
        case _:
            raise ValueError(f"an answer can not hold a part of type {type(part).__name__}")


def _words(text: str) -> list[Event]:
    return [Delta(text)] if text else []


def _signed(signature: Signature | None) -> list[Event]:
    return [Signed(signature)] if signature is not None else []


def check(events: Iterable[Event]) -> None:
    """Raise ValueError, naming the event, unless GRAMMAR allows this whole stream."""
    state = "new"
    for place, event in enumerate(events):
        if state == "over" or (type(event) not in GRAMMAR[state] and not isinstance(event, Failed)):
            raise ValueError(f"event {place}, {event!r}, may not stand in state {state!r}")
        if isinstance(event, Delta) and not event.text:
            raise ValueError(f"event {place} is an empty Delta")
        state = "over" if isinstance(event, Failed) else GRAMMAR[state][type(event)]
    if state != "over":
        raise ValueError(f"the stream ends in state {state!r}, without End or Failed")
