"""Streams: a provider's lines to canonical events, and back for a client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import AdaptationReport, dropped_field
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
    NativeDelta,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import fold_events
from gateway.canon.logprobs import parse_tokens
from gateway.canon.request import Signature
from gateway.canon.response import Finish, Response, Usage, merge_usage
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.ollama.context import GENERATE_PATH, Json, format_timestamp
from gateway.dialects.ollama.errors import is_error, parse_error_payload, render_error_body
from gateway.dialects.ollama.response import (
    parse_finish,
    parse_usage,
    render_done_reason,
    render_tool_call,
    render_usage,
)
from gateway.dialects.shared.failed_streams import (
    EXPLANATION_DROPPED,
    TRUNCATED,
    malformed_output_error,
)
from gateway.dialects.shared.fields import compact_json, native_kind
from gateway.framing.ndjson import encode
from gateway.framing.sse import Frame

# --- a provider's stream --------------------------------------------------------------------------
#
# A line contains fragments of text and reasoning, and complete calls. Any other
# line ends the stream as Failed: never an exception, never a clean end.


class OllamaStreamParser:
    """One stream of lines -> events."""

    def __init__(self, traits: Traits, rendered_request: RenderedRequest | None) -> None:
        self._traits = traits
        self._model = traits.model
        self._custom_tools = (
            rendered_request.custom_tools if rendered_request is not None else frozenset()
        )
        self._turn_number = _next_turn_number(rendered_request)
        self._call_count = 0
        self._unused_ids = UnusedIds()
        self._started = False
        self._ended = False
        self._open_kind = ""

    def feed(self, frame: Frame) -> list[Event]:
        """The events this line completes."""
        if self._ended:
            return []
        try:
            line = msgspec.json.decode(frame.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._fail_stream(
                bad_upstream("the upstream sent a line that is not JSON").error
            )
        return self.parse_line(line)

    def close(self) -> list[Event]:
        """Failed if the last line is missing."""
        return [] if self._ended else self._fail_stream(TRUNCATED)

    def parse_line(self, line: Any) -> list[Event]:
        """The events of one object of the response."""
        if not isinstance(line, dict):
            return self._fail_stream(
                bad_upstream("the upstream sent a line that is not an object").error
            )
        if is_error(line):
            return self._fail_stream(parse_error_payload(line))
        events: list[Event] = []
        message = _line_message(line)
        if message is not None or line.get("done") is True:
            self._start_message(line, events)
            try:
                self._read_message(message or {}, events, parse_tokens(line.get("logprobs")))
            except GatewayError as failure:
                return [*events, *self._fail_stream(failure.error)]
        if line.get("done") is True:
            self._end_message(line, events)
        return events

    def _start_message(self, line: Json, events: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        model = line.get("model")
        model_name = model if isinstance(model, str) else ""
        self._model = self._model or model_name
        events.append(Start(model=model_name))

    def _read_message(self, message: Json, events: list[Event], logprobs: list[Json]) -> None:
        self._add_delta("reasoning", message.get("thinking"), events)
        self._add_delta("text", message.get("content"), events, logprobs)
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                self._add_tool_call(call, call["function"], events)

    def _add_delta(
        self, kind: BlockKind, text: Any, events: list[Event], logprobs: Iterable[Json] = ()
    ) -> None:
        if not isinstance(text, str) or not text:
            return
        if self._open_kind != kind:
            self._close_block(events)
            events.append(BlockStart(kind=kind))
            self._open_kind = kind
        events.append(Delta(text, tuple(logprobs)))

    def _add_tool_call(self, call: Json, function: Json, events: list[Event]) -> None:
        """Add the events of a call. Raises GatewayError for a call without a name."""
        name, upstream_id = function.get("name"), call.get("id")
        if not isinstance(name, str) or not name:
            raise bad_upstream("the upstream sent a tool call without a name")
        self._close_block(events)
        generated_id = f"call_g{self._turn_number}_{self._call_count}"
        self._call_count += 1
        custom = name in self._custom_tools
        arguments = _render_arguments(function.get("arguments"), custom=custom)
        call_id = upstream_id if isinstance(upstream_id, str) and upstream_id else generated_id
        call_id = self._unused_ids.claim(call_id)
        events.append(BlockStart(kind="tool_call", id=call_id, name=name, custom=custom))
        events += [Delta(arguments)] if arguments else []
        events.append(BlockEnd())

    def _close_block(self, events: list[Event]) -> None:
        if self._open_kind == "reasoning":
            signature = Signature(provider=self._traits.preset, model=self._model, kind="text")
            events.append(SignatureDelta(signature))
        if self._open_kind:
            events.append(BlockEnd())
            self._open_kind = ""

    def _end_message(self, line: Json, events: list[Event]) -> None:
        self._close_block(events)
        self._ended = True
        if (usage := parse_usage(line)) is not None:
            events.append(UsageUpdate(usage))
        events.append(
            End(parse_finish(line.get("done_reason"), has_tool_call=self._call_count > 0))
        )

    def _fail_stream(self, error: Error) -> list[Event]:
        self._ended = True
        return [Failed(error)]


def _next_turn_number(rendered_request: RenderedRequest | None) -> int:
    """The number of the response in its conversation, which keeps generated ids unique."""
    messages = rendered_request.body.get("messages", []) if rendered_request is not None else []
    return 1 + len([message for message in messages if message.get("role") == "assistant"])


def _line_message(line: Json) -> Json | None:
    """The message in a line of a chat, or its equivalent in a line of /api/generate."""
    message = line.get("message")
    if isinstance(message, dict):
        return message
    if "response" in line:
        return {"content": line["response"], "thinking": line.get("thinking")}
    return None


def _render_arguments(value: Any, *, custom: bool) -> str:
    """The arguments as the text of a delta; empty if there are none."""
    if custom and isinstance(value, dict) and isinstance(value.get("input"), str):
        input_text: str = value["input"]
        return input_text
    if isinstance(value, str):
        return value
    return compact_json(value) if value else ""


def parse_response(body: Any, traits: Traits, rendered_request: RenderedRequest | None) -> Response:
    """The canonical response. Raises GatewayError for a body that is no response."""
    if is_error(body):
        raise GatewayError(parse_error_payload(body))
    if not isinstance(body, dict) or _line_message(body) is None:
        raise bad_upstream("the upstream's response contains no message")
    if body.get("done") is False:
        raise GatewayError(TRUNCATED)
    return fold_events(
        OllamaStreamParser(traits, rendered_request).parse_line({**body, "done": True})
    )


# --- a client's stream ----------------------------------------------------------------------------
#
# Calls are sent when they are complete. An error is the last line.

_encode = msgspec.json.encode


class OllamaStreamRenderer:
    """Renders one response as lines."""

    def __init__(self, context: ResponseContext) -> None:
        self.report = AdaptationReport()
        self._is_generate = context.endpoint == GENERATE_PATH
        self._hides_reasoning = context.reasoning_display == "none"
        self._elapsed_ms = context.elapsed_ms
        self._first_output_ms = 0
        self._common_fields: Json = {
            "model": context.model,
            "created_at": format_timestamp(context.created),
        }
        self._usage: Usage | None = None
        self._block = BlockStart(kind="text")
        self._argument_fragments: list[str] = []
        self._call_count = 0
        self._has_text = False
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes for this event."""
        if self._ended:
            return b""
        match event:
            case Delta():
                return self._render_delta(event)
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case Start():
                self._usage = event.usage
                return b""
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case CitationDelta():
                self.report.add(dropped_field("citations", "no equivalent in Ollama"))
                return b""
            case SignatureDelta() | NativeDelta():
                return b""
            case End():
                return self._end_message(event.finish)
            case Failed():
                return self._fail_stream(event.error)
            case _:
                assert_never(event)

    def _render_line(self, logprobs: tuple[Json, ...] = (), /, **message_fields: object) -> bytes:
        """Render one line with the next part of the message and its log probabilities."""
        if self._is_generate:
            fields = {"response": message_fields.pop("content", ""), **message_fields}
        else:
            fields = {"message": {"role": "assistant", "content": "", **message_fields}}
        if logprobs:
            fields["logprobs"] = logprobs
        return encode(_encode({**self._common_fields, **fields, "done": False}))

    def _render_delta(self, event: Delta) -> bytes:
        text = event.text
        match self._block.kind:
            case "text" | "refusal":
                self._has_text = True
                return self._render_line(event.logprobs, content=text)
            case "reasoning":
                return b"" if self._hides_reasoning else self._render_line(thinking=text)
            case "tool_call":
                self._argument_fragments.append(text)
                return b""
            case _:
                return b""

    def _open_block(self, block: BlockStart) -> bytes:
        self._block, self._argument_fragments = block, []
        self._first_output_ms = self._first_output_ms or self._elapsed_ms()
        if block.kind == "native":
            kind = native_kind(block.native)
            self.report.add(dropped_field(f"content.{kind}", "no equivalent in Ollama"))
        return b""

    def _close_block(self) -> bytes:
        if self._block.kind != "tool_call":
            return b""
        call = render_tool_call(
            self._block, "".join(self._argument_fragments), self._call_count, self.report
        )
        self._call_count += 1
        return self._render_line(tool_calls=[call])

    def _end_message(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail_stream(malformed_output_error(finish))
        out = b""
        if finish.explanation and self._has_text:
            self.report.add(EXPLANATION_DROPPED)
        elif finish.explanation and finish.reason in {"filter", "refusal"}:
            out = self._render_line(content=finish.explanation)
        self._ended = True
        message = {"role": "assistant", "content": ""}
        last_message = {
            **self._common_fields,
            **({"response": ""} if self._is_generate else {"message": message}),
            "done": True,
            "done_reason": render_done_reason(finish, self.report),
            **render_usage(self._usage, self._elapsed_ms(), self._first_output_ms),
        }
        return out + encode(_encode(last_message))

    def _fail_stream(self, error: Error) -> bytes:
        self._ended = True
        return encode(_encode(render_error_body(error)))
