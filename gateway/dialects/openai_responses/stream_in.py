"""A provider's answer, streamed or whole -> canonical events.

The wire says which item a delta belongs to by its `output_index`; canonically one block is
open at a time, so what comes for later items is held until their turn. Servers differ in
which of the many events they send: whatever a `done` says that no delta said is said then,
and an item may begin with any event of its own. What ends the stream is the answer's own
last event; anything less is a cut stream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.arguments import parsed
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import (
    BlockEnd,
    BlockKind,
    BlockStart,
    Cited,
    Delta,
    End,
    Event,
    Failed,
    Signed,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import Folder
from gateway.canon.request import Signature
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.openai_responses.citations import citations_in
from gateway.dialects.openai_responses.errors import event_error, failed, failure_in
from gateway.dialects.openai_responses.finish import finish_in
from gateway.dialects.openai_responses.names import NAME, STATE, WORDS, Json, joined_name
from gateway.dialects.openai_responses.usage import usage_in
from gateway.framing.sse import Frame

_CUT = "the upstream's stream broke off before the answer was complete"
_TEXT_DELTA = "response.output_text.delta"
_ITEMS: dict[str, BlockKind] = {
    "message": "text",
    "reasoning": "reasoning",
    "function_call": "tool_call",
    "custom_tool_call": "tool_call",
}
# event -> (kind of block, field of the index of its part, field of its words).
_WORDS: dict[str, tuple[BlockKind, str, str]] = {
    "response.output_text.delta": ("text", "content_index", "delta"),
    "response.output_text.done": ("text", "content_index", "text"),
    "response.refusal.delta": ("refusal", "content_index", "delta"),
    "response.refusal.done": ("refusal", "content_index", "refusal"),
    "response.reasoning_text.delta": ("reasoning", "content_index", "delta"),
    "response.reasoning_text.done": ("reasoning", "content_index", "text"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary_index", "delta"),
    "response.reasoning_summary_text.done": ("reasoning", "summary_index", "text"),
    "response.function_call_arguments.delta": ("tool_call", "", "delta"),
    "response.function_call_arguments.done": ("tool_call", "", "arguments"),
    "response.custom_tool_call_input.delta": ("tool_call", "", "delta"),
    "response.custom_tool_call_input.done": ("tool_call", "", "input"),
}
# Fields of an answer that no other dialect has and that are not the request's told back.
_OWN = ("moderation", "tool_usage", "input_transformations", "prompt_cache_diagnostics")


class _TextDelta(msgspec.Struct):
    """The event that most frames are."""

    output_index: int
    delta: str
    content_index: int = 0


_text_delta = msgspec.json.Decoder(_TextDelta).decode
_decode = msgspec.json.Decoder().decode


class _Item:
    """An item of the wire: its open block, and events not yet given out."""

    __slots__ = ("block", "cited", "closed", "held", "native", "part", "said", "unwraps", "words")

    def __init__(self, native: Json) -> None:
        self.native = native
        self.closed = False
        self.held: list[Event] = []
        # The kind of the open block and the part of the wire that it stands for.
        self.block: BlockKind | None = None
        self.part: int | None = None
        self.said = 0
        self.cited = 0
        # Whether it is a free-text tool's call that was offered as a function.
        self.unwraps = False
        self.words: list[str] = []


class ResponsesStreamParser:
    """Reads one stream."""

    def __init__(self, traits: Traits, rendered: Rendered | None) -> None:
        self._traits = traits
        self._rendered = rendered
        self._model = traits.model
        self._id = ""
        self._started = False
        self._over = False
        self._called = False
        self._refused = False
        self._count = 0
        # In the order they began; the first one is the open one.
        self._items: dict[int, _Item] = {}
        self._ended: set[int] = set()

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._over:
            return []
        if frame.event == _TEXT_DELTA:
            plain = self._plain_text(frame.data)
            if plain is not None:
                return plain
        try:
            return self._read(frame)
        except GatewayError as failure:
            return self._fail(failure.error)

    def close(self) -> list[Event]:
        """Failed for a stream that its own last event has not ended."""
        if self._over:
            return []
        return self._fail(Error(kind="upstream_error", message=_CUT))

    def whole(self, response: Json) -> list[Event]:
        """The events of a whole answer."""
        try:
            return self._end(response)
        except GatewayError as failure:
            return self._fail(failure.error)

    def _plain_text(self, data: bytes) -> list[Event] | None:
        """A text delta of the open part, read without a detour; None for anything else."""
        try:
            event = _text_delta(data)
        except (msgspec.MsgspecError, UnicodeError):
            return None
        item = self._items.get(event.output_index)
        if item is None or item.closed or item.block != "text" or item.part != event.content_index:
            return None
        item.said += len(event.delta)
        return self._give(event.output_index, [Delta(event.delta)]) if event.delta else []

    # --- frames ------------------------------------------------------------------------

    def _read(self, frame: Frame) -> list[Event]:
        data = _object(frame.data)
        if data is None:
            return []
        name = data.get("type") or frame.event
        index = data.get("output_index")
        if type(index) is int and index in self._ended:
            if name != "response.output_item.added":
                return []
            self._ended.discard(index)  # a server that numbers all its items alike
        if isinstance(name, str) and name in _WORDS:
            return self._words(data, *_WORDS[name])
        match name:
            case "response.output_item.added":
                return self._begin(self._index(data), data.get("item"))
            case "response.output_item.done":
                return self._done(self._index(data), data.get("item"))
            case "response.content_part.added":
                return self._part_added(data)
            case "response.content_part.done":
                return self._part_done(self._index(data), data)
            case "response.output_text.annotation.added":
                return self._annotated(data)
            case "response.created" | "response.in_progress" | "response.queued":
                return self._start(data.get("response"))
            case "response.completed" | "response.incomplete":
                told = _mapping(data.get("response"))
                return self._end({**told, "status": name.removeprefix("response.")})
            case "response.failed":
                return self._fail(failed(data.get("response")))
            case "error":
                return self._fail(event_error(data))
            case _ if data.get("error") and "response" not in data:
                return self._fail(event_error(data))
            case _:
                return []

    def _start(self, response: Any) -> list[Event]:
        if self._started:
            return []
        self._started = True
        response = _mapping(response)
        model = _text(response.get("model"))
        self._model, self._id = self._traits.model or model, _text(response.get("id"))
        created, tier = response.get("created_at"), response.get("service_tier")
        if isinstance(created, float) and created.is_integer():
            created = int(created)
        own = {key: response[key] for key in _OWN if response.get(key)}
        return [
            Start(
                id=self._id,
                model=model,
                created=created if type(created) is int else None,
                service_tier=tier if isinstance(tier, str) else None,
                extra={NAME: own} if own else {},
            )
        ]

    def _end(self, response: Json) -> list[Event]:
        failure = failure_in(response)
        if failure is not None:
            return self._fail(failure)
        events = self._start(response)
        if not self._count:
            output = response.get("output")
            for place, item in enumerate(output if isinstance(output, list) else []):
                events += self._done(place, item)
        while self._items:
            events += self._stop(next(iter(self._items)))
        self._over = True
        usage = usage_in(response.get("usage"))
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(finish_in(response, called=self._called, refused=self._refused))]

    def _fail(self, error: Error) -> list[Event]:
        self._over = True
        return [Failed(error)]

    # --- items -------------------------------------------------------------------------

    def _index(self, data: Json) -> int:
        """The wire's index; where it has none, the item that began last."""
        index = data.get("output_index")
        return index if type(index) is int else next(reversed(self._items), 0)

    def _begin(self, index: int, given: Any) -> list[Event]:
        """Begin an item; a message opens its blocks with its parts."""
        if not isinstance(given, dict):
            raise bad_upstream("the upstream sent an output item that is no object")
        if index in self._items:
            return []
        events = self._start(None)
        self._count += 1
        item = self._items[index] = _Item(given)
        kind = _ITEMS.get(_text(given.get("type")))
        if kind == "tool_call":
            events += self._give(index, [self._call(item, given)])
        elif kind == "reasoning":
            events += self._give(index, _opened(item, "reasoning", None))
        return events

    def _call(self, item: _Item, given: Json) -> Event:
        self._called = True
        item.block = "tool_call"
        sent = joined_name(_text(given.get("namespace")), _text(given.get("name")))
        rendered = self._rendered
        item.unwraps = rendered is not None and sent in rendered.custom
        call_id = _text(given.get("call_id")) or _text(given.get("id"))
        return BlockStart(
            kind="tool_call",
            id=call_id or f"call_{self._id}_{self._count}",
            name=rendered.names.get(sent, sent) if rendered is not None else sent,
            custom=item.unwraps or given.get("type") == "custom_tool_call",
        )

    def _open_item(self, index: int, kind: BlockKind) -> tuple[_Item, list[Event]]:
        """The item at an index, begun now if its beginning has not come."""
        item, events = self._items.get(index), []
        if item is None:
            if kind == "tool_call":
                raise bad_upstream("the upstream sent arguments without the call they are for")
            events = self._begin(index, {"type": "reasoning" if kind == "reasoning" else "message"})
            item = self._items[index]
        return item, events

    def _give(self, index: int, events: list[Event]) -> list[Event]:
        """The events, if it is this item's turn; else they are held."""
        if next(iter(self._items)) == index:
            return events
        self._items[index].held += events
        return []

    def _done(self, index: int, given: Any) -> list[Event]:
        """An item is whole: what of it was not said yet is said."""
        events = self._begin(index, given)
        item = self._items[index]
        if item.closed:
            return events
        item.native = given
        kind = _ITEMS.get(_text(given.get("type")))
        if kind == "text":
            content = given.get("content")
            for place, part in enumerate(content if isinstance(content, list) else []):
                if isinstance(part, dict) and place >= (item.part or 0):
                    events += self._part_done(index, {"content_index": place, "part": part})
        elif kind == "tool_call":
            field = "input" if given.get("type") == "custom_tool_call" else "arguments"
            events += self._give(index, _owed(item, _text(given.get(field))))
        elif kind == "reasoning":
            events += self._give(index, _owed(item, _thought(given)))
        return events + self._stop(index)

    def _stop(self, index: int) -> list[Event]:
        """End an item; if it was the open one, let those that waited speak."""
        item = self._items[index]
        if item.closed:
            return []
        events = self._give(index, self._last(item))
        item.closed = True
        self._ended.add(index)
        while self._items:
            first = next(iter(self._items))
            if not self._items[first].closed:
                break
            del self._items[first]
            if self._items:
                waiting = self._items[next(iter(self._items))]
                events += waiting.held
                waiting.held = []
        return events

    def _last(self, item: _Item) -> list[Event]:
        """What an item says at its end."""
        kind = _ITEMS.get(_text(item.native.get("type")))
        if kind is None:
            return [BlockStart(kind="native", dialect=NAME, native=item.native), BlockEnd()]
        events: list[Event] = []
        if item.block == "reasoning":
            events.append(Signed(self._signature(item.native)))
        elif item.unwraps:
            arguments, raw = parsed("".join(item.words))
            told = arguments.get("input") if arguments is not None else None
            events += _words(told if isinstance(told, str) else raw)
        return [*events, *_ended(item)]

    def _signature(self, given: Json) -> Signature:
        """The state of a thought; for plain text only who thought it."""
        value, kind = _text(given.get("encrypted_content")), self._traits.kind
        if not value:
            return Signature(provider=kind, model=self._model, kind="text")
        item = _text(given.get("id"))
        return Signature(provider=kind, model=self._model, kind=STATE, value=value, item=item)

    # --- parts -------------------------------------------------------------------------

    def _words(self, data: Json, kind: BlockKind, place: str, field: str) -> list[Event]:
        """More of a part, or all of it."""
        words = data.get(field)
        if not isinstance(words, str):
            raise bad_upstream(f"the upstream sent an event whose {field} is no text")
        if not words:
            return []
        index = self._index(data)
        item, events = self._open_item(index, kind)
        if (item.block == "tool_call") != (kind == "tool_call"):
            raise bad_upstream("the upstream sent words for an output item of another kind")
        part = _place(data, place)
        if field != "delta":
            if kind == "reasoning":
                # What was said of a thought is counted over all its parts.
                words = "" if item.said and part <= (item.part or 0) else words
            else:
                words = words[item.said if item.part == part or not place else 0 :]
        if not words:
            return events
        return events + self._give(index, [*self._turned(item, kind, part), *_said(item, words)])

    def _turned(self, item: _Item, kind: BlockKind, part: int) -> list[Event]:
        """What it takes to say words of this part: another block, or another paragraph."""
        if kind == "tool_call" or (item.block == kind and item.part == part):
            return []
        if kind == "refusal":
            self._refused = True
        if kind == "reasoning" and item.block == "reasoning":
            item.part = part
            return _said(item, "\n\n") if item.said else []
        return [*_ended(item), *_opened(item, kind, part)]

    def _part_added(self, data: Json) -> list[Event]:
        part = data.get("part")
        told = part.get("type") if isinstance(part, dict) else None
        if told not in {"output_text", "refusal"}:
            return []
        kind: BlockKind = "text" if told == "output_text" else "refusal"
        index = self._index(data)
        item, events = self._open_item(index, kind)
        return events + self._give(index, self._turned(item, kind, _place(data, "content_index")))

    def _part_done(self, index: int, data: Json) -> list[Event]:
        """A part of a message is whole."""
        part = data.get("part")
        told = part.get("type") if isinstance(part, dict) else None
        if not isinstance(part, dict) or told not in {"output_text", "refusal"}:
            return []
        kind: BlockKind = "text" if told == "output_text" else "refusal"
        item, events = self._open_item(index, kind)
        found = self._turned(item, kind, _place(data, "content_index"))
        found += _owed(item, _text(part.get(WORDS[str(told)])))
        cited = citations_in(part.get("annotations"))[item.cited :]
        item.cited += len(cited)
        return events + self._give(index, [*found, *(Cited(citation) for citation in cited)])

    def _annotated(self, data: Json) -> list[Event]:
        index = self._index(data)
        item, events = self._open_item(index, "text")
        cited = citations_in([data.get("annotation")])
        if item.block != "text":
            return events
        item.cited += len(cited)
        return events + self._give(index, [Cited(citation) for citation in cited])


