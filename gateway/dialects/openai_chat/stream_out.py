"""Canonical events -> a client's Chat stream.

All chunks of an answer begin with the same bytes; they are made once. An error is
the last event and no `[DONE]` follows it, or clients would take it for success.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.errors import Error
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    Cited,
    Delta,
    End,
    Event,
    Failed,
    NativeDelta,
    Signed,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import newer, unfold
from gateway.canon.request import Citation
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects.base import Exchange
from gateway.dialects.openai_chat.calls import shown_signature
from gateway.dialects.openai_chat.citations import citation_out
from gateway.dialects.openai_chat.finish import finish_out
from gateway.dialects.openai_chat.parts import NAME
from gateway.dialects.openai_chat.reasoning import DETAILS, detail_out
from gateway.dialects.openai_chat.usage import render_usage
from gateway.dialects.openai_errors import error_body

Json = dict[str, Any]
_encode = msgspec.json.encode
_GOES_ON = b',"finish_reason":null}]}\n\n'
_DONE = b"data: [DONE]\n\n"


def reasoning_fields(exchange: Exchange) -> tuple[str, ...]:
    """The fields that show reasoning to this client; none where it is hidden."""
    if exchange.thinking == "none" or exchange.reasoning_field == "none":
        return ()
    if exchange.reasoning_field == "both":
        return ("reasoning_content", "reasoning")
    if exchange.reasoning_field == DETAILS:
        return ("reasoning",)
    return (exchange.reasoning_field,)


class ChatStreamRenderer:
    """Prints one answer as chunks."""

    def __init__(self, exchange: Exchange, index: int = 0) -> None:
        self.report: list[Adaptation] = []
        self._exchange = exchange
        head = {
            "id": f"chatcmpl-{exchange.id}",
            "object": "chat.completion.chunk",
            "created": exchange.created,
            "model": exchange.model,
        }
        self._head = b"data: " + _encode(head)[:-1]
        self._prefix = self._head + b',"choices":[{"index":%d,"delta":' % index
        self._text = self._prefix + b'{"content":'
        self._include_usage = exchange.include_usage
        self._reasoning = reasoning_fields(exchange)
        self._details = exchange.reasoning_field == DETAILS and bool(self._reasoning)
        self._thought: list[str] = []
        self._told = 0
        self._usage: Usage | None = None
        self._block = BlockStart(kind="text")
        self._calls = 0
        self._empty = True
        self._refused = False
        self._length = 0
        self._begun_at = 0
        self._cited: list[Citation] = []
        self._over = False

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints."""
        if self._over:
            return b""
        if type(event) is Delta:
            return self._delta(event.text)
        match event:
            case Start():
                self._usage = event.usage
                return self._chunk({"role": "assistant", "content": ""})
            case BlockStart():
                return self._open(event)
            case BlockEnd():
                return self._close()
            case UsageUpdate():
                self._usage = newer(self._usage, event.usage)
                return b""
            case Cited():
                self._cited.append(event.citation)
                return b""
            case Signed():
                return self._signed(event)
            case NativeDelta():
                return self._native(event.data)
            case End():
                return self._end(event)
            case Failed():
                return self._fail(event.error)
            case Delta():
                return self._delta(event.text)
            case _:
                assert_never(event)

    def _chunk(self, delta: Json) -> bytes:
        return self._prefix + _encode(delta) + _GOES_ON

    def _delta(self, text: str) -> bytes:
        kind = self._block.kind
        if kind == "text":
            self._length += len(text)
            return self._text + _encode(text) + b"}" + _GOES_ON
        if kind == "tool_call":
            self._empty = False
            return self._call_piece(text)
        if kind == "refusal":
            return self._refusal(text)
        if kind == "reasoning" and self._reasoning:
            self._thought.append(text)
            return self._chunk(dict.fromkeys(self._reasoning, text))
        return b""

    def _open(self, block: BlockStart) -> bytes:
        self._block = block
        self._begun_at = self._length
        if block.kind == "native":
            return self._native(block.native)
        if block.kind != "tool_call":
            return b""
        self._calls += 1
        self._empty = True
        call: Json = {"index": self._calls - 1, "id": block.id}
        if block.custom:
            call |= {"type": "custom", "custom": {"name": block.name, "input": ""}}
        else:
            call |= {
                "type": "function",
                "function": {"name": block.name, "arguments": ""},
            }
        return self._chunk({"tool_calls": [call]})

    def _call_piece(self, text: str) -> bytes:
        inner = (
            {"custom": {"input": text}} if self._block.custom else {"function": {"arguments": text}}
        )
        return self._chunk({"tool_calls": [{"index": self._calls - 1, **inner}]})

    def _close(self) -> bytes:
        block = self._block
        if block.kind == "tool_call" and self._empty and not block.custom:
            return self._call_piece("{}")
        if block.kind == "text" and self._cited:
            return self._annotations()
        return b""

    def _annotations(self) -> bytes:
        """The sources of the block, whose extent is known only now."""
        cited, self._cited = self._cited, []
        shown = [citation_out(citation, self._begun_at, self._length) for citation in cited]
        annotations = [item for item in shown if item is not None]
        if len(annotations) < len(shown):
            self._note(dropped("citations", "a source without a URL has no place in OpenAI Chat"))
        return self._chunk({"annotations": annotations}) if annotations else b""

    def _signed(self, event: Signed) -> bytes:
        """A call's state travels with it; a thought's where the route shows details."""
        if self._block.kind != "tool_call":
            if not self._details:
                return b""
            words, self._thought = "".join(self._thought), []
            detail = detail_out(words, event.signature, self._told, redacted=self._block.redacted)
            self._told += 1
            return self._chunk({DETAILS: [detail]})
        # The openai SDK's stream helper fails on a delta of a call without its content.
        inner = {"custom": {"input": ""}} if self._block.custom else {"function": {"arguments": ""}}
        slot = {
            "index": self._calls - 1,
            **inner,
            "extra_content": shown_signature(event.signature),
        }
        return self._chunk({"tool_calls": [slot]})

    def _native(self, data: Json) -> bytes:
        if self._block.dialect != NAME:
            kind = self._block.native.get("type", "unknown")
            self._note(dropped(f"content.{kind}", "no equivalent in OpenAI Chat"))
            return b""
        field = self._block.native.get("type", "")
        rest = {key: value for key, value in data.items() if key != "type"}
        if not rest:
            return b""
        return self._chunk(rest if field == "images" else {field: rest})

    def _refusal(self, text: str) -> bytes:
        self._refused = True
        return self._chunk({"refusal": text})

    def _end(self, event: End) -> bytes:
        if event.finish.reason == "malformed":
            return self._fail(malformed(event.finish))
        out = self._finished(event.finish)
        for index, other in enumerate(event.others, 1):
            out += self._other(other, index)
        usage = render_usage(self._usage) if self._include_usage else None
        if usage is not None:
            out += self._head + b',"choices":[],"usage":' + _encode(usage) + b"}\n\n"
        self._over = True
        return out + _DONE

    def _other(self, other: Response, index: int) -> bytes:
        """Another answer, in one go: they are complete together."""
        renderer = ChatStreamRenderer(self._exchange, index)
        events = unfold(other)
        out = b"".join(renderer.feed(event) for event in events[:-1])
        self.report += [item for item in renderer.report if item not in self.report]
        return out + renderer._finished(other.finish)

    def _finished(self, finish: Finish) -> bytes:
        """The last chunk of a choice."""
        if finish.reason == "pause":
            self._note(approximated("finish_reason", "a paused turn is shown as stopped"))
        out = b""
        refused = self._refused
        if not refused and finish.explanation and finish.reason in {"filter", "refusal"}:
            out = self._refusal(finish.explanation)
        word = _encode(finish_out(finish, refused=refused))
        return out + self._prefix + b'{},"finish_reason":' + word + b"}]}\n\n"

    def _fail(self, error: Error) -> bytes:
        self._over = True
        return b"data: " + _encode(error_body(error)) + b"\n\n"

    def _note(self, item: Adaptation) -> None:
        if item not in self.report:
            self.report.append(item)


def malformed(finish: Finish) -> Error:
    """The error that stands for an answer which the model garbled."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)
