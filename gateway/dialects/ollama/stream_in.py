"""A provider's answer, streamed line by line or whole -> canonical events.

A line holds fragments of the text and of the thought, and calls in one piece. What is
no such line ends the stream as Failed: never an exception, never a clean end.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import (
    BlockEnd,
    BlockKind,
    BlockStart,
    Delta,
    End,
    Event,
    Failed,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import fold_events
from gateway.canon.request import Signature
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.ollama.errors import is_error, parse_error_payload
from gateway.dialects.ollama.finish import parse_finish
from gateway.dialects.ollama.logprobs import parse_logprobs
from gateway.dialects.ollama.names import Json
from gateway.dialects.ollama.usage import parse_usage
from gateway.dialects.shared.fields import compact_json
from gateway.dialects.shared.openai_logprobs import logprobs_extra
from gateway.dialects.shared.responses import TRUNCATED_STREAM
from gateway.framing.sse import Frame


class OllamaStreamParser:
    """One stream of lines -> events."""

    def __init__(self, traits: Traits, rendered: RenderedRequest | None) -> None:
        self._traits = traits
        self._model = traits.model
        self._custom_tools = rendered.custom_tools if rendered is not None else frozenset()
        self._turn_number = _next_turn_number(rendered)
        self._call_count = 0
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
            return self._fail(bad_upstream("the upstream sent a line that is not JSON").error)
        return self.parse_line(line)

    def close(self) -> list[Event]:
        """Failed if the last line is missing."""
        return [] if self._ended else self._fail(bad_upstream(TRUNCATED_STREAM).error)

    def parse_line(self, line: Any) -> list[Event]:
        """The events of one object of the answer."""
        if not isinstance(line, dict):
            return self._fail(bad_upstream("the upstream sent a line that is no object").error)
        if is_error(line):
            return self._fail(parse_error_payload(line))
        events: list[Event] = []
        message = _line_message(line)
        if message is not None or line.get("done") is True:
            self._start_message(line, events)
            self._read_message(message or {}, events)
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

    def _read_message(self, message: Json, events: list[Event]) -> None:
        self._add_delta("reasoning", message.get("thinking"), events)
        self._add_delta("text", message.get("content"), events)
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                self._add_tool_call(call, call["function"], events)

    def _add_delta(self, kind: BlockKind, text: Any, events: list[Event]) -> None:
        if not isinstance(text, str) or not text:
            return
        if self._open_kind != kind:
            self._close_block(events)
            events.append(BlockStart(kind=kind))
            self._open_kind = kind
        events.append(Delta(text))

    def _add_tool_call(self, call: Json, function: Json, events: list[Event]) -> None:
        name, upstream_id = function.get("name"), call.get("id")
        if not isinstance(name, str):
            return
        self._close_block(events)
        generated_id = f"call_g{self._turn_number}_{self._call_count}"
        self._call_count += 1
        custom = name in self._custom_tools
        arguments = _render_arguments(function.get("arguments"), custom=custom)
        call_id = upstream_id if isinstance(upstream_id, str) and upstream_id else generated_id
        events.append(BlockStart(kind="tool_call", id=call_id, name=name, custom=custom))
        events += [Delta(arguments)] if arguments else []
        events.append(BlockEnd())

    def _close_block(self, events: list[Event]) -> None:
        if self._open_kind == "reasoning":
            signature = Signature(provider=self._traits.kind, model=self._model, kind="text")
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

    def _fail(self, error: Error) -> list[Event]:
        self._ended = True
        return [Failed(error)]


def _next_turn_number(rendered: RenderedRequest | None) -> int:
    """The number of the response in its conversation, which keeps generated ids unique."""
    messages = rendered.body.get("messages", []) if rendered is not None else []
    return 1 + len([message for message in messages if message.get("role") == "assistant"])


def _line_message(line: Json) -> Json | None:
    """The message of a chat, or what /api/generate says in its place."""
    message = line.get("message")
    if isinstance(message, dict):
        return message
    if "response" in line:
        return {"content": line["response"], "thinking": line.get("thinking")}
    return None


def _render_arguments(value: Any, *, custom: bool) -> str:
    """The arguments as the string of a delta; nothing for none."""
    if custom and isinstance(value, dict) and isinstance(value.get("input"), str):
        input_text: str = value["input"]
        return input_text
    if isinstance(value, str):
        return value
    return compact_json(value) if value else ""


def parse_response(body: Any, traits: Traits, rendered: RenderedRequest | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    if is_error(body):
        raise GatewayError(parse_error_payload(body))
    if not isinstance(body, dict) or _line_message(body) is None:
        raise bad_upstream("the upstream's answer holds no message")
    if body.get("done") is False:
        raise bad_upstream(TRUNCATED_STREAM)
    response = fold_events(OllamaStreamParser(traits, rendered).parse_line({**body, "done": True}))
    return msgspec.structs.replace(
        response, extra=logprobs_extra(parse_logprobs(body.get("logprobs")))
    )
