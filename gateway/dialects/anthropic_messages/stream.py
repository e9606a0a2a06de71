"""Streams: a provider's events to canonical events, and back for a client."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field
from gateway.canon.arguments import ObjectFragments, parse_arguments
from gateway.canon.call_ids import UnusedIds
from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    Failed,
    NativeDelta,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.request import Signature
from gateway.canon.response import Usage, merge_usage
from gateway.canon.signature import hide_reasoning_text, wrap_signature
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.blocks import parse_citation, render_citation
from gateway.dialects.anthropic_messages.context import NAME, Json
from gateway.dialects.anthropic_messages.errors import parse_error_payload, render_error_body
from gateway.dialects.anthropic_messages.response import (
    citation_without_url,
    count_searches,
    dropped_call_signature,
    merge_usage_fields,
    parse_extra_fields,
    parse_finish,
    parse_service_tier,
    parse_usage,
    render_finish,
    render_foreign_part,
    render_service_tier,
    render_tool_use,
    render_usage,
    tag_signature,
    unwrap_custom_input,
)
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.shared.code_execution import CodeBlocks
from gateway.dialects.shared.failed_streams import (
    TRUNCATED,
    decode_event_object,
    events_before_error,
    failed_events,
    malformed_output_error,
)
from gateway.dialects.shared.fields import object_or_empty, string_or_empty
from gateway.framing.sse import Frame

# --- a provider's stream --------------------------------------------------------------------------
#
# The wire says which block a delta belongs to by its index; canonically one block is
# open at a time, so events of the others are buffered (`_Block.pending_events`).
# Unambiguous protocol errors are tolerated: deltas before their block's start, a missing
# block end, a missing `message_stop`. A response is complete once its `stop_reason` (or
# `message_stop`) has arrived; otherwise the stream ends in Failed.

# delta type -> the field with its content, and the kind of block it belongs to.
_DELTA_FIELDS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "reasoning"),
    "signature_delta": ("signature", "reasoning"),
    "input_json_delta": ("partial_json", "tool_call"),
    "citations_delta": ("citation", "text"),
}
_BLOCK_KINDS = {
    "text": "text",
    "thinking": "reasoning",
    "redacted_thinking": "reasoning",
    "tool_use": "tool_call",
}
# The fields of each `message_delta`, and those of a response that it has beside its `delta`.
_DELTA_EVENT_FIELDS = frozenset({"type", "delta", "usage"})
_LATE_FIELDS = ("context_management", "input_transformations")


class _TextDeltaBody(msgspec.Struct):
    type: str
    text: str


class _TextDeltaEvent(msgspec.Struct):
    """The most frequent event."""

    index: int
    delta: _TextDeltaBody


_decode_text_delta = msgspec.json.Decoder(_TextDeltaEvent).decode


class _Block:
    """A content block of the stream: its kind, its content, and its pending events."""

    __slots__ = (
        "closed",
        "custom",
        "initial_input",
        "input_fragments",
        "kind",
        "pending_events",
        "signature",
    )

    def __init__(self, kind: str, *, custom: bool = False) -> None:
        self.kind = kind
        self.custom = custom
        self.closed = False
        self.initial_input: Json | None = None
        self.pending_events: list[Event] = []
        self.signature: tuple[str, str] = ("", "signature")
        self.input_fragments: list[str] = []


class MessagesStreamParser:
    """Parses one stream."""

    def __init__(self, traits: Traits, rendered_request: RenderedRequest | None) -> None:
        self._traits = traits
        self._rendered_request = rendered_request
        self._model = traits.model
        self._started = False
        self._ended = False
        self._has_tool_call = False
        self._unused_ids = UnusedIds()
        self._usage: Json = {}
        self._start_extra: dict[str, Json] = {}
        self._stop_fields: Json = {}
        # In the order they began; the first one that is not closed is the open one.
        self._blocks: OrderedDict[int, _Block] = OrderedDict()
        # The index after the highest one of blocks that have not ended.
        self._next_index = 0

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended:
            return []
        if frame.event == "content_block_delta":
            events = self._read_text_delta(frame.data)
            if events is not None:
                return events
        try:
            return self._read_event(frame)
        except GatewayError as failure:
            return self._fail_stream(failure.error)

    def close(self) -> list[Event]:
        """The final events: End, or Failed for a truncated stream."""
        if self._ended:
            return []
        if isinstance(self._stop_fields.get("stop_reason"), str):
            return self._end_message()
        return self._fail_stream(TRUNCATED)

    def _read_text_delta(self, data: bytes) -> list[Event] | None:
        """Fast path for a text delta of the open block; None for anything else."""
        try:
            event = _decode_text_delta(data)
        except (msgspec.MsgspecError, UnicodeError):
            return None
        block = self._blocks.get(event.index)
        if block is None or block.kind != "text" or block.closed:
            return None
        if event.delta.type != "text_delta":
            return None
        return (
            self._emit_or_buffer(event.index, [Delta(event.delta.text)]) if event.delta.text else []
        )

    # --- frames ------------------------------------------------------------------------

    def _read_event(self, frame: Frame) -> list[Event]:
        if frame.data.strip() in {b"", b"[DONE]"}:
            return []
        data = decode_event_object(frame, parse_error_payload)
        name = data.get("type") or frame.event
        match name:
            case "content_block_delta":
                return self._block_delta(data)
            case "content_block_start":
                return self._start_block(data)
            case "content_block_stop":
                return self._stop_block(self._block_index(data))
            case "message_start":
                return self._start_message(data.get("message"))
            case "message_delta":
                return self._message_delta(data)
            case "message_stop":
                return self._end_message()
            case "error":
                return self._fail_stream(parse_error_payload(data))
            case _ if isinstance(data.get("error"), dict | str):
                return self._fail_stream(parse_error_payload(data))
            case _:
                return []

    def _start_message(self, message: Any) -> list[Event]:
        if self._started:
            return []
        self._started = True
        message = message if isinstance(message, dict) else {}
        model = string_or_empty(message.get("model"))
        self._model = self._traits.model or model
        self._usage = merge_usage_fields({}, message.get("usage"))
        self._start_extra = parse_extra_fields(message)
        return [
            Start(
                id=string_or_empty(message.get("id")),
                model=model,
                usage=parse_usage(self._usage) if self._usage else None,
                service_tier=parse_service_tier(self._usage),
                extra=self._start_extra,
            )
        ]

    def _message_delta(self, data: Json) -> list[Event]:
        delta = data.get("delta")
        fields = {**data, **delta} if isinstance(delta, dict) else data
        self._stop_fields |= {
            key: value
            for key, value in fields.items()
            if value is not None and key not in _DELTA_EVENT_FIELDS
        }
        self._usage = merge_usage_fields(self._usage, data.get("usage"))
        return []

    def _end_message(self) -> list[Event]:
        events = self._start_message(None)
        while self._blocks:
            events += self._stop_block(next(iter(self._blocks)))
        self._ended = True
        usage = parse_usage(self._usage)
        if usage is not None:
            events.append(UsageUpdate(usage))
        finish = parse_finish(self._stop_fields, has_tool_call=self._has_tool_call)
        extra = parse_extra_fields(self._stop_fields)
        if extra:
            extra = {NAME: {**self._start_extra.get(NAME, {}), **extra[NAME]}}
        return [*events, End(finish, extra=extra)]

    def _fail_stream(self, error: Error) -> list[Event]:
        """Failed, or End if the response was complete before the error."""
        events: list[Event] = []
        if isinstance(self._stop_fields.get("stop_reason"), str) and not self._ended:
            events = events_before_error(self._end_message())
        self._ended = True
        return events or failed_events(error, parse_usage(self._usage) if self._started else None)

    # --- blocks ------------------------------------------------------------------------

    def _block_index(self, data: Json) -> int:
        """The index in the event; without one, that of the block that began last."""
        index = data.get("index")
        if type(index) is int:
            return index
        return next(reversed(self._blocks), 0)

    def _start_block(self, data: Json) -> list[Event]:
        content_block = data.get("content_block")
        if not isinstance(content_block, dict):
            raise bad_upstream("the upstream began a content block that is not an object")
        index = data.get("index")
        if type(index) is not int:
            index = self._next_index if self._blocks else 0
        events = self._release_index(index)
        block_kind = _BLOCK_KINDS.get(string_or_empty(content_block.get("type")), "native")
        return events + self._open_block(index, block_kind, content_block)

    def _release_index(self, index: int) -> list[Event]:
        """End the block with this index so that another can use it."""
        if index not in self._blocks:
            return []
        if index != next(iter(self._blocks)):
            raise bad_upstream("the upstream used the index of a content block twice")
        return self._stop_block(index)

    def _open_block(self, index: int, block_kind: str, content_block: Json) -> list[Event]:
        """Open a block and emit the content of its start event."""
        events = [] if self._started else self._start_message(None)
        self._next_index = max(self._next_index if self._blocks else 0, index + 1)
        block = self._blocks[index] = _Block(block_kind)
        first_events: list[Event] = []
        match block_kind:
            case "text":
                first_events = [BlockStart(kind="text"), *_text_events(content_block.get("text"))]
                citations = content_block.get("citations")
                first_events += _citation_events(citations if isinstance(citations, list) else [])
            case "reasoning":
                redacted = content_block.get("type") == "redacted_thinking"
                signature_field = "data" if redacted else "signature"
                block.signature = (
                    string_or_empty(content_block.get(signature_field)),
                    "redacted" if redacted else signature_field,
                )
                first_events = [BlockStart(kind="reasoning", redacted=redacted)]
                first_events += _text_events(content_block.get("thinking"))
            case "tool_call":
                first_events = [self._start_tool_call(block, content_block)]
            case _:
                first_events = [BlockStart(kind="native", dialect=NAME, native=content_block)]
        return events + self._emit_or_buffer(index, first_events)

    def _start_tool_call(self, block: _Block, content_block: Json) -> Event:
        self._has_tool_call = True
        sent_name = string_or_empty(content_block.get("name"))
        names = self._rendered_request.client_names if self._rendered_request is not None else {}
        block.custom = (
            self._rendered_request is not None and sent_name in self._rendered_request.custom_tools
        )
        initial_input = content_block.get("input")
        block.initial_input = (
            initial_input if isinstance(initial_input, dict) and initial_input else None
        )
        return BlockStart(
            kind="tool_call",
            id=self._unused_ids.claim(string_or_empty(content_block.get("id"))),
            name=names.get(sent_name, sent_name),
            custom=block.custom,
            caller=object_or_empty(content_block.get("caller")),
        )

    def _emit_or_buffer(self, index: int, events: list[Event]) -> list[Event]:
        """The events if this block is the open one; else buffers them."""
        if next(iter(self._blocks)) == index:
            return events
        self._blocks[index].pending_events += events
        return []

    def _block_delta(self, data: Json) -> list[Event]:
        delta = data.get("delta")
        if not isinstance(delta, dict):
            raise bad_upstream("the upstream sent a delta that is not an object")
        index = self._block_index(data)
        block = self._blocks.get(index)
        if block is not None and block.closed:
            raise bad_upstream(
                "the upstream sent more data for a content block that had already ended"
            )
        if block is not None and block.kind == "native":
            return self._emit_or_buffer(index, [NativeDelta(delta)])
        field, kind = _delta_field_and_kind(delta)
        if not kind or delta.get(field) in (None, ""):
            return []
        events: list[Event] = []
        if block is None or block.kind != kind:
            if kind == "tool_call":
                raise bad_upstream("the upstream sent a tool's input without the tool's block")
            events = self._release_index(index)
            events += self._open_block(index, kind, {})
            block = self._blocks[index]
        return events + self._emit_or_buffer(index, _delta_events(block, field, delta.get(field)))

    def _stop_block(self, index: int) -> list[Event]:
        """End a block; if it was the open one, emit the pending events of the next."""
        block = self._blocks.get(index)
        if block is None or block.closed:
            return []
        block.closed = True
        events = self._emit_or_buffer(index, self._closing_events(block))
        while self._blocks:
            open_index = next(iter(self._blocks))
            if not self._blocks[open_index].closed:
                break
            del self._blocks[open_index]
            if self._blocks:
                next_block = self._blocks[next(iter(self._blocks))]
                events += next_block.pending_events
                next_block.pending_events = []
        return events

    def _closing_events(self, block: _Block) -> list[Event]:
        """The last events of a block."""
        events: list[Event] = []
        if block.kind == "reasoning":
            value, kind = block.signature
            events.append(SignatureDelta(tag_signature(self._traits, self._model, value, kind)))
        elif block.custom:
            arguments, raw_arguments = (
                parse_arguments("".join(block.input_fragments))
                if block.input_fragments
                else (block.initial_input, None)
            )
            events += _text_events(unwrap_custom_input(arguments, raw_arguments))
        elif block.initial_input is not None and not block.input_fragments:
            events += _text_events(msgspec.json.encode(block.initial_input).decode())
        return [*events, BlockEnd()]


def _delta_field_and_kind(delta: Json) -> tuple[str, str]:
    """The field of a delta that counts and the kind of block it belongs to."""
    field_and_kind = _DELTA_FIELDS.get(string_or_empty(delta.get("type")))
    if field_and_kind is not None:
        return field_and_kind
    if "type" in delta:
        return "", ""
    return next(
        (field_and_kind for field_and_kind in _DELTA_FIELDS.values() if field_and_kind[0] in delta),
        ("", ""),
    )


def _delta_events(block: _Block, field: str, value: Any) -> list[Event]:
    """The events of one delta; signatures and custom tool input wait for the block's end."""
    if field == "citation":
        return _citation_events([value])
    if not isinstance(value, str):
        raise bad_upstream(f"the upstream sent a delta whose {field} is not a string")
    if field == "signature":
        block.signature = (value, block.signature[1])
        return []
    if field == "partial_json" and value:
        block.input_fragments.append(value)
    return [] if block.custom else _text_events(value)


