"""A provider's stream to canonical events; a complete response is a stream of one event."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import msgspec

from gateway.canon.arguments import parse_arguments
from gateway.canon.call_ids import UnusedIds
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import (
    BlockEnd,
    BlockKind,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    Failed,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import ResponseBuilder
from gateway.canon.logprobs import attach_logprobs, logprobs_extra, parse_tokens
from gateway.canon.request import Signature
from gateway.canon.response import Response, Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_responses.context import NAME, STATE_KIND, TEXT_FIELDS, Json, join_name
from gateway.dialects.openai_responses.parts import parse_citations
from gateway.dialects.openai_responses.response import (
    event_error,
    failure_or_default,
    parse_failure,
    parse_finish,
    parse_usage,
)
from gateway.dialects.shared.failed_streams import TRUNCATED, decode_event_object, failed_events
from gateway.dialects.shared.fields import object_or_empty, string_or_empty, string_or_none
from gateway.framing.sse import Frame

_TEXT_DELTA = "response.output_text.delta"
# event -> (kind of block, field with the index of its part, field with its text).
_TEXT_EVENTS: dict[str, tuple[BlockKind, str, str]] = {
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
# Response fields that exist in this dialect only and that do not echo the request.
_RESPONSE_ONLY_FIELDS = (
    "moderation",
    "tool_usage",
    "input_transformations",
    "prompt_cache_diagnostics",
)


class _TextDelta(msgspec.Struct):
    """The most frequent event."""

    output_index: int
    delta: str
    content_index: int = 0
    logprobs: Any = None


_text_delta = msgspec.json.Decoder(_TextDelta).decode


class ResponsesStreamParser:
    """Parses one stream."""

    def __init__(self, traits: Traits, rendered_request: RenderedRequest | None) -> None:
        self._traits = traits
        self._rendered_request = rendered_request
        self._model = traits.model
        self._id = ""
        self._created: Json = {}
        self._started = self._ended = False
        self._has_calls = False
        self._unused_ids = UnusedIds()
        self._refused = False
        self._items = ItemQueue()

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended:
            return []
        if frame.event == _TEXT_DELTA:
            events = self._read_text_delta(frame.data)
            if events is not None:
                return events
        try:
            return self._read_event(frame)
        except GatewayError as failure:
            return self._fail_stream(failure.error)

    def close(self) -> list[Event]:
        """Failed for a stream without a last event."""
        if self._ended:
            return []
        return self._fail_stream(TRUNCATED)

    def feed_complete(self, response: Json) -> list[Event]:
        """The events of a complete response."""
        try:
            return self._end_response(response)
        except GatewayError as failure:
            return self._fail_stream(failure.error)

    def _read_text_delta(self, data: bytes) -> list[Event] | None:
        """A text delta of the open part, by a fast path; None for anything else."""
        try:
            event = _text_delta(data)
        except (msgspec.MsgspecError, UnicodeError):
            return None
        item = self._items.get(event.output_index)
        if (
            item is None
            or item.closed
            or item.block_kind != "text"
            or item.part_index != event.content_index
        ):
            return None
        item.emitted_length += len(event.delta)
        if not event.delta:
            return []
        logprobs = tuple(parse_tokens(event.logprobs)) if event.logprobs else ()
        return self._items.release(event.output_index, [Delta(event.delta, logprobs)])

    # --- frames ------------------------------------------------------------------------

    def _read_event(self, frame: Frame) -> list[Event]:
        if frame.data.strip() in {b"", b"[DONE]"}:
            return []
        data = decode_event_object(frame, event_error)
        name = string_or_empty(data.get("type")) or frame.event
        if self._items.is_late(name, data.get("output_index")):
            return []
        if self._traits.built_in_tools and name.startswith(_CUSTOM_INPUT):
            return []
        if name in _TEXT_EVENTS:
            return self._read_text(data, *_TEXT_EVENTS[name])
        match name:
            case "response.output_item.added":
                return self._begin_item(self._items.index_of(data), data.get("item"))
            case "response.output_item.done":
                return self._read_item_done(self._items.index_of(data), data.get("item"))
            case "response.content_part.added" | "response.content_part.done":
                return self._read_part(data, is_done=name.endswith("done"))
            case "response.output_text.annotation.added":
                index = self._items.index_of(data)
                item, events = self._open_item(index, "text")
                return events + self._items.release(
                    index, item.emit_citations([data.get("annotation")])
                )
            case _:
                return self._read_response_event(name, data)

    def _read_response_event(self, name: str, data: Json) -> list[Event]:
        """An event about the entire response."""
        match name:
            case "response.created" | "response.in_progress" | "response.queued":
                self._created = self._created or object_or_empty(data.get("response"))
                # A translated response starts with its first item. OpenAI reports here that a
                # conversation is too long, and another target can still be tried.
                return self._start_response({}) if self._rendered_request is None else []
            case "response.completed" | "response.incomplete":
                response = object_or_empty(data.get("response"))
                return self._end_response({**response, "status": name.removeprefix("response.")})
            case "response.failed":
                response = object_or_empty(data.get("response"))
                start = self._start_response({}) if self._created else []
                self._ended = True
                usage = _usage_of(response) if self._started else None
                return start + failed_events(failure_or_default(response), usage)
            case "error":
                return self._fail_stream(event_error(data))
            case _ if data.get("error") and "response" not in data:
                return self._fail_stream(event_error(data))
            case _:
                return []

    def _start_response(self, response: Json) -> list[Event]:
        if self._started:
            return []
        self._started = True
        response = self._created or response
        model = string_or_empty(response.get("model"))
        self._model, self._id = self._traits.model or model, string_or_empty(response.get("id"))
        created_at, tier = response.get("created_at"), response.get("service_tier")
        if isinstance(created_at, float) and created_at.is_integer():
            created_at = int(created_at)
        return [
            Start(
                id=self._id,
                model=model,
                created=created_at if type(created_at) is int else None,
                service_tier=tier if isinstance(tier, str) else None,
                extra=_extra_of(response),
            )
        ]

    def _end_response(self, response: Json) -> list[Event]:
        failure = parse_failure(response)
        if failure is not None:
            return self._fail_stream(failure)
        events = self._start_response(response)
        output = response.get("output")
        if not self._items.count:
            for item_index, item in enumerate(output if isinstance(output, list) else []):
                events += self._read_item_done(item_index, item)
        elif isinstance(output, list):
            for item_index, item in self._items.unread_items(output):
                events += self._read_item_done(item_index, item)
        while (index := self._items.first_index) is not None:
            events += self._end_item(index)
        self._ended = True
        usage = _usage_of(response)
        if usage is not None:
            # A stream begins with the tier of the request, such as `auto`.
            events.append(UsageUpdate(usage, string_or_none(response.get("service_tier"))))
        finish = parse_finish(response, has_calls=self._has_calls, has_refusal=self._refused)
        return [*events, End(finish, extra=_extra_of(response))]

    def _fail_stream(self, error: Error) -> list[Event]:
        self._ended = True
        return [Failed(error)]

    # --- items -------------------------------------------------------------------------

    def _begin_item(self, index: int, item_data: Any) -> list[Event]:
        """Start an item; a message opens its blocks with its parts."""
        if not isinstance(item_data, dict):
            raise bad_upstream("the upstream sent an output item that is not an object")
        if self._items.get(index) is not None:
            return []
        events = self._start_response({})
        item = self._items.add(index, StreamItem(item_data, self._traits))
        return events + self._items.release(index, self._open_first_block(item))

    def _open_first_block(self, item: StreamItem) -> list[Event]:
        if item.kind == "tool_call":
            return [self._start_call(item, item.native)]
        return item.open("reasoning", None) if item.kind == "reasoning" else []

    def _change_kind(self, item: StreamItem, item_data: Json) -> list[Event]:
        """Restart an item without content whose end shows that it is of another kind."""
        if item.block_kind is not None:
            raise bad_upstream("the upstream changed the type of an output item")
        self._items.recount(item.native, item_data)
        item.native = item_data
        return self._open_first_block(item)

    def _start_call(self, item: StreamItem, item_data: Json) -> Event:
        self._has_calls = True
        item.block_kind = "tool_call"
        sent_name = join_name(
            string_or_empty(item_data.get("namespace")), string_or_empty(item_data.get("name"))
        )
        rendered_request = self._rendered_request
        item.is_wrapped_custom = (
            rendered_request is not None and sent_name in rendered_request.custom_tools
        )
        call_id = string_or_empty(item_data.get("call_id")) or string_or_empty(item_data.get("id"))
        return BlockStart(
            kind="tool_call",
            id=self._unused_ids.claim(call_id or f"call_{self._id}_{self._items.count}"),
            name=rendered_request.client_names.get(sent_name, sent_name)
            if rendered_request is not None
            else sent_name,
            custom=item.is_wrapped_custom or item_data.get("type") == "custom_tool_call",
        )

    def _open_item(self, index: int, kind: BlockKind) -> tuple[StreamItem, list[Event]]:
        """The item at an index, started now if its start was not received."""
        events: list[Event] = []
        if self._items.get(index) is None:
            if kind == "tool_call":
                raise bad_upstream("the upstream sent arguments without their call")
            events = self._begin_item(
                index, {"type": "reasoning" if kind == "reasoning" else "message"}
            )
        item = self._items.get(index)
        assert item is not None
        if (item.kind == "tool_call") != (kind == "tool_call") or item.kind is None:
            raise bad_upstream("the upstream sent text for an output item of another type")
        self._refused = self._refused or kind == "refusal"
        return item, events

    def _read_item_done(self, index: int, item_data: Any) -> list[Event]:
        """Handle the end of an item."""
        events = self._begin_item(index, item_data)
        item = self._items.get(index)
        if item is None or item.closed:
            return events
        if item.kind != item.kind_of(item_data):
            events += self._items.release(index, self._change_kind(item, item_data))
        item_events = item.emit_remaining(item_data)
        refusals = (e for e in item_events if isinstance(e, BlockStart) and e.kind == "refusal")
        self._refused = self._refused or any(True for _ in refusals)
        return events + self._items.release(index, item_events) + self._end_item(index)

    def _end_item(self, index: int) -> list[Event]:
        """End an item, unless it has ended."""
        item = self._items.get(index)
        if item is None or item.closed:
            return []
        return self._items.end(index, item.emit_end((self._traits.preset, self._model)))

    # --- parts -------------------------------------------------------------------------

    def _read_text(self, data: Json, kind: BlockKind, index_field: str, field: str) -> list[Event]:
        """A text delta, or the complete text of a part."""
        text = data.get(field)
        if text is None or text == "":
            return []
        if not isinstance(text, str):
            raise bad_upstream(f"the upstream sent an event whose {field} is not a string")
        index = self._items.index_of(data)
        item, events = self._open_item(index, kind)
        if kind == "reasoning" and not item.reads_reasoning_of(index_field):
            return events
        emit = item.emit_delta if field == "delta" else item.emit_unsent_text
        open_kind = item.block_kind
        text_events = emit(kind, _part_index(data, index_field), text)
        if field == "delta" and data.get("logprobs"):
            text_events = attach_logprobs(text_events, data["logprobs"], open_kind)
        return events + self._items.release(index, text_events)

    def _read_part(self, data: Json, *, is_done: bool) -> list[Event]:
        """A message part starts or is complete."""
        part, part_index = data.get("part"), _part_index(data, "content_index")
        kind = part_kind(part)
        if kind is None:
            return []
        index = self._items.index_of(data)
        item, events = self._open_item(index, kind)
        part_events = (
            item.emit_content_part(object_or_empty(part), part_index)
            if is_done
            else item.switch_block(kind, part_index)
        )
        return events + self._items.release(index, part_events)


def _part_index(data: Json, field: str) -> int:
    """The index of a part in its item."""
    part_index = data.get(field)
    return part_index if type(part_index) is int else 0


def parse_response(body: Any, traits: Traits, rendered_request: RenderedRequest | None) -> Response:
    """The canonical response. Raises GatewayError for a body that is no response."""
    failure = parse_failure(body)
    if failure is not None:
        raise GatewayError(failure)
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        raise bad_upstream("the upstream's response has no output list")
    folder = ResponseBuilder()
    for event in ResponsesStreamParser(traits, rendered_request).feed_complete(body):
        folder.feed(event)
    response = folder.close()
    contents = [item.get("content") for item in body["output"] if isinstance(item, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    logprob_lists = [part.get("logprobs") for part in parts if isinstance(part, dict)]
    tokens = [
        token
        for logprob_list in logprob_lists
        if isinstance(logprob_list, list)
        for token in logprob_list
    ]
    return msgspec.structs.replace(response, extra=response.extra | logprobs_extra(tokens))


# --- one item of the output -----------------------------------------------------------------------
#
# Servers differ in which of the many events they send. Text of a `done` event that no delta
# contained is emitted then; emitted text is counted, not stored.

# item type -> kind of block; each part of a message is a separate block.
KINDS: dict[str, BlockKind] = {
    "message": "text",
    "reasoning": "reasoning",
    "function_call": "tool_call",
    "custom_tool_call": "tool_call",
}
# For a provider other than OpenAI, which gets no free-text tools: its own calls, such as xAI's
# searches of X.
_KINDS_WITHOUT_CUSTOM = {kind: KINDS[kind] for kind in ("message", "reasoning", "function_call")}
_CUSTOM_INPUT = "response.custom_tool_call_input."


class StreamItem:
    """An item: its open block, and the events pending until earlier items end.

    Attributes:
        native: the item's JSON; the last version counts.
        kinds: the kind of block of each type of item.
        block_kind: the kind of the open block; None if none is open.
        part_index: the index of the part of the open block.
        reasoning_field: which text of reasoning was emitted, its summary or its content.
        is_wrapped_custom: whether it calls a free-text tool that was sent as a function.
    """

    __slots__ = (
        "block_kind",
        "buffered_texts",
        "citation_count",
        "closed",
        "emitted_length",
        "is_wrapped_custom",
        "kinds",
        "native",
        "part_index",
        "pending_events",
        "reasoning_field",
    )

    def __init__(self, native: Json, traits: Traits) -> None:
        self.native = native
        self.kinds = _KINDS_WITHOUT_CUSTOM if traits.built_in_tools else KINDS
        self.closed = False
        self.pending_events: list[Event] = []
        self.block_kind: BlockKind | None = None
        self.part_index: int | None = None
        self.emitted_length = 0
        self.citation_count = 0
        self.is_wrapped_custom = False
        self.buffered_texts: list[str] = []
        self.reasoning_field = ""

    @property
    def kind(self) -> BlockKind | None:
        """The kind of block; None for an item that exists in this dialect only."""
        return self.kind_of(self.native)

    def kind_of(self, item: Json) -> BlockKind | None:
        """The kind of block of an item's JSON, at the same provider."""
        return self.kinds.get(string_or_empty(item.get("type")))

    def open(self, kind: BlockKind, part_index: int | None) -> list[Event]:
        """Begin a block."""
        self.block_kind, self.part_index, self.emitted_length, self.citation_count = (
            kind,
            part_index,
            0,
            0,
        )
        phase = string_or_empty(self.native.get("phase")) if kind == "text" else ""
        return [BlockStart(kind=kind, phase=phase)]

    def reads_reasoning_of(self, index_field: str) -> bool:
        """Whether events with this index are of the text of reasoning that came first."""
        field = "summary" if index_field == "summary_index" else "content"
        self.reasoning_field = self.reasoning_field or field
        return self.reasoning_field == field

    def switch_block(self, kind: BlockKind, part_index: int) -> list[Event]:
        """The events before text of this part: a new block, or a paragraph break."""
        if kind == "tool_call" or (self.block_kind == kind and self.part_index == part_index):
            return []
        if kind == "reasoning" and self.block_kind == "reasoning":
            self.part_index = part_index
            return self.emit_text("\n\n") if self.emitted_length else []
        return [*self._end_block(), *self.open(kind, part_index)]

    def emit_text(self, text: str) -> list[Event]:
        """Text deltas; the text of a wrapped free-text call is buffered until its end."""
        self.emitted_length += len(text)
        if self.is_wrapped_custom:
            self.buffered_texts.append(text)
            return []
        return _text_delta_events(text)

    def emit_delta(self, kind: BlockKind, part_index: int, text: str) -> list[Event]:
        """The events for a delta."""
        return [*self.switch_block(kind, part_index), *self.emit_text(text)]

    def emit_unsent_text(self, kind: BlockKind, part_index: int, text: str) -> list[Event]:
        """The text of a complete part that no delta has emitted."""
        if kind == "reasoning":
            # The emitted length of reasoning counts all its parts.
            text = "" if self.emitted_length and part_index <= (self.part_index or 0) else text
        elif self.part_index == part_index or kind == "tool_call":
            text = text[self.emitted_length :]
        return self.emit_delta(kind, part_index, text) if text else []

    def emit_citations(self, annotations: Any) -> list[Event]:
        """The citations in a list of annotations."""
        citations = parse_citations(annotations) if self.block_kind == "text" else ()
        self.citation_count += len(citations)
        return [CitationDelta(citation) for citation in citations]

    def emit_content_part(self, part: Json, index: int) -> list[Event]:
        """The remaining text of a complete message part, with its citations."""
        kind = part_kind(part)
        if kind is None:
            return []
        events = self.switch_block(kind, index)
        events += self.emit_text(
            string_or_empty(part.get(TEXT_FIELDS[part["type"]]))[self.emitted_length :]
        )
        annotations = part.get("annotations")
        return events + self.emit_citations(
            annotations[self.citation_count :] if isinstance(annotations, list) else []
        )

    def emit_remaining(self, item: Json) -> list[Event]:
        """The content of a complete item that was not emitted yet."""
        self.native = item
        match self.kind:
            case "text":
                content = item.get("content")
                numbered_parts = enumerate(content if isinstance(content, list) else [])
                parts = [
                    (n, p)
                    for n, p in numbered_parts
                    if isinstance(p, dict) and n >= (self.part_index or 0)
                ]
                return [event for n, p in parts for event in self.emit_content_part(p, n)]
            case "tool_call":
                field = "input" if item.get("type") == "custom_tool_call" else "arguments"
                return self.emit_text(string_or_empty(item.get(field))[self.emitted_length :])
            case "reasoning":
                text = _reasoning_text(item, self.reasoning_field)
                return self.emit_text(text[self.emitted_length :])
            case _:
                return []

    def emit_end(self, creator: tuple[str, str]) -> list[Event]:
        """The last events of the item; `creator` is the provider and model of reasoning."""
        if self.kind is None:
            return [BlockStart(kind="native", dialect=NAME, native=self.native), BlockEnd()]
        events: list[Event] = []
        if self.block_kind == "reasoning":
            events.append(SignatureDelta(self._reasoning_signature(*creator)))
        elif self.is_wrapped_custom:
            arguments, raw_arguments = parse_arguments("".join(self.buffered_texts))
            free_text = arguments.get("input") if arguments is not None else None
            events += _text_delta_events(free_text if isinstance(free_text, str) else raw_arguments)
        return [*events, *self._end_block()]

    def _end_block(self) -> list[Event]:
        if self.block_kind is None:
            return []
        self.block_kind = None
        return [BlockEnd()]

    def _reasoning_signature(self, provider: str, model: str) -> Signature:
        """The state of a reasoning item; without state, only the model that created it."""
        state = string_or_empty(self.native.get("encrypted_content"))
        if not state:
            return Signature(provider=provider, model=model, kind="text")
        item_id = string_or_empty(self.native.get("id"))
        return Signature(
            provider=provider, model=model, kind=STATE_KIND, value=state, item_id=item_id
        )


