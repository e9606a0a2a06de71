"""A provider's stream -> canonical events.

The name of an event is the frame's; a frame without a name holds one event under its
name, as the SDKs show it. Text and reasoning begin with their first delta. The usage comes
after `messageStop`, so the response ends with `metadata`, or with the stream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import (
    BlockEnd,
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
from gateway.canon.request import Signature
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.bedrock_converse.citations import parse_citation
from gateway.dialects.bedrock_converse.errors import parse_error_payload
from gateway.dialects.bedrock_converse.finish import parse_finish
from gateway.dialects.bedrock_converse.names import NAME, Json
from gateway.dialects.bedrock_converse.usage import parse_usage
from gateway.dialects.shared.responses import TRUNCATED_STREAM
from gateway.framing.sse import Frame

_decode = msgspec.json.Decoder().decode


class ConverseStreamParser:
    """Parses one stream, or the equivalent events of a non-streaming response."""

    def __init__(self, traits: Traits, rendered: RenderedRequest | None) -> None:
        self._traits = traits
        self._client_names = rendered.client_names if rendered is not None else {}
        self._custom_tools = rendered.custom_tools if rendered is not None else frozenset[str]()
        self._started = False
        self._ended = False
        self._has_tool_call = False
        self._stop_fields: Json | None = None
        self._open_kind = ""  # the kind of the open block
        self._open_index: int | None = None
        # Fragments of the open reasoning block's signature, and its kind.
        self._signature_fragments: tuple[list[str], str] | None = None
        self._custom_input: list[str] | None = None  # of a free-text tool's JSON

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended:
            return []
        try:
            name, data = _decode_event(frame)
            return self.parse_event(name, data)
        except GatewayError as failure:
            return self._fail(failure.error)

    def parse_event(self, name: str, data: Json) -> list[Event]:
        """The canonical events of one stream event. Raises GatewayError."""
        match name:
            case "contentBlockDelta":
                return self._start_message() + self._block_delta(data)
            case "contentBlockStart":
                return self._start_message() + self._start_block(data)
            case "contentBlockStop":
                return self._end_block()
            case "messageStart":
                return self._start_message()
            case "messageStop":
                self._stop_fields = data
                return self._start_message() + self._end_block()
            case "metadata":
                return self._end_message(data)
            case _ if name.lower().endswith("exception") or name == "error":
                return self._fail(parse_error_payload(name, data))
            case _:
                return []

    def close(self) -> list[Event]:
        """The final events: End, or Failed for a truncated stream."""
        if self._ended:
            return []
        if self._stop_fields is None:
            return self._fail(Error(kind="upstream_error", message=TRUNCATED_STREAM))
        return self._end_message({})

    # --- the answer --------------------------------------------------------------------

    def _start_message(self) -> list[Event]:
        if self._started:
            return []
        self._started = True
        return [Start()]

    def _end_message(self, data: Json) -> list[Event]:
        """The last events; some servers send the usage before the stop reason."""
        events: list[Event] = []
        usage = parse_usage(data.get("usage"))
        if usage is not None:
            events = [*self._start_message(), *self._end_block(), UsageUpdate(usage)]
        if self._stop_fields is None:
            return events
        self._ended = True
        stop_reason, model_fields = (
            self._stop_fields.get("stopReason"),
            self._stop_fields.get("additionalModelResponseFields"),
        )
        events += self._end_block()
        return [
            *events,
            End(parse_finish(stop_reason, model_fields, has_tool_call=self._has_tool_call)),
        ]

    def _fail(self, error: Error) -> list[Event]:
        self._ended = True
        return [Failed(error)]

    # --- blocks ------------------------------------------------------------------------

    def _start_block(self, data: Json) -> list[Event]:
        start = data.get("start")
        if not isinstance(start, dict):
            raise bad_upstream("the upstream began a content block that is no object")
        events = self._end_block()
        self._open_index = _block_index(data)
        call = start.get("toolUse")
        if isinstance(call, dict) and call.get("type") in (None, "tool_use"):
            return [*events, self._start_tool_call(call)]
        if not start:
            return events
        self._open_kind = "native"
        return [*events, BlockStart(kind="native", dialect=NAME, native=start)]

    def _start_tool_call(self, call: Json) -> Event:
        self._has_tool_call = True
        self._open_kind = "tool_call"
        sent_name = _string_or_empty(call.get("name"))
        custom = sent_name in self._custom_tools
        self._custom_input = [] if custom else None
        name = self._client_names.get(sent_name, sent_name)
        id_ = _string_or_empty(call.get("toolUseId"))
        return BlockStart(kind="tool_call", id=id_, name=name, custom=custom)

    def _block_delta(self, data: Json) -> list[Event]:
        delta = data.get("delta")
        if not isinstance(delta, dict):
            raise bad_upstream("the upstream sent a delta that is no object")
        index = _block_index(data)
        if "toolUse" in delta:
            if self._open_kind == "native":
                return []
            if self._open_kind != "tool_call":
                raise bad_upstream("the upstream sent a tool's input without the tool's block")
            return self._tool_input_delta(delta["toolUse"])
        if "reasoningContent" in delta:
            return self._reasoning_delta(delta["reasoningContent"], index)
        if "citation" in delta:
            citation = parse_citation(delta["citation"])
            events = self._ensure_open_block("text", index)
            return [*events, CitationDelta(citation)] if citation is not None else events
        if "text" in delta:
            text = delta["text"]
            if not isinstance(text, str):
                raise bad_upstream("the upstream sent a delta whose text is no string")
            return [*self._ensure_open_block("text", index), Delta(text)] if text else []
        return []

    def _tool_input_delta(self, tool_use: Any) -> list[Event]:
        """The events of a call's input: a JSON fragment, or a complete object."""
        fragment = tool_use.get("input") if isinstance(tool_use, dict) else None
        if isinstance(fragment, dict):
            fragment = msgspec.json.encode(fragment).decode() if fragment else ""
        if not isinstance(fragment, str):
            return []
        if self._custom_input is not None:
            self._custom_input.append(fragment)
            return []
        return [Delta(fragment)] if fragment else []

    def _reasoning_delta(self, reasoning: Any, index: int | None) -> list[Event]:
        if not isinstance(reasoning, dict):
            raise bad_upstream("the upstream sent a thought that is no object")
        redacted_content = reasoning.get("redactedContent")
        events = self._ensure_open_block("reasoning", index, redacted=redacted_content is not None)
        if isinstance(redacted_content, str):
            fragments = self._signature_fragments[0] if self._signature_fragments else []
            fragments.append(redacted_content)
            self._signature_fragments = (fragments, "redacted")
        if isinstance(reasoning.get("signature"), str):
            self._signature_fragments = ([reasoning["signature"]], "signature")
        text = _string_or_empty(reasoning.get("text"))
        return [*events, Delta(text)] if text else events

    def _ensure_open_block(
        self, kind: Any, index: int | None, *, redacted: bool = False
    ) -> list[Event]:
        """The events that open a block of this kind; none if it is open already."""
        if self._open_kind == kind and index == self._open_index:
            return []
        events = self._end_block()
        self._open_kind, self._open_index = kind, index
        return [*events, BlockStart(kind=kind, redacted=redacted)]

    def _end_block(self) -> list[Event]:
        if not self._open_kind:
            return []
        events: list[Event] = []
        if self._open_kind == "reasoning":
            fragments, kind = self._signature_fragments or ([], "signature")
            signature = Signature(
                provider=self._traits.kind,
                model=self._traits.model,
                kind=kind,
                value="".join(fragments),
            )
            events.append(SignatureDelta(signature))
        elif self._custom_input is not None:
            text = _unwrap_custom_input("".join(self._custom_input))
            events += [Delta(text)] if text else []
        self._open_kind, self._open_index, self._signature_fragments, self._custom_input = (
            "",
            None,
            None,
            None,
        )
        return [*events, BlockEnd()]


def _decode_event(frame: Frame) -> tuple[str, Json]:
    """The name and fields of an event. Raises GatewayError for an invalid event."""
    try:
        data = _decode(frame.data) if frame.data else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise bad_upstream("the upstream sent an event that is not JSON") from None
    if not isinstance(data, dict):
        raise bad_upstream("the upstream sent an event that is no object")
    if frame.event:
        return frame.event, data
    name, inner = next(iter(data.items()), ("", {}))
    return name, inner if isinstance(inner, dict) else {}


def _block_index(data: Json) -> int | None:
    value = data.get("contentBlockIndex")
    return value if type(value) is int else None


def _string_or_empty(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _unwrap_custom_input(input_json: str) -> str:
    """The input of a free-text tool that was sent as a function with one string."""
    try:
        value = _decode(input_json) if input_json else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return input_json
    input_text = value.get("input") if isinstance(value, dict) else None
    return input_text if isinstance(input_text, str) else input_json
