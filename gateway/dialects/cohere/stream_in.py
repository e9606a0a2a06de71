"""A provider's stream -> canonical events.

The plan of a model that is about to call tools is text beside the calls. Citations come
while their text is open or just after it, so a text stays open until something else begins.
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
from gateway.dialects.cohere.citations import parse_citations
from gateway.dialects.cohere.errors import parse_error_message
from gateway.dialects.cohere.finish import parse_failure, parse_finish
from gateway.dialects.cohere.names import Json
from gateway.dialects.cohere.usage import parse_usage
from gateway.dialects.shared.responses import TRUNCATED_STREAM
from gateway.framing.sse import Frame

_decode = msgspec.json.Decoder().decode


class ChatStreamParser:
    """Parses one stream, or the equivalent events of a non-streaming response."""

    def __init__(self, traits: Traits, rendered: RenderedRequest | None) -> None:
        self._traits = traits
        self._client_names = rendered.client_names if rendered is not None else {}
        self._custom_tools = rendered.custom_tools if rendered is not None else frozenset[str]()
        self._started = False
        self._ended = False
        self._has_tool_call = False
        self._open_kind = ""  # the kind of the open block
        self._open_index: object = None  # the stream's index of the open block
        self._custom_input: list[str] | None = None  # of a free-text tool's JSON

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended or frame.data.strip() in {b"[DONE]", b""}:
            return []
        try:
            data = _decode(frame.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._fail(bad_upstream("the upstream sent an event that is not JSON").error)
        if not isinstance(data, dict):
            return self._fail(bad_upstream("the upstream sent an event that is no object").error)
        try:
            return self.parse_event(data)
        except GatewayError as failure:
            return self._fail(failure.error)

    def parse_event(self, data: Json) -> list[Event]:
        """The events of one decoded event. Raises GatewayError."""
        name = data.get("type")
        if name == "message-start":
            return self._start_message(_string_or_empty(data.get("id")))
        if name is None and (error_message := parse_error_message(data)):
            raise bad_upstream(error_message)
        delta = data.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        message = delta.get("message")
        message = message if isinstance(message, dict) else {}
        if name == "message-end":
            return self._start_message("") + self._end_message(delta)
        events = self._start_message("")
        match name:
            case "content-start" | "content-delta":
                return events + self._content_delta(data.get("index"), message.get("content"))
            case "tool-plan-delta":
                plan = {"text": message.get("tool_plan")}
                return events + self._content_delta("plan", plan)
            case "tool-call-start":
                return events + self._start_tool_call(data.get("index"), message.get("tool_calls"))
            case "tool-call-delta":
                return events + self._tool_input_delta(message.get("tool_calls"))
            case "tool-call-end":
                return events + (self._end_block() if self._open_kind == "tool_call" else [])
            case "citation-start":
                return events + self._citation_events(message.get("citations"))
            case _:
                return events

    def close(self) -> list[Event]:
        """The final events: Failed for a truncated stream."""
        return (
            []
            if self._ended
            else self._fail(Error(kind="upstream_error", message=TRUNCATED_STREAM))
        )

    # --- the answer --------------------------------------------------------------------

    def _start_message(self, id_: str) -> list[Event]:
        if self._started:
            return []
        self._started = True
        return [Start(id=id_)]

    def _end_message(self, delta: Json) -> list[Event]:
        finish_reason = delta.get("finish_reason")
        failure = parse_failure(finish_reason, delta.get("error"))
        if failure is not None:
            return self._fail(failure)
        events = self._end_block()
        self._ended = True
        usage = parse_usage(delta.get("usage"))
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(parse_finish(finish_reason, has_tool_call=self._has_tool_call))]

    def _fail(self, error: Error) -> list[Event]:
        self._ended = True
        return [Failed(error)]

    # --- blocks ------------------------------------------------------------------------

    def _content_delta(self, index: object, content: Any) -> list[Event]:
        """The events of a text or reasoning delta; the first delta opens the block."""
        if isinstance(content, str):
            content = {"text": content}
        if not isinstance(content, dict):
            return []
        thinking = _string_or_empty(content.get("thinking"))
        kind: Any = "reasoning" if thinking or content.get("type") == "thinking" else "text"
        text = thinking or _string_or_empty(content.get("text"))
        if not text:
            return []
        events: list[Event] = []
        if self._open_kind != kind or self._open_index != index:
            events = self._end_block()
            self._open_kind, self._open_index = kind, index
            events.append(BlockStart(kind=kind))
        return [*events, Delta(text)]

    def _start_tool_call(self, index: object, call: Any) -> list[Event]:
        call, function = _split_call(call)
        self._has_tool_call = True
        events = self._end_block()
        sent_name = _string_or_empty(function.get("name"))
        custom = sent_name in self._custom_tools
        self._open_kind, self._open_index = "tool_call", index
        self._custom_input = [] if custom else None
        name, id_ = self._client_names.get(sent_name, sent_name), _string_or_empty(call.get("id"))
        events.append(BlockStart(kind="tool_call", id=id_, name=name, custom=custom))
        return events + self._tool_input_delta(call)

    def _tool_input_delta(self, call: Any) -> list[Event]:
        _, function = _split_call(call)
        arguments = function.get("arguments")
        if arguments is None or arguments == "":
            return []
        if not isinstance(arguments, str):
            raise bad_upstream("the upstream sent a tool's arguments that are no string")
        if self._open_kind != "tool_call":
            raise bad_upstream("the upstream sent a tool's arguments without the tool's call")
        if self._custom_input is not None:
            self._custom_input.append(arguments)
            return []
        return [Delta(arguments)]

    def _citation_events(self, citations: Any) -> list[Event]:
        if self._open_kind != "text":
            return []
        citation_list = citations if isinstance(citations, list) else [citations]
        return [
            CitationDelta(citation) for item in citation_list for citation in parse_citations(item)
        ]

    def _end_block(self) -> list[Event]:
        if not self._open_kind:
            return []
        events: list[Event] = []
        if self._open_kind == "reasoning":
            # It has no signature: that it is this model's own is all there is to know.
            signature = Signature(provider=self._traits.kind, model=self._traits.model, kind="text")
            events.append(SignatureDelta(signature))
        elif self._custom_input is not None:
            text = _unwrap_custom_input("".join(self._custom_input))
            events += [Delta(text)] if text else []
        self._open_kind, self._open_index, self._custom_input = "", None, None
        return [*events, BlockEnd()]


def _split_call(call: Any) -> tuple[Json, Json]:
    """A call and its function; `tool_calls` is an object in events, a list in answers."""
    if isinstance(call, list):
        call = call[0] if call else None
    call = call if isinstance(call, dict) else {}
    function = call.get("function")
    return call, function if isinstance(function, dict) else {}


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
