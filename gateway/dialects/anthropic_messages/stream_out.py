"""Canonical events -> the bytes of a client's stream.

    message_start (content_block_start delta* content_block_stop)* message_delta message_stop

It only prints: order is the parser's business. A client stops reading at a block
event out of order, so indexes count what was printed, not what came.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, approximated
from gateway.canon.arguments import parsed
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
from gateway.canon.fold import newer
from gateway.canon.request import Signature
from gateway.canon.response import Finish, Usage
from gateway.canon.signature import hidden, wrap
from gateway.dialects.anthropic_messages.citations import citation_out
from gateway.dialects.anthropic_messages.errors import error_body
from gateway.dialects.anthropic_messages.finish import finish_out, malformed
from gateway.dialects.anthropic_messages.names import NAME, Json
from gateway.dialects.anthropic_messages.response import call_id, no_block, no_slot, no_url
from gateway.dialects.anthropic_messages.usage import usage_out
from gateway.dialects.base import Exchange

_encode = msgspec.json.Encoder().encode
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_NO_BLOCK = BlockStart(kind="text")


class MessagesStreamRenderer:
    """Prints one stream. `report` grows as things come that can not be said."""

    def __init__(self, exchange: Exchange) -> None:
        self.report: list[Adaptation] = []
        self._exchange = exchange
        self._usage: Usage | None = None
        self._block = _NO_BLOCK
        self._index = 0
        self._text = b""
        self._words: list[str] = []
        self._signature: Signature | None = None
        self._thought = ""  # what the last thought was signed by
        self._printed = False
        self._refused = False
        self._over = False

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints; nothing after End or Failed."""
        if type(event) is Delta and self._text:
            return self._text + _encode(event.text) + b"}}\n\n"
        if self._over:
            return b""
        match event:
            case Delta():
                return self._special_delta(event.text)
            case BlockStart():
                return self._open(event)
            case BlockEnd():
                return self._close()
            case Start():
                return self._start(event)
            case UsageUpdate():
                self._usage = newer(self._usage, event.usage)
                return b""
            case Signed():
                self._signature = event.signature
                return b""
            case Cited():
                return self._cited(event)
            case NativeDelta():
                return self._delta(event.data) if self._printed else b""
            case End():
                return self._end(event.finish)
            case Failed():
                return self._fail(event.error)
            case _:
                assert_never(event)

    def _start(self, start: Start) -> bytes:
        self._usage = start.usage
        message: Json = {
            "id": f"msg_{self._exchange.id}",
            "type": "message",
            "role": "assistant",
            "model": self._exchange.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_out(start.usage),
            **start.extra.get(NAME, {}),
        }
        return _named("message_start", {"message": message})

    # --- blocks ------------------------------------------------------------------------

    def _open(self, block: BlockStart) -> bytes:
        self._block, self._signature, self._words = block, None, []
        self._text, self._printed = b"", True
        match block.kind:
            case "text" | "refusal":
                self._refused = self._refused or block.kind == "refusal"
                self._text = _prefix(self._index, "text_delta", "text")
                return self._begin({"type": "text", "text": ""})
            case "reasoning":
                if block.redacted:
                    return b""
                if self._exchange.thinking != "none":
                    self._text = _prefix(self._index, "thinking_delta", "thinking")
                return self._begin({"type": "thinking", "thinking": "", "signature": ""})
            case "tool_call":
                return self._begin(
                    {"type": "tool_use", "id": call_id(block.id), "name": block.name, "input": {}}
                )
            case "native":
                return self._open_native(block)
            case _:
                assert_never(block.kind)

    def _open_native(self, block: BlockStart) -> bytes:
        if block.dialect == NAME:
            return self._begin(block.native)
        self._printed = False
        self.report.append(no_block(f"content[{self._index}]", block.native))
        return b""

    def _begin(self, block: Json) -> bytes:
        return _named("content_block_start", {"index": self._index, "content_block": block})

    def _delta(self, delta: Json) -> bytes:
        return _DELTA % self._index + _encode(delta) + b"}\n\n"

    def _special_delta(self, text: str) -> bytes:
        """More of a block whose words do not go out as they come."""
        self._words.append(text)
        if self._block.kind != "tool_call":
            return b""  # a thought that is not to be shown
        if self._is_no_object():
            return b""
        if self._block.custom:
            escaped = _encode(text)[1:-1].decode()
            text = escaped if len(self._words) > 1 else '{"input":"' + escaped
        return self._json_delta(text)

    def _is_no_object(self) -> bool:
        """Whether the arguments so far can not become a JSON object: they wait for their end."""
        return not self._block.custom and not self._words[0].lstrip().startswith("{")

    def _json_delta(self, text: str) -> bytes:
        return self._delta({"type": "input_json_delta", "partial_json": text})

    def _cited(self, event: Cited) -> bytes:
        block = citation_out(event.citation)
        if block is None:
            self.report.append(no_url(f"content[{self._index}]"))
            return b""
        return self._delta({"type": "citations_delta", "citation": block})

    def _close(self) -> bytes:
        if not self._printed:
            return b""
        block, out = self._block, b""
        if block.kind == "reasoning":
            out = self._close_thought()
        elif block.kind == "tool_call":
            out = self._close_call()
        out += _STOP % self._index
        self._text, self._printed, self._block = b"", False, _NO_BLOCK
        self._index += 1
        return out

    def _close_thought(self) -> bytes:
        self._thought = self._signature.value if self._signature is not None else ""
        token = wrap(hidden("".join(self._words), self._signature or Signature(kind="text")))
        if self._block.redacted:
            return self._begin({"type": "redacted_thinking", "data": token})
        return self._delta({"type": "signature_delta", "signature": token})

    def _close_call(self) -> bytes:
        at = f"content[{self._index}]"
        if self._signature is not None and self._signature.value != self._thought:
            self.report.append(no_slot(at))
        if self._block.custom:
            return self._json_delta('"}' if self._words else '{"input":""}')
        if not self._words:
            return self._json_delta("{}")
        arguments, raw = parsed("".join(self._words))
        if self._is_no_object():
            if raw is not None:
                arguments = {"_raw": raw}
                self.report.append(approximated(at, "the arguments are no JSON object; as `_raw`"))
            return self._json_delta(_encode(arguments).decode())
        if arguments is None:
            self.report.append(approximated(at, "the arguments are no JSON object; as they came"))
        return b""

    # --- the end -----------------------------------------------------------------------

    def _end(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail(malformed(finish))
        self._over = True
        delta = finish_out(finish, refused=self._refused)
        return _named("message_delta", {"delta": delta, "usage": usage_out(self._usage)}) + _END

    def _fail(self, error: Error) -> bytes:
        self._over, self._text = True, b""
        return b"event: error\ndata: " + _encode(error_body(error)) + b"\n\n"


def _named(name: str, data: Json) -> bytes:
    head = f"event: {name}\ndata: ".encode()
    return head + _encode({"type": name, **data}) + b"\n\n"


def _prefix(index: int, kind: str, field: str) -> bytes:
    """All of a delta event up to its words."""
    return _DELTA % index + f'{{"type":"{kind}","{field}":'.encode()
