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
    Cited,
    Delta,
    End,
    Event,
    Failed,
    Signed,
    Start,
    UsageUpdate,
)
from gateway.canon.request import Signature
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.cohere.citations import citations_in
from gateway.dialects.cohere.errors import message_in
from gateway.dialects.cohere.finish import failure_in, finish_in
from gateway.dialects.cohere.names import Json
from gateway.dialects.cohere.usage import usage_in
from gateway.framing.sse import Frame

_CUT = "the upstream's stream broke off before the answer was complete"
_decode = msgspec.json.Decoder().decode


class ChatStreamParser:
    """Reads one stream, or the events that tell a whole answer."""

    def __init__(self, traits: Traits, rendered: Rendered | None) -> None:
        self._traits = traits
        self._names = rendered.names if rendered is not None else {}
        self._custom = rendered.custom if rendered is not None else frozenset[str]()
        self._started = False
        self._over = False
        self._called = False
        self._open = ""  # the kind of the open block
        self._place: object = None  # what of the wire the open block stands for
        self._pieces: list[str] | None = None  # of a free-text tool's JSON

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._over or frame.data.strip() in {b"[DONE]", b""}:
            return []
        try:
            data = _decode(frame.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._fail(bad_upstream("the upstream sent an event that is not JSON").error)
        if not isinstance(data, dict):
            return self._fail(bad_upstream("the upstream sent an event that is no object").error)
        try:
            return self.read(data)
        except GatewayError as failure:
            return self._fail(failure.error)

    def read(self, data: Json) -> list[Event]:
        """The events of one decoded event. Raises GatewayError."""
        name = data.get("type")
        if name == "message-start":
            return self._start(_text(data.get("id")))
        if name is None and (words := message_in(data)):
            raise bad_upstream(words)
        delta = data.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        message = delta.get("message")
        message = message if isinstance(message, dict) else {}
        if name == "message-end":
            return self._start("") + self._end(delta)
        events = self._start("")
        match name:
            case "content-start" | "content-delta":
                return events + self._content(data.get("index"), message.get("content"))
            case "tool-plan-delta":
                plan = {"text": message.get("tool_plan")}
                return events + self._content("plan", plan)
            case "tool-call-start":
                return events + self._call(data.get("index"), message.get("tool_calls"))
            case "tool-call-delta":
                return events + self._input(message.get("tool_calls"))
            case "tool-call-end":
                return events + (self._end_block() if self._open == "tool_call" else [])
            case "citation-start":
                return events + self._cited(message.get("citations"))
            case _:
                return events

    def close(self) -> list[Event]:
        """What is still owed at the end of the bytes: Failed for a cut stream."""
        return [] if self._over else self._fail(Error(kind="upstream_error", message=_CUT))

    # --- the answer --------------------------------------------------------------------

    def _start(self, id_: str) -> list[Event]:
        if self._started:
            return []
        self._started = True
        return [Start(id=id_)]

    def _end(self, delta: Json) -> list[Event]:
        word = delta.get("finish_reason")
        failure = failure_in(word, delta.get("error"))
        if failure is not None:
            return self._fail(failure)
        events = self._end_block()
        self._over = True
        usage = usage_in(delta.get("usage"))
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(finish_in(word, called=self._called))]

    def _fail(self, error: Error) -> list[Event]:
        self._over = True
        return [Failed(error)]

    # --- blocks ------------------------------------------------------------------------

    def _content(self, place: object, content: Any) -> list[Event]:
        """More of a text or a thought; the first words open it."""
        if isinstance(content, str):
            content = {"text": content}
        if not isinstance(content, dict):
            return []
        thought = _text(content.get("thinking"))
        kind: Any = "reasoning" if thought or content.get("type") == "thinking" else "text"
        words = thought or _text(content.get("text"))
        if not words:
            return []
        events: list[Event] = []
        if self._open != kind or self._place != place:
            events = self._end_block()
            self._open, self._place = kind, place
            events.append(BlockStart(kind=kind))
        return [*events, Delta(words)]

    def _call(self, place: object, call: Any) -> list[Event]:
        call, function = _call_of(call)
        self._called = True
        events = self._end_block()
        sent = _text(function.get("name"))
        custom = sent in self._custom
        self._open, self._place = "tool_call", place
        self._pieces = [] if custom else None
        name, id_ = self._names.get(sent, sent), _text(call.get("id"))
        events.append(BlockStart(kind="tool_call", id=id_, name=name, custom=custom))
        return events + self._input(call)

    def _input(self, call: Any) -> list[Event]:
        _, function = _call_of(call)
        words = function.get("arguments")
        if words is None or words == "":
            return []
        if not isinstance(words, str):
            raise bad_upstream("the upstream sent a tool's arguments that are no string")
        if self._open != "tool_call":
            raise bad_upstream("the upstream sent a tool's arguments without the tool's call")
        if self._pieces is not None:
            self._pieces.append(words)
            return []
        return [Delta(words)]

    def _cited(self, told: Any) -> list[Event]:
        if self._open != "text":
            return []
        listed = told if isinstance(told, list) else [told]
        return [Cited(citation) for item in listed for citation in citations_in(item)]

    def _end_block(self) -> list[Event]:
        if not self._open:
            return []
        events: list[Event] = []
        if self._open == "reasoning":
            # It has no signature: that it is this model's own is all there is to know.
            made = Signature(provider=self._traits.kind, model=self._traits.model, kind="text")
            events.append(Signed(made))
        elif self._pieces is not None:
            words = _free_text("".join(self._pieces))
            events += [Delta(words)] if words else []
        self._open, self._place, self._pieces = "", None, None
        return [*events, BlockEnd()]


def _call_of(call: Any) -> tuple[Json, Json]:
    """A call and its function; `tool_calls` is an object in events, a list in answers."""
    if isinstance(call, list):
        call = call[0] if call else None
    call = call if isinstance(call, dict) else {}
    function = call.get("function")
    return call, function if isinstance(function, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _free_text(told: str) -> str:
    """The input of a free-text tool that was offered as a function with one string."""
    try:
        value = _decode(told) if told else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return told
    held = value.get("input") if isinstance(value, dict) else None
    return held if isinstance(held, str) else told