def _text_events(value: Any) -> list[Event]:
    return [Delta(value)] if isinstance(value, str) and value else []


def _citation_events(items: list[Any]) -> list[Event]:
    citations = (parse_citation(item) for item in items)
    return [CitationDelta(citation) for citation in citations if citation is not None]


# --- a client's stream ----------------------------------------------------------------------------
#
# message_start (content_block_start delta* content_block_stop)* message_delta message_stop
#
# The parser guarantees the order of events. Clients stop reading at a block event out of
# order, so indexes count the blocks that were sent.

_encode = msgspec.json.Encoder().encode
_DELTA_EVENT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
)
_BLOCK_STOP_EVENT = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_MESSAGE_STOP_EVENT = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_NO_BLOCK = BlockStart(kind="text")


class MessagesStreamRenderer:
    """Renders one stream; `report` collects what it cannot express."""

    def __init__(self, context: ResponseContext) -> None:
        self.report: list[Adaptation] = []
        self._context = context
        self._usage: Usage | None = None
        self._block = _NO_BLOCK
        self._index = 0
        self._text_delta_prefix = b""
        self._fragments: list[str] = []
        self._arguments = ObjectFragments()
        self._signature: Signature | None = None
        self._last_reasoning_signature = ""  # the signature of the last reasoning block
        self._block_started = False
        self._has_refusal = False
        self._searches: list[Json] = []
        self._code_blocks = CodeBlocks(context.id)
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes for this event; empty after End or Failed."""
        if type(event) is Delta and self._text_delta_prefix:
            return self._text_delta_prefix + _encode(event.text) + b"}}\n\n"
        if self._ended:
            return b""
        match event:
            case Delta():
                return self._buffer_delta(event.text)
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case Start():
                return self._start_message(event)
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case SignatureDelta():
                self._signature = event.signature
                return b""
            case CitationDelta():
                return self._render_citation_delta(event)
            case NativeDelta():
                return self._render_delta(event.data) if self._block_started else b""
            case End():
                return self._end_message(event)
            case Failed():
                return self._fail_stream(event.error)
            case _:
                assert_never(event)

    def _start_message(self, start: Start) -> bytes:
        self._usage = start.usage
        message: Json = {
            "id": f"msg_{self._context.id}",
            "type": "message",
            "role": "assistant",
            "model": self._context.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._early_usage(start),
            **start.extra.get(NAME, {}),
        }
        return _render_event("message_start", {"message": message})

    def _early_usage(self, start: Start) -> Json:
        """The prompt tokens known so far; the last event has the final count."""
        usage, estimate = start.usage, self._context.prompt_tokens_estimate
        fields = render_usage(usage)
        if (tier := render_service_tier(start.service_tier)) is not None:
            fields["service_tier"] = tier
        if estimate is not None and (usage is None or usage.prompt_tokens is None):
            fields["input_tokens"] = start.prompt_tokens or estimate
        return fields

    # --- blocks ------------------------------------------------------------------------

    def _open_block(self, block: BlockStart) -> bytes:
        self._block, self._signature, self._fragments = block, None, []
        self._arguments = ObjectFragments()
        self._text_delta_prefix, self._block_started = b"", True
        match block.kind:
            case "text" | "refusal":
                self._has_refusal = self._has_refusal or block.kind == "refusal"
                self._text_delta_prefix = _render_delta_prefix(self._index, "text_delta", "text")
                return self._render_block_start({"type": "text", "text": ""})
            case "reasoning":
                if block.redacted:
                    return b""
                if self._context.reasoning_display != "none":
                    self._text_delta_prefix = _render_delta_prefix(
                        self._index, "thinking_delta", "thinking"
                    )
                return self._render_block_start(
                    {"type": "thinking", "thinking": "", "signature": ""}
                )
            case "tool_call":
                return self._render_block_start(
                    render_tool_use(block.id, block.name, {}, block.caller)
                )
            case "native":
                return self._open_native_block(block)
            case _:
                assert_never(block.kind)

    def _open_native_block(self, block: BlockStart) -> bytes:
        if block.dialect == NAME:
            return self._render_block_start(block.native)
        self._block_started = False
        path = f"content[{self._index}]"
        blocks = render_foreign_part(block.native, path, self.report, self._code_blocks)
        self._searches += blocks
        return b"".join(self._render_complete_block(item) for item in blocks)

    def _render_complete_block(self, block: Json) -> bytes:
        """A complete block, from its start to its end; its input is a delta."""
        block_input = block.get("input")
        out = self._render_block_start(block if block_input is None else {**block, "input": {}})
        if block_input is not None:
            out += self._render_json_delta(_encode(block_input).decode())
        out += _BLOCK_STOP_EVENT % self._index
        self._index += 1
        return out

    def _render_block_start(self, block: Json) -> bytes:
        return _render_event("content_block_start", {"index": self._index, "content_block": block})

    def _render_delta(self, delta: Json) -> bytes:
        return _DELTA_EVENT % self._index + _encode(delta) + b"}\n\n"

    def _buffer_delta(self, fragment: str) -> bytes:
        """Buffer a delta that is not sent as it arrives."""
        self._fragments.append(fragment)
        if self._block.kind != "tool_call":
            return b""  # reasoning that is hidden from the client
        if self._is_not_json_object():
            return b""
        if self._block.custom:
            escaped = _encode(fragment)[1:-1].decode()
            fragment = escaped if len(self._fragments) > 1 else '{"input":"' + escaped
            return self._render_json_delta(fragment)
        fragment = self._arguments.add(fragment)
        return self._render_json_delta(fragment) if fragment else b""

    def _is_not_json_object(self) -> bool:
        """Whether the arguments so far cannot become a JSON object; they are then buffered."""
        return not self._block.custom and not self._fragments[0].lstrip().startswith("{")

    def _render_json_delta(self, text: str) -> bytes:
        return self._render_delta({"type": "input_json_delta", "partial_json": text})

    def _render_citation_delta(self, event: CitationDelta) -> bytes:
        block = render_citation(event.citation)
        if block is None:
            self.report.append(citation_without_url(f"content[{self._index}]"))
            return b""
        return self._render_delta({"type": "citations_delta", "citation": block})

    def _close_block(self) -> bytes:
        if not self._block_started:
            return b""
        block, out = self._block, b""
        if block.kind == "reasoning":
            out = self._close_reasoning()
        elif block.kind == "tool_call":
            out = self._close_call()
        out += _BLOCK_STOP_EVENT % self._index
        self._text_delta_prefix, self._block_started, self._block = b"", False, _NO_BLOCK
        self._index += 1
        return out

    def _close_reasoning(self) -> bytes:
        self._last_reasoning_signature = (
            self._signature.value if self._signature is not None else ""
        )
        token = wrap_signature(
            hide_reasoning_text("".join(self._fragments), self._signature or Signature(kind="text"))
        )
        if self._block.redacted:
            return self._render_block_start({"type": "redacted_thinking", "data": token})
        return self._render_delta({"type": "signature_delta", "signature": token})

    def _close_call(self) -> bytes:
        path = f"content[{self._index}]"
        if self._signature is not None and self._signature.value != self._last_reasoning_signature:
            self.report.append(dropped_call_signature(path))
        if self._block.custom:
            return self._render_json_delta('"}' if self._fragments else '{"input":""}')
        if not self._fragments:
            return self._render_json_delta("{}")
        arguments, raw_arguments = parse_arguments("".join(self._fragments))
        if self._is_not_json_object():
            if raw_arguments is not None:
                arguments = {"_raw": raw_arguments}
                self.report.append(
                    approximated_field(path, "the arguments are not a JSON object; sent as `_raw`")
                )
            return self._render_json_delta(_encode(arguments).decode())
        if arguments is None:
            self.report.append(approximated_field(path, self._arguments.invalid_reason))
        return b""

    # --- the end -----------------------------------------------------------------------

    def _end_message(self, end: End) -> bytes:
        if end.finish.reason == "malformed":
            return self._fail_stream(malformed_output_error(end.finish))
        self._ended = True
        data: Json = {
            "delta": render_finish(end.finish, has_refusal=self._has_refusal),
            "usage": count_searches(render_usage(self._usage), self._searches),
        }
        extra = end.extra.get(NAME, {})
        data |= {name: extra[name] for name in _LATE_FIELDS if name in extra}
        if "container" in extra:
            data["delta"]["container"] = extra["container"]
        return _render_event("message_delta", data) + _MESSAGE_STOP_EVENT

    def _fail_stream(self, error: Error) -> bytes:
        self._ended, self._text_delta_prefix = True, b""
        return b"event: error\ndata: " + _encode(render_error_body(error)) + b"\n\n"


def _render_event(name: str, data: Json) -> bytes:
    head = f"event: {name}\ndata: ".encode()
    return head + _encode({"type": name, **data}) + b"\n\n"


def _render_delta_prefix(index: int, kind: str, field: str) -> bytes:
    """The beginning of a delta event, up to its text."""
    return _DELTA_EVENT % index + f'{{"type":"{kind}","{field}":'.encode()
