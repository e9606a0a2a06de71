"""A complete response <-> its stream of events, and the check that a stream is well formed.

fold(unfold(response)) == response      for every response of a model
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, assert_never

from gateway.canon.arguments import parse_arguments, render_arguments
from gateway.canon.errors import GatewayError, bad_upstream
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
from gateway.canon.logprobs import logprobs_extra, token_logprobs
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
from gateway.canon.response import Response, Usage, merge_usage


def fold_events(events: Iterable[Event]) -> Response:
    """The complete response. Raises GatewayError if the stream failed or has no end."""
    builder = ResponseBuilder()
    for event in events:
        builder.feed(event)
    return builder.close()


class ResponseBuilder:
    """Collects the events of one response."""

    def __init__(self) -> None:
        self._start = Start()
        self._parts: list[Part] = []
        self._usage: Usage | None = None
        self._service_tier: str | None = None
        self._end: End | None = None
        self._block = BlockStart(kind="text")
        self._text_chunks: list[str] = []
        self._citations: list[Citation] = []
        self._logprobs: list[dict[str, Any]] = []
        self._signature: Signature | None = None
        self._native = _NativeBlock({})

    def feed(self, event: Event) -> None:
        """Take in one event. Raises GatewayError for a Failed one."""
        match event:
            case Delta():
                self._text_chunks.append(event.text)
                if event.logprobs:
                    self._logprobs += event.logprobs
            case BlockStart():
                self._open_block(event)
            case BlockEnd():
                self._parts.append(self._build_part())
            case Start():
                self._start = event
                self._usage, self._service_tier = event.usage, event.service_tier
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                self._service_tier = event.service_tier or self._service_tier
            case End():
                self._end = event
            case CitationDelta():
                self._citations.append(event.citation)
            case SignatureDelta():
                self._signature = event.signature
            case NativeDelta():
                self._native.add(event.data)
            case Failed():
                raise GatewayError(event.error)
            case _:
                assert_never(event)

    def close(self) -> Response:
        """The response. Raises GatewayError if it has not ended."""
        if self._end is None:
            raise bad_upstream("the upstream's stream ended before the response was complete")
        return Response(
            id=self._start.id,
            model=self._start.model,
            parts=tuple(self._parts),
            finish=self._end.finish,
            usage=self._usage,
            created=self._start.created,
            service_tier=self._service_tier,
            extra=self._start.extra | self._end.extra | logprobs_extra(self._logprobs),
            alternatives=self._end.alternatives,
        )

    def _open_block(self, block: BlockStart) -> None:
        self._block = block
        self._text_chunks, self._citations, self._signature = [], [], None
        self._native = _NativeBlock(block.native)

    def _build_part(self) -> Part:
        block, text = self._block, "".join(self._text_chunks)
        match block.kind:
            case "text":
                return Text(text=text, citations=tuple(self._citations), phase=block.phase)
            case "reasoning":
                return Reasoning(text=text, signature=self._signature, redacted=block.redacted)
            case "refusal":
                return Refusal(text=text)
            case "native":
                return Native(dialect=block.dialect, data=self._native.build())
            case "tool_call":
                arguments, raw_arguments = (None, text) if block.custom else parse_arguments(text)
                return ToolCall(
                    id=block.id,
                    name=block.name,
                    arguments=arguments,
                    raw_arguments=raw_arguments,
                    custom=block.custom,
                    caller=block.caller,
                    signature=self._signature,
                )
            case _:
                assert_never(block.kind)


# The key under which fragments of a native block's `input` are collected.
_PARTIAL_JSON = "partial_json"


class _NativeBlock:
    """A native block and its deltas: strings and lists grow, anything else is replaced."""

    def __init__(self, start: dict[str, Any]) -> None:
        self._fields = dict(start)
        # Fields that grow, in pieces that are joined at the end.
        self._chunks: dict[str, list[Any]] = {}

    def add(self, delta: dict[str, Any]) -> None:
        """Add a delta."""
        for name, value in delta.items():
            if name == "type":
                continue
            if isinstance(value, str | list) and type(value) is type(self._fields.get(name)):
                self._chunks.setdefault(name, [self._fields[name]]).append(value)
            else:
                self._chunks.pop(name, None)
                self._fields[name] = value

    def build(self) -> dict[str, Any]:
        """The block with all its deltas."""
        for name, chunks in self._chunks.items():
            is_text = isinstance(chunks[0], str)
            self._fields[name] = "".join(chunks) if is_text else [*chain.from_iterable(chunks)]
        input_json = self._fields.pop(_PARTIAL_JSON, None)
        if isinstance(input_json, str) and input_json:
            arguments, raw_arguments = parse_arguments(input_json)
            self._fields["input"] = {"_raw": raw_arguments} if arguments is None else arguments
        return self._fields


def unfold_response(response: Response) -> list[Event]:
    """The events of the response, with one Delta for each block."""
    events: list[Event] = [
        Start(
            id=response.id,
            model=response.model,
            created=response.created,
            service_tier=response.service_tier,
            extra=response.extra,
        )
    ]
    logprobs = tuple(token_logprobs(response))
    for part in response.parts:
        part_events = _part_events(part)
        if logprobs and isinstance(part, Text | Refusal) and part.text:
            part_events[1] = Delta(part.text, logprobs)
            logprobs = ()
        events += part_events
    if response.usage is not None:
        events.append(UsageUpdate(response.usage))
    events.append(End(response.finish, response.alternatives))
    return events


def _part_events(part: Part) -> list[Event]:
    match part:
        case Text():
            citation_deltas: list[Event] = [CitationDelta(citation) for citation in part.citations]
            return [
                BlockStart(kind="text", phase=part.phase),
                *_text_delta_events(part.text),
                *citation_deltas,
                BlockEnd(),
            ]
        case Reasoning():
            start = BlockStart(kind="reasoning", redacted=part.redacted)
            return [
                start,
                *_text_delta_events(part.text),
                *_signature_deltas(part.signature),
                BlockEnd(),
            ]
        case Refusal():
            return [BlockStart(kind="refusal"), *_text_delta_events(part.text), BlockEnd()]
        case ToolCall():
            start = BlockStart(
                kind="tool_call",
                id=part.id,
                name=part.name,
                custom=part.custom,
                signed=part.signature is not None,
                caller=part.caller,
            )
            arguments_json = render_arguments(part) if part.arguments != {} else ""
            return [
                start,
                *_signature_deltas(part.signature),
                *_text_delta_events(arguments_json),
                BlockEnd(),
            ]
        case Native():
            return [
                BlockStart(kind="native", dialect=part.dialect, native=part.data),
                BlockEnd(),
            ]
        case _:
            raise ValueError(f"a response cannot contain a part of type {type(part).__name__}")


def _text_delta_events(text: str) -> list[Event]:
    return [Delta(text)] if text else []


def _signature_deltas(signature: Signature | None) -> list[Event]:
    return [SignatureDelta(signature)] if signature is not None else []
