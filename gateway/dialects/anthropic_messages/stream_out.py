"""Canonical events -> the bytes of a client's stream.

    message_start (content_block_start delta* content_block_stop)* message_delta message_stop

The parser guarantees the order of events. Clients stop reading at a block event out of
order, so indexes count the blocks that were sent.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, approximated
from gateway.canon.arguments import parse_arguments
from gateway.canon.errors import Error
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
from gateway.canon.request import Signature
from gateway.canon.response import Finish, Usage, merge_usage
from gateway.canon.signature import hide_reasoning_text, wrap_signature
from gateway.dialects.anthropic_messages.citations import render_citation
from gateway.dialects.anthropic_messages.errors import render_error_body
from gateway.dialects.anthropic_messages.finish import malformed_output_error, render_finish
from gateway.dialects.anthropic_messages.names import NAME, Json
from gateway.dialects.anthropic_messages.response import (
    citation_without_url,
    dropped_call_signature,
    render_call_id,
    unsupported_part,
)
from gateway.dialects.anthropic_messages.usage import render_usage
from gateway.dialects.anthropic_messages.web_searches import render_search_blocks
from gateway.dialects.base import ResponseContext

_encode = msgspec.json.Encoder().encode
_DELTA_EVENT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
)
_BLOCK_STOP_EVENT = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_MESSAGE_STOP_EVENT = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_NO_BLOCK = BlockStart(kind="text")


class MessagesStreamRenderer:
    """Renders one stream; `report` collects what it cannot express."""

    def __init__(self, context: ResponseContext) -> None:
        self.report: list[Adaptation] = []
        self._context = context
        self._usage: Usage | None = None
        self._block = _NO_BLOCK
        self._index = 0
        self._text_delta_prefix = b""
        self._fragments: list[str] = []
        self._signature: Signature | None = None
        self._last_reasoning_signature = ""  # the signature of the last reasoning block
        self._block_started = False
        self._has_refusal = False
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints; nothing after End or Failed."""
        if type(event) is Delta and self._text_delta_prefix:
            return self._text_delta_prefix + _encode(event.text) + b"}}\n\n"
        if self._ended:
            return b""
        match event:
            case Delta():
                return self._buffer_delta(event.text)
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case Start():
                return self._start_message(event)
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case SignatureDelta():
                self._signature = event.signature
                return b""
            case CitationDelta():
                return self._render_citation_delta(event)
            case NativeDelta():
                return self._render_delta(event.data) if self._block_started else b""
            case End():
                return self._end_message(event.finish)
            case Failed():
                return self._fail(event.error)
            case _:
                assert_never(event)

    def _start_message(self, start: Start) -> bytes:
        self._usage = start.usage
        message: Json = {
            "id": f"msg_{self._context.id}",
            "type": "message",
            "role": "assistant",
            "model": self._context.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._early_usage(start),
            **start.extra.get(NAME, {}),
        }
        return _render_event("message_start", {"message": message})

    def _early_usage(self, start: Start) -> Json:
        """The prompt tokens known so far; the last event has the final count."""
        usage, estimate = start.usage, self._context.prompt_tokens_estimate
        if estimate is None or (usage is not None and usage.prompt_tokens is not None):
            return render_usage(usage)
        return {**render_usage(usage), "input_tokens": start.prompt_tokens or estimate}

    # --- blocks ------------------------------------------------------------------------

    def _open_block(self, block: BlockStart) -> bytes:
        self._block, self._signature, self._fragments = block, None, []
        self._text_delta_prefix, self._block_started = b"", True
        match block.kind:
            case "text" | "refusal":
                self._has_refusal = self._has_refusal or block.kind == "refusal"
                self._text_delta_prefix = _render_delta_prefix(self._index, "text_delta", "text")
                return self._render_block_start({"type": "text", "text": ""})
            case "reasoning":
                if block.redacted:
                    return b""
                if self._context.reasoning_display != "none":
                    self._text_delta_prefix = _render_delta_prefix(
                        self._index, "thinking_delta", "thinking"
                    )
                return self._render_block_start(
                    {"type": "thinking", "thinking": "", "signature": ""}
                )
            case "tool_call":
                return self._render_block_start(
                    {
                        "type": "tool_use",
                        "id": render_call_id(block.id),
                        "name": block.name,
                        "input": {},
                    }
                )
            case "native":
                return self._open_native_block(block)
            case _:
                assert_never(block.kind)

    def _open_native_block(self, block: BlockStart) -> bytes:
        if block.dialect == NAME:
            return self._render_block_start(block.native)
        self._block_started = False
        blocks = render_search_blocks(block.native)
        if not blocks:
            self.report.append(unsupported_part(f"content[{self._index}]", block.native))
        return b"".join(self._render_complete_block(item) for item in blocks)

    def _render_complete_block(self, block: Json) -> bytes:
        """A block of its own, from its start to its end; input comes as a delta."""
        block_input = block.get("input")
        out = self._render_block_start(block if block_input is None else {**block, "input": {}})
        if block_input is not None:
            out += self._render_json_delta(_encode(block_input).decode())
        out += _BLOCK_STOP_EVENT % self._index
        self._index += 1
        return out

    def _render_block_start(self, block: Json) -> bytes:
        return _render_event("content_block_start", {"index": self._index, "content_block": block})

    def _render_delta(self, delta: Json) -> bytes:
        return _DELTA_EVENT % self._index + _encode(delta) + b"}\n\n"

    def _buffer_delta(self, fragment: str) -> bytes:
        """Buffers a delta that is not sent as it arrives."""
        self._fragments.append(fragment)
        if self._block.kind != "tool_call":
            return b""  # reasoning that is hidden from the client
        if self._is_not_json_object():
            return b""
        if self._block.custom:
            escaped = _encode(fragment)[1:-1].decode()
            fragment = escaped if len(self._fragments) > 1 else '{"input":"' + escaped
        return self._render_json_delta(fragment)

    def _is_not_json_object(self) -> bool:
        """Whether the arguments so far cannot become a JSON object: they wait for their end."""
        return not self._block.custom and not self._fragments[0].lstrip().startswith("{")

    def _render_json_delta(self, text: str) -> bytes:
        return self._render_delta({"type": "input_json_delta", "partial_json": text})

    def _render_citation_delta(self, event: CitationDelta) -> bytes:
        block = render_citation(event.citation)
        if block is None:
            self.report.append(citation_without_url(f"content[{self._index}]"))
            return b""
        return self._render_delta({"type": "citations_delta", "citation": block})

    def _close_block(self) -> bytes:
        if not self._block_started:
            return b""
        block, out = self._block, b""
        if block.kind == "reasoning":
            out = self._close_reasoning()
        elif block.kind == "tool_call":
            out = self._close_call()
        out += _BLOCK_STOP_EVENT % self._index
        self._text_delta_prefix, self._block_started, self._block = b"", False, _NO_BLOCK
        self._index += 1
        return out

    def _close_reasoning(self) -> bytes:
        self._last_reasoning_signature = (
            self._signature.value if self._signature is not None else ""
        )
        token = wrap_signature(
            hide_reasoning_text("".join(self._fragments), self._signature or Signature(kind="text"))
        )
        if self._block.redacted:
            return self._render_block_start({"type": "redacted_thinking", "data": token})
        return self._render_delta({"type": "signature_delta", "signature": token})

    def _close_call(self) -> bytes:
        path = f"content[{self._index}]"
        if self._signature is not None and self._signature.value != self._last_reasoning_signature:
            self.report.append(dropped_call_signature(path))
        if self._block.custom:
            return self._render_json_delta('"}' if self._fragments else '{"input":""}')
        if not self._fragments:
            return self._render_json_delta("{}")
        arguments, raw = parse_arguments("".join(self._fragments))
        if self._is_not_json_object():
            if raw is not None:
                arguments = {"_raw": raw}
                self.report.append(
                    approximated(path, "the arguments are no JSON object; as `_raw`")
                )
            return self._render_json_delta(_encode(arguments).decode())
        if arguments is None:
            self.report.append(approximated(path, "the arguments are no JSON object; as they came"))
        return b""

    # --- the end -----------------------------------------------------------------------

    def _end_message(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail(malformed_output_error(finish))
        self._ended = True
        delta = render_finish(finish, has_refusal=self._has_refusal)
        return (
            _render_event("message_delta", {"delta": delta, "usage": render_usage(self._usage)})
            + _MESSAGE_STOP_EVENT
        )

    def _fail(self, error: Error) -> bytes:
        self._ended, self._text_delta_prefix = True, b""
        return b"event: error\ndata: " + _encode(render_error_body(error)) + b"\n\n"


def _render_event(name: str, data: Json) -> bytes:
    head = f"event: {name}\ndata: ".encode()
    return head + _encode({"type": name, **data}) + b"\n\n"


def _render_delta_prefix(index: int, kind: str, field: str) -> bytes:
    """The beginning of a delta event, up to its text."""
    return _DELTA_EVENT % index + f'{{"type":"{kind}","{field}":'.encode()
