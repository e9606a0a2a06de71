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
    Signed,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import fold
from gateway.canon.request import Signature
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.fields import compact
from gateway.dialects.ollama.errors import error_in, is_error
from gateway.dialects.ollama.finish import finish_in
from gateway.dialects.ollama.logprobs import logprobs_in
from gateway.dialects.ollama.names import Json
from gateway.dialects.ollama.usage import usage_in
from gateway.dialects.openai_logprobs import extra_of
from gateway.framing.sse import Frame

_BROKEN = "the upstream's stream broke off before the answer was complete"


class OllamaStreamParser:
    """One stream of lines -> events."""

    def __init__(self, traits: Traits, rendered: Rendered | None) -> None:
        self._traits = traits
        self._model = traits.model
        self._custom = rendered.custom if rendered is not None else frozenset()
        self._turn = _turn(rendered)
        self._calls = 0
        self._started = False
        self._over = False
        self._open = ""

    def feed(self, frame: Frame) -> list[Event]:
        """The events this line completes."""
        if self._over:
            return []
        try:
            line = msgspec.json.decode(frame.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._fail(bad_upstream("the upstream sent a line that is not JSON").error)
        return self.line(line)

    def close(self) -> list[Event]:
        """Failed where the last line has not come."""
        return [] if self._over else self._fail(bad_upstream(_BROKEN).error)

    def line(self, line: Any) -> list[Event]:
        """The events of one object of the answer."""
        if not isinstance(line, dict):
            return self._fail(bad_upstream("the upstream sent a line that is no object").error)
        if is_error(line):
            return self._fail(error_in(line))
        events: list[Event] = []
        message = _message(line)
        if message is not None or line.get("done") is True:
            self._begin(line, events)
            self._read(message or {}, events)
        if line.get("done") is True:
            self._end(line, events)
        return events

    def _begin(self, line: Json, events: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        model = line.get("model")
        told = model if isinstance(model, str) else ""
        self._model = self._model or told
        events.append(Start(model=told))

    def _read(self, message: Json, events: list[Event]) -> None:
        self._say("reasoning", message.get("thinking"), events)
        self._say("text", message.get("content"), events)
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                self._call(call, call["function"], events)

    def _say(self, kind: BlockKind, words: Any, events: list[Event]) -> None:
        if not isinstance(words, str) or not words:
            return
        if self._open != kind:
            self._close_block(events)
            events.append(BlockStart(kind=kind))
            self._open = kind
        events.append(Delta(words))

    def _call(self, call: Json, function: Json, events: list[Event]) -> None:
        name, told = function.get("name"), call.get("id")
        if not isinstance(name, str):
            return
        self._close_block(events)
        made = f"call_g{self._turn}_{self._calls}"
        self._calls += 1
        custom = name in self._custom
        words = _arguments(function.get("arguments"), custom=custom)
        call_id = told if isinstance(told, str) and told else made
        events.append(BlockStart(kind="tool_call", id=call_id, name=name, custom=custom))
        events += [Delta(words)] if words else []
        events.append(BlockEnd())

    def _close_block(self, events: list[Event]) -> None:
        if self._open == "reasoning":
            state = Signature(provider=self._traits.kind, model=self._model, kind="text")
            events.append(Signed(state))
        if self._open:
            events.append(BlockEnd())
            self._open = ""

    def _end(self, line: Json, events: list[Event]) -> None:
        self._close_block(events)
        self._over = True
        if (usage := usage_in(line)) is not None:
            events.append(UsageUpdate(usage))
        events.append(End(finish_in(line.get("done_reason"), calls=self._calls > 0)))

    def _fail(self, error: Error) -> list[Event]:
        self._over = True
        return [Failed(error)]


def _turn(rendered: Rendered | None) -> int:
    """The number of the answer in its conversation: with it, made ids are never twice there."""
    messages = rendered.body.get("messages", []) if rendered is not None else []
    return 1 + len([message for message in messages if message.get("role") == "assistant"])


def _message(line: Json) -> Json | None:
    """The message of a chat, or what /api/generate says in its place."""
    message = line.get("message")
    if isinstance(message, dict):
        return message
    if "response" in line:
        return {"content": line["response"], "thinking": line.get("thinking")}
    return None


def _arguments(value: Any, *, custom: bool) -> str:
    """The arguments as the string of a delta; nothing for none."""
    if custom and isinstance(value, dict) and isinstance(value.get("input"), str):
        words: str = value["input"]
        return words
    if isinstance(value, str):
        return value
    return compact(value) if value else ""


def parse_response(body: Any, traits: Traits, rendered: Rendered | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    if is_error(body):
        raise GatewayError(error_in(body))
    if not isinstance(body, dict) or _message(body) is None:
        raise bad_upstream("the upstream's answer holds no message")
    if body.get("done") is False:
        raise bad_upstream(_BROKEN)
    response = fold(OllamaStreamParser(traits, rendered).line({**body, "done": True}))
    return msgspec.structs.replace(response, extra=extra_of(logprobs_in(body.get("logprobs"))))