def _object(data: bytes) -> Json | None:
    """The JSON of an event; None for what says nothing."""
    stripped = data.strip()
    if not stripped or stripped == b"[DONE]":
        return None
    try:
        value = _decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise bad_upstream("the upstream sent an event that is not valid JSON") from None
    if not isinstance(value, dict):
        raise bad_upstream("the upstream sent an event that is no object")
    return value


def _opened(item: _Item, kind: BlockKind, part: int | None) -> list[Event]:
    item.block, item.part, item.said, item.cited = kind, part, 0, 0
    return [BlockStart(kind=kind)]


def _ended(item: _Item) -> list[Event]:
    if item.block is None:
        return []
    item.block = None
    return [BlockEnd()]


def _said(item: _Item, words: str) -> list[Event]:
    item.said += len(words)
    if item.unwraps:
        item.words.append(words)
        return []
    return _words(words)


def _owed(item: _Item, words: str) -> list[Event]:
    """What of these words no delta has said."""
    return _said(item, words[item.said :])


def _words(value: Any) -> list[Event]:
    return [Delta(value)] if isinstance(value, str) and value else []


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _place(data: Json, field: str) -> int:
    """The number of a part of an item."""
    place = data.get(field)
    return place if type(place) is int else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _thought(given: Json) -> str:
    """The words of a reasoning item, its summary before its own."""
    for field in ("summary", "content"):
        parts = given.get(field)
        listed = parts if isinstance(parts, list) else []
        if words := "\n\n".join(_text(_mapping(part).get("text")) for part in listed):
            return words
    return ""


def parse_response(body: Any, traits: Traits, rendered: Rendered | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    failure = failure_in(body)
    if failure is not None:
        raise GatewayError(failure)
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        raise bad_upstream("the upstream's answer is no response: it has no list of output")
    folder = Folder()
    for event in ResponsesStreamParser(traits, rendered).whole(body):
        folder.feed(event)
    return folder.close()