def part_kind(part: Any) -> BlockKind | None:
    """The kind of block for a part of a message."""
    part_type = part.get("type") if isinstance(part, dict) else None
    if part_type == "output_text":
        return "text"
    return "refusal" if part_type == "refusal" else None


def _text_delta_events(value: Any) -> list[Event]:
    return [Delta(value)] if isinstance(value, str) and value else []


def _reasoning_text(item: Json, emitted_field: str) -> str:
    """The text of a reasoning item: its summary, or else its content; the one emitted before."""
    for field in [emitted_field] if emitted_field else ("summary", "content"):
        field_parts = item.get(field)
        parts = field_parts if isinstance(field_parts, list) else []
        texts = (string_or_empty(part.get("text")) for part in parts if isinstance(part, dict))
        if joined_text := "\n\n".join(texts):
            return joined_text
    return ""


# --- items in order -------------------------------------------------------------------------------


class ItemQueue:
    """Items by `output_index`; the events of later items are buffered until their turn."""

    def __init__(self) -> None:
        self._items: OrderedDict[int, StreamItem] = OrderedDict()
        self._ended: set[int] = set()
        # Number of items started, also by type; the ids of the calls.
        self.count = 0
        self._type_counts: Counter[str] = Counter()
        self._call_ids: set[str] = set()

    @property
    def first_index(self) -> int | None:
        """The index of the first open item; None if none is open."""
        return next(iter(self._items), None)

    def get(self, index: int) -> StreamItem | None:
        """The item at an index, if it was started and may still emit events."""
        return self._items.get(index)

    def index_of(self, data: Json) -> int:
        """The index in an event; without one, the index of the last started item."""
        index = data.get("output_index")
        return index if type(index) is int else next(reversed(self._items), 0)

    def is_late(self, name: str, index: Any) -> bool:
        """Whether an event is about an item that has ended."""
        if type(index) is not int or index not in self._ended:
            return False
        if name == "response.output_item.added":
            self._ended.discard(index)  # a server that numbers all its items alike
        return name != "response.output_item.added"

    def add(self, index: int, item: StreamItem) -> StreamItem:
        """Start an item."""
        self.count += 1
        self.recount({}, item.native)
        self._items[index] = item
        return item

    def recount(self, old: Json, new: Json) -> None:
        """Count an item by its new type instead of its old one."""
        self._type_counts[string_or_empty(old.get("type"))] -= 1
        self._type_counts[string_or_empty(new.get("type"))] += 1
        self._call_ids.add(string_or_empty(new.get("call_id")))

    def unread_items(self, output: list[Any]) -> list[tuple[int, Json]]:
        """The items of a complete response that are open or were not started, with their index.

        Calls are compared by id, other items by number: servers give them other ids at the end.
        """
        items: list[tuple[int, Json]] = []
        unmatched_counts = self._type_counts.copy()
        for number, item in enumerate(output):
            item_type = item.get("type") if isinstance(item, dict) else None
            if not isinstance(item_type, str):
                continue
            is_started = unmatched_counts[item_type] > 0
            unmatched_counts[item_type] -= 1
            if call_id := string_or_empty(item.get("call_id")):
                is_started = call_id in self._call_ids
            started_item = self._items.get(number)
            if not is_started:
                items.append((-1 - number, item))
            elif (
                started_item is not None
                and not started_item.closed
                and started_item.native.get("type") == item_type
            ):
                items.append((number, item))
        return items

    def release(self, index: int, events: list[Event]) -> list[Event]:
        """The events, if this item is the first; else they are buffered."""
        if self.first_index == index:
            return events
        self._items[index].pending_events += events
        return []

    def end(self, index: int, final_events: list[Event]) -> list[Event]:
        """End an item with its last events, and release the events of the next items."""
        item = self._items[index]
        events = self.release(index, final_events)
        item.closed = True
        self._ended.add(index)
        while self.first_index is not None and self._items[self.first_index].closed:
            del self._items[self.first_index]
            if self.first_index is not None:
                next_item = self._items[self.first_index]
                events += next_item.pending_events
                next_item.pending_events = []
        return events


def _extra_of(response: Json) -> dict[str, Json]:
    """The entry for a response's `extra`; empty without such fields."""
    fields = {key: response[key] for key in _RESPONSE_ONLY_FIELDS if response.get(key)}
    return {NAME: fields} if fields else {}


def _usage_of(response: Json) -> Usage | None:
    return parse_usage(response.get("usage"), response.get("tool_usage"))
