"""A provider's stream -> canonical events.

The name of an event is the frame's; a frame without a name holds one event under its
name, as the SDKs show it. Text and thoughts begin with their first delta. The usage comes
after `messageStop`, so the answer ends with `metadata`, or with the bytes.
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
from gateway.dialects.bedrock_converse.citations import citation_in
from gateway.dialects.bedrock_converse.errors import error_in
from gateway.dialects.bedrock_converse.finish import finish_in
from gateway.dialects.bedrock_converse.names import NAME, Json
from gateway.dialects.bedrock_converse.usage import usage_in
from gateway.framing.sse import Frame

_CUT = "the upstream's stream broke off before the answer was complete"
_decode = msgspec.json.Decoder().decode


class ConverseStreamParser:
    """Reads one stream, or the events that tell a whole answer."""

    def __init__(self, traits: Traits, rendered: Rendered | None) -> None:
        self._traits = traits
        self._names = rendered.names if rendered is not None else {}
        self._custom = rendered.custom if rendered is not None else frozenset[str]()
        self._started = False
        self._over = False
        self._called = False
        self._stop: Json | None = None
        self._open = ""  # the kind of the open block
        self._index: int | None = None
        self._state: tuple[str, str] | None = None  # the open thought's signature and its kind
        self._pieces: list[str] | None = None  # of a free-text tool's JSON

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._over:
            return []
        try:
            name, data = _event(frame)
            return self.read(name, data)
        except GatewayError as failure:
            return self._fail(failure.error)

    def read(self, name: str, data: Json) -> list[Event]:
        """The events of one event of the wire. Raises GatewayError."""
        match name:
            case "contentBlockDelta":
                return self._start() + self._delta(data)
            case "contentBlockStart":
                return self._start() + self._begin(data)
            case "contentBlockStop":
                return self._end_block()
            case "messageStart":
                return self._start()
            case "messageStop":
                self._stop = data
                return self._start() + self._end_block()
            case "metadata":
                return self._end(data)
            case _ if name.lower().endswith("exception") or name == "error":
                return self._fail(error_in(name, data))
            case _:
                return []

    def close(self) -> list[Event]:
        """What is still owed at the end of the bytes: End, or Failed for a cut stream."""
        if self._over:
            return []
        if self._stop is None:
            return self._fail(Error(kind="upstream_error", message=_CUT))
        return self._end({})

    # --- the answer --------------------------------------------------------------------

    def _start(self) -> list[Event]:
        if self._started:
            return []
        self._started = True
        return [Start()]

    def _end(self, data: Json) -> list[Event]:
        """The last events; the counts may come before the reason where a server is hasty."""
        events: list[Event] = []
        usage = usage_in(data.get("usage"))
        if usage is not None:
            events = [*self._start(), *self._end_block(), UsageUpdate(usage)]
        if self._stop is None:
            return events
        self._over = True
        word, more = self._stop.get("stopReason"), self._stop.get("additionalModelResponseFields")
        events += self._end_block()
        return [*events, End(finish_in(word, more, called=self._called))]

    def _fail(self, error: Error) -> list[Event]:
        self._over = True
        return [Failed(error)]

    # --- blocks ------------------------------------------------------------------------

    def _begin(self, data: Json) -> list[Event]:
        start = data.get("start")
        if not isinstance(start, dict):
            raise bad_upstream("the upstream began a content block that is no object")
        events = self._end_block()
        self._index = _index(data)
        call = start.get("toolUse")
        if isinstance(call, dict) and call.get("type") in (None, "tool_use"):
            return [*events, self._call(call)]
        if not start:
            return events
        self._open = "native"
        return [*events, BlockStart(kind="native", dialect=NAME, native=start)]

    def _call(self, call: Json) -> Event:
        self._called = True
        self._open = "tool_call"
        sent = _text(call.get("name"))
        custom = sent in self._custom
        self._pieces = [] if custom else None
        name = self._names.get(sent, sent)
        id_ = _text(call.get("toolUseId"))
        return BlockStart(kind="tool_call", id=id_, name=name, custom=custom)

    def _delta(self, data: Json) -> list[Event]:
        delta = data.get("delta")
        if not isinstance(delta, dict):
            raise bad_upstream("the upstream sent a delta that is no object")
        place = _index(data)
        if "toolUse" in delta:
            if self._open == "native":
                return []
            if self._open != "tool_call":
                raise bad_upstream("the upstream sent a tool's input without the tool's block")
            return self._input(delta["toolUse"])
        if "reasoningContent" in delta:
            return self._thought(delta["reasoningContent"], place)
        if "citation" in delta:
            cited = citation_in(delta["citation"])
            events = self._within("text", place)
            return [*events, Cited(cited)] if cited is not None else events
        if "text" in delta:
            words = delta["text"]
            if not isinstance(words, str):
                raise bad_upstream("the upstream sent a delta whose text is no string")
            return [*self._within("text", place), Delta(words)] if words else []
        return []

    def _input(self, told: Any) -> list[Event]:
        """More of a call's input: a piece of JSON, or all of it as an object."""
        held = told.get("input") if isinstance(told, dict) else None
        if isinstance(held, dict):
            held = msgspec.json.encode(held).decode() if held else ""
        if not isinstance(held, str):
            return []
        if self._pieces is not None:
            self._pieces.append(held)
            return []
        return [Delta(held)] if held else []

    def _thought(self, told: Any, place: int | None) -> list[Event]:
        if not isinstance(told, dict):
            raise bad_upstream("the upstream sent a thought that is no object")
        hidden = told.get("redactedContent")
        events = self._within("reasoning", place, redacted=hidden is not None)
        if isinstance(hidden, str):
            before = self._state[0] if self._state else ""
            self._state = (before + hidden, "redacted")
        if isinstance(told.get("signature"), str):
            self._state = (told["signature"], "signature")
        words = _text(told.get("text"))
        return [*events, Delta(words)] if words else events

    def _within(self, kind: Any, place: int | None, *, redacted: bool = False) -> list[Event]:
        """What opens a block of this kind, unless it is the one that is open."""
        if self._open == kind and place == self._index:
            return []
        events = self._end_block()
        self._open, self._index = kind, place
        return [*events, BlockStart(kind=kind, redacted=redacted)]

    def _end_block(self) -> list[Event]:
        if not self._open:
            return []
        events: list[Event] = []
        if self._open == "reasoning":
            value, kind = self._state or ("", "signature")
            made = Signature(
                provider=self._traits.kind, model=self._traits.model, kind=kind, value=value
            )
            events.append(Signed(made))
        elif self._pieces is not None:
            words = _free_text("".join(self._pieces))
            events += [Delta(words)] if words else []
        self._open, self._index, self._state, self._pieces = "", None, None, None
        return [*events, BlockEnd()]


def _event(frame: Frame) -> tuple[str, Json]:
    """The name of an event and its fields. Raises GatewayError for what is none."""
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


def _index(data: Json) -> int | None:
    value = data.get("contentBlockIndex")
    return value if type(value) is int else None


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
