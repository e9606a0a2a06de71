"""Canonical events -> a client's lines, of a chat or of a bare prompt.

Calls go out in one piece when they are whole. An error is the last line.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, approximated, dropped
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
from gateway.canon.response import Finish, Usage
from gateway.dialects.base import Exchange
from gateway.dialects.ollama.errors import error_body
from gateway.dialects.ollama.finish import finish_out, malformed
from gateway.dialects.ollama.names import GENERATE, Json, created_at
from gateway.dialects.ollama.usage import usage_out
from gateway.framing.ndjson import encode

_encode = msgspec.json.encode


def call_shown(block: BlockStart, words: str, index: int, report: list[Adaptation]) -> Json:
    """A call as a client sees it; arguments that are no object are text inside one."""
    arguments, raw = ({"input": words}, None) if block.custom else parsed(words)
    if arguments is None:
        arguments = {"_raw": raw}
        why = "the arguments are no JSON object: shown as text inside one"
        note(report, approximated(f"message.tool_calls[{index}]", why))
    function = {"index": index, "name": block.name, "arguments": arguments}
    return {"id": block.id, "function": function}


def note(report: list[Adaptation], item: Adaptation) -> None:
    """Report a loss once."""
    if item not in report:
        report.append(item)


def shown_finish(finish: Finish, report: list[Adaptation]) -> str:
    """The `done_reason`; what it can not say is reported."""
    if finish.reason in {"pause", "filter", "refusal"}:
        why = f"Ollama has no word for {finish.reason}: shown as stopped"
        note(report, approximated("done_reason", why))
    return finish_out(finish)


class OllamaStreamRenderer:
    """Prints one answer as lines."""

    def __init__(self, exchange: Exchange) -> None:
        self.report: list[Adaptation] = []
        self._bare = exchange.endpoint == GENERATE
        self._hidden = exchange.thinking == "none"
        self._head: Json = {
            "model": exchange.model,
            "created_at": created_at(exchange.created),
        }
        self._usage: Usage | None = None
        self._block = BlockStart(kind="text")
        self._words: list[str] = []
        self._calls = 0
        self._spoke = False
        self._over = False

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints."""
        if self._over:
            return b""
        match event:
            case Delta():
                return self._delta(event.text)
            case BlockStart():
                return self._open(event)
            case BlockEnd():
                return self._close()
            case Start():
                self._usage = event.usage
                return b""
            case UsageUpdate():
                self._usage = newer(self._usage, event.usage)
                return b""
            case Cited():
                note(self.report, dropped("citations", "no equivalent in Ollama"))
                return b""
            case Signed() | NativeDelta():
                return b""
            case End():
                return self._end(event.finish)
            case Failed():
                return self._fail(event.error)
            case _:
                assert_never(event)

    def _line(self, **said: object) -> bytes:
        """One line that says this much more."""
        if self._bare:
            fields = {"response": said.pop("content", ""), **said}
        else:
            fields = {"message": {"role": "assistant", "content": "", **said}}
        return encode(_encode({**self._head, **fields, "done": False}))

    def _delta(self, text: str) -> bytes:
        match self._block.kind:
            case "text" | "refusal":
                self._spoke = True
                return self._line(content=text)
            case "reasoning":
                return b"" if self._hidden else self._line(thinking=text)
            case "tool_call":
                self._words.append(text)
                return b""
            case _:
                return b""

    def _open(self, block: BlockStart) -> bytes:
        self._block, self._words = block, []
        if block.kind == "native":
            kind = block.native.get("type", "unknown")
            note(self.report, dropped(f"content.{kind}", "no equivalent in Ollama"))
        return b""

    def _close(self) -> bytes:
        if self._block.kind != "tool_call":
            return b""
        call = call_shown(self._block, "".join(self._words), self._calls, self.report)
        self._calls += 1
        return self._line(tool_calls=[call])

    def _end(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail(malformed(finish))
        out = b""
        if finish.explanation and not self._spoke and finish.reason in {"filter", "refusal"}:
            out = self._line(content=finish.explanation)
        self._over = True
        message = {"role": "assistant", "content": ""}
        last = {
            **self._head,
            **({"response": ""} if self._bare else {"message": message}),
            "done": True,
            "done_reason": shown_finish(finish, self.report),
            **usage_out(self._usage),
        }
        return out + encode(_encode(last))

    def _fail(self, error: Error) -> bytes:
        self._over = True
        return encode(_encode(error_body(error)))
