"""A whole canonical answer -> a client's object, of a chat or of a bare prompt."""

from __future__ import annotations

from typing import assert_never

from gateway.canon.adaptation import Adaptation, dropped
from gateway.canon.arguments import written
from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockStart
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.response import Response
from gateway.dialects.base import Exchange
from gateway.dialects.ollama.finish import malformed
from gateway.dialects.ollama.names import GENERATE, Json, created_at
from gateway.dialects.ollama.stream_out import call_shown, note, shown_finish
from gateway.dialects.ollama.usage import usage_out
from gateway.dialects.openai_logprobs import tokens_of


class _Message:
    """The message as its parts are read."""

    def __init__(self) -> None:
        self.text = ""
        self.thoughts = ""
        self.calls: list[Json] = []
        self.report: list[Adaptation] = []


def render_response(response: Response, exchange: Exchange) -> tuple[Json, tuple[Adaptation, ...]]:
    """The answer's JSON and what it could not say. Raises GatewayError for a garbled one."""
    finish = response.finish
    if finish.reason == "malformed":
        raise GatewayError(malformed(finish))
    read = _Message()
    for part in response.parts:
        _read(read, part)
    if not read.text and finish.reason in {"filter", "refusal"}:
        read.text = finish.explanation or ""
    body: Json = {
        "model": exchange.model,
        "created_at": created_at(exchange.created),
        **_said(read, exchange),
        "done": True,
        "done_reason": shown_finish(finish, read.report),
        **usage_out(response.usage),
    }
    if tokens := tokens_of(response):
        body["logprobs"] = tokens
    return body, tuple(read.report)


def idle(body: Json, exchange: Exchange) -> Json:
    """The answer to a request that asks for nothing: the model is there, or let go."""
    reason = "unload" if body.get("keep_alive") in {0, "0", "0s"} else "load"
    return {
        "model": exchange.model,
        "created_at": created_at(exchange.created),
        **_said(_Message(), exchange),
        "done": True,
        "done_reason": reason,
    }


def _said(read: _Message, exchange: Exchange) -> Json:
    shown: Json = {}
    if read.thoughts and exchange.thinking != "none":
        shown["thinking"] = read.thoughts
    if read.calls:
        shown["tool_calls"] = read.calls
    if exchange.endpoint == GENERATE:
        return {"response": read.text, **shown}
    return {"message": {"role": "assistant", "content": read.text, **shown}}


def _read(read: _Message, part: Part) -> None:
    match part:
        case Text():
            read.text += part.text
            if part.citations:
                note(read.report, dropped("citations", "no equivalent in Ollama"))
        case Refusal():
            read.text += part.text
        case Reasoning():
            read.thoughts += part.text
        case ToolCall():
            block = BlockStart(kind="tool_call", id=part.id, name=part.name, custom=part.custom)
            words = part.raw or "" if part.custom else written(part)
            read.calls.append(call_shown(block, words, len(read.calls), read.report))
        case Native():
            kind = part.data.get("type", "unknown")
            note(read.report, dropped(f"content.{kind}", "no equivalent in Ollama"))
        case Image() | Document() | Audio() | ToolResult():
            kind = type(part).__name__.lower()
            note(read.report, dropped(f"content.{kind}", "no equivalent in an Ollama answer"))
        case _:
            assert_never(part)
