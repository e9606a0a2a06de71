"""A provider's answer, streamed or whole -> canonical events.

The wire says which item a delta belongs to by its `output_index`; canonically one block is
open at a time, so what comes for later items is held until their turn. An item may begin
with any event of its own. What ends the stream is the answer's own last event; anything
less is a cut stream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import (
    BlockKind,
    BlockStart,
    Delta,
    End,
    Event,
    Failed,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import Folder
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.openai_logprobs import extra_of
from gateway.dialects.openai_responses.errors import event_error, failed, failure_in
from gateway.dialects.openai_responses.finish import finish_in
from gateway.dialects.openai_responses.item_in import Item, part_kind, text_of
from gateway.dialects.openai_responses.item_queue import ItemQueue
from gateway.dialects.openai_responses.names import NAME, Json, joined_name
from gateway.dialects.openai_responses.usage import usage_in
from gateway.framing.sse import Frame

_CUT = "the upstream's stream broke off before the answer was complete"
_TEXT_DELTA = "response.output_text.delta"
# event -> (kind of block, field of the number of its part, field of its words).
_WORDS: dict[str, tuple[BlockKind, str, str]] = {
    _TEXT_DELTA: ("text", "content_index", "delta"),
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
        self._items = ItemQueue()

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
        return self._items.give(event.output_index, [Delta(event.delta)]) if event.delta else []

    # --- frames ------------------------------------------------------------------------

    def _read(self, frame: Frame) -> list[Event]:
        data = _object(frame.data)
        if data is None:
            return []
        name = text_of(data.get("type")) or frame.event
        if self._items.is_late(name, data.get("output_index")):
            return []
        if name in _WORDS:
            return self._words(data, *_WORDS[name])
        match name:
            case "response.output_item.added":
                return self._begin(self._items.index_of(data), data.get("item"))
            case "response.output_item.done":
                return self._done(self._items.index_of(data), data.get("item"))
            case "response.content_part.added" | "response.content_part.done":
                return self._part(data, whole=name.endswith("done"))
            case "response.output_text.annotation.added":
                index = self._items.index_of(data)
                item, events = self._open_item(index, "text")
                return events + self._items.give(index, item.cite([data.get("annotation")]))
            case _:
                return self._read_frame_of_all(name, data)

    def _read_frame_of_all(self, name: str, data: Json) -> list[Event]:
        """An event of the answer as a whole."""
        match name:
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
        model = text_of(response.get("model"))
        self._model, self._id = self._traits.model or model, text_of(response.get("id"))
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
        if not self._items.count:
            output = response.get("output")
            for place, item in enumerate(output if isinstance(output, list) else []):
                events += self._done(place, item)
        while (index := self._items.first) is not None:
            events += self._stop(index)
        self._over = True
        usage = usage_in(response.get("usage"))
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(finish_in(response, called=self._called, refused=self._refused))]

    def _fail(self, error: Error) -> list[Event]:
        self._over = True
        return [Failed(error)]

    # --- items -------------------------------------------------------------------------

    def _begin(self, index: int, given: Any) -> list[Event]:
        """Begin an item; a message opens its blocks with its parts."""
        if not isinstance(given, dict):
            raise bad_upstream("the upstream sent an output item that is no object")
        if self._items.get(index) is not None:
            return []
        events = self._start(None)
        item = self._items.add(index, Item(given))
        if item.kind == "tool_call":
            events += self._items.give(index, [self._call(item, given)])
        elif item.kind == "reasoning":
            events += self._items.give(index, item.open("reasoning", None))
        return events

    def _call(self, item: Item, given: Json) -> Event:
        self._called = True
        item.block = "tool_call"
        sent = joined_name(text_of(given.get("namespace")), text_of(given.get("name")))
        rendered = self._rendered
        item.unwraps = rendered is not None and sent in rendered.custom
        call_id = text_of(given.get("call_id")) or text_of(given.get("id"))
        return BlockStart(
            kind="tool_call",
            id=call_id or f"call_{self._id}_{self._items.count}",
            name=rendered.names.get(sent, sent) if rendered is not None else sent,
            custom=item.unwraps or given.get("type") == "custom_tool_call",
        )

    def _open_item(self, index: int, kind: BlockKind) -> tuple[Item, list[Event]]:
        """The item at an index, begun now if its beginning has not come."""
        events: list[Event] = []
        if self._items.get(index) is None:
            if kind == "tool_call":
                raise bad_upstream("the upstream sent arguments without the call they are for")
            events = self._begin(index, {"type": "reasoning" if kind == "reasoning" else "message"})
        item = self._items.get(index)
        assert item is not None
        if (item.kind == "tool_call") != (kind == "tool_call") or item.kind is None:
            raise bad_upstream("the upstream sent words for an output item of another kind")
        self._refused = self._refused or kind == "refusal"
        return item, events

    def _done(self, index: int, given: Any) -> list[Event]:
        """An item is whole."""
        events = self._begin(index, given)
        item = self._items.get(index)
        if item is None or item.closed:
            return events
        found = item.whole(given)
        refusals = (e for e in found if isinstance(e, BlockStart) and e.kind == "refusal")
        self._refused = self._refused or any(True for _ in refusals)
        return events + self._items.give(index, found) + self._stop(index)

    def _stop(self, index: int) -> list[Event]:
        """End an item, if it has not ended."""
        item = self._items.get(index)
        if item is None or item.closed:
            return []
        return self._items.stop(index, item.last((self._traits.kind, self._model)))

    # --- parts -------------------------------------------------------------------------

    def _words(self, data: Json, kind: BlockKind, place: str, field: str) -> list[Event]:
        """More of a part, or all of it."""
        words = data.get(field)
        if not isinstance(words, str):
            raise bad_upstream(f"the upstream sent an event whose {field} is no text")
        if not words:
            return []
        index = self._items.index_of(data)
        item, events = self._open_item(index, kind)
        say = item.more if field == "delta" else item.whole_part
        return events + self._items.give(index, say(kind, _place(data, place), words))

    def _part(self, data: Json, *, whole: bool) -> list[Event]:
        """A part of a message begins, or is whole."""
        part, place = data.get("part"), _place(data, "content_index")
        kind = part_kind(part)
        if kind is None:
            return []
        index = self._items.index_of(data)
        item, events = self._open_item(index, kind)
        found = item.whole_content(_mapping(part), place) if whole else item.turn(kind, place)
        return events + self._items.give(index, found)


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


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _place(data: Json, field: str) -> int:
    """The number of a part of an item."""
    place = data.get(field)
    return place if type(place) is int else 0


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
    response = folder.close()
    contents = [item.get("content") for item in body["output"] if isinstance(item, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    told = [part.get("logprobs") for part in parts if isinstance(part, dict)]
    tokens = [token for listed in told if isinstance(listed, list) for token in listed]
    return msgspec.structs.replace(response, extra=response.extra | extra_of(tokens))
