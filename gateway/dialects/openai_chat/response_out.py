"""A whole canonical answer -> a client's chat completion."""

from __future__ import annotations

from typing import Any, assert_never

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.arguments import written
from gateway.canon.errors import GatewayError
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
from gateway.dialects.openai_chat.calls import shown_signature
from gateway.dialects.openai_chat.citations import citation_out
from gateway.dialects.openai_chat.finish import finish_out
from gateway.dialects.openai_chat.parts import NAME
from gateway.dialects.openai_chat.reasoning import DETAILS, detail_out
from gateway.dialects.openai_chat.stream_out import malformed, reasoning_fields
from gateway.dialects.openai_chat.usage import render_usage
from gateway.dialects.openai_logprobs import tokens_of

Json = dict[str, Any]


class _Message:
    """The message as its parts are read; what is lost goes into the report."""

    def __init__(self, report: list[Adaptation]) -> None:
        self.text: str | None = None
        self.refusal: str | None = None
        self.thoughts = ""
        self.details: list[Json] = []
        self.calls: list[Json] = []
        self.annotations: list[Json] = []
        self.media: Json = {}
        self.report = report

    def note(self, item: Adaptation) -> None:
        """Report a loss once."""
        if item not in self.report:
            self.report.append(item)


def render_response(response: Response, exchange: Exchange) -> tuple[Json, tuple[Adaptation, ...]]:
    """The answer's JSON and what it could not say. Raises GatewayError for a garbled one."""
    if response.finish.reason == "malformed":
        raise GatewayError(malformed(response.finish))
    report: list[Adaptation] = []
    answers = (response, *response.others)
    body: Json = {
        "id": f"chatcmpl-{exchange.id}",
        "object": "chat.completion",
        "created": exchange.created,
        "model": exchange.model,
        "choices": [_choice(answer, i, exchange, report) for i, answer in enumerate(answers)],
    }
    if (usage := render_usage(response.usage)) is not None:
        body["usage"] = usage
    if response.service_tier is not None:
        body["service_tier"] = response.service_tier
    extra = response.extra.get(NAME, {})
    if "system_fingerprint" in extra:
        body["system_fingerprint"] = extra["system_fingerprint"]
    return body, tuple(report)


def _choice(response: Response, index: int, exchange: Exchange, report: list[Adaptation]) -> Json:
    finish, tokens = response.finish, tokens_of(response)
    read = _Message(report)
    for part in response.parts:
        _read(read, part)
    if finish.reason == "pause":
        read.note(approximated("finish_reason", "a paused turn is shown as stopped"))
    refused = read.refusal is not None
    if not refused and finish.reason in {"filter", "refusal"}:
        read.refusal = finish.explanation
    return {
        "index": index,
        "message": _message(read, exchange),
        "logprobs": {"content": tokens, "refusal": None} if tokens else None,
        "finish_reason": finish_out(finish, refused=refused),
    }


def _message(read: _Message, exchange: Exchange) -> Json:
    message: Json = {"role": "assistant", "content": read.text, "refusal": read.refusal}
    if read.thoughts:
        message |= dict.fromkeys(reasoning_fields(exchange), read.thoughts)
    if read.details and exchange.reasoning_field == DETAILS and exchange.thinking != "none":
        message[DETAILS] = read.details
    if read.annotations:
        message["annotations"] = read.annotations
    if read.calls:
        message["tool_calls"] = read.calls
    return message | read.media


def _read(read: _Message, part: Part) -> None:
    match part:
        case Text():
            start = len(read.text or "")
            read.text = (read.text or "") + part.text
            _cite(read, part, start, len(read.text))
        case Reasoning():
            read.thoughts += part.text
            if part.signature is not None:
                place = len(read.details)
                detail = detail_out(part.text, part.signature, place, redacted=part.redacted)
                read.details.append(detail)
        case Refusal():
            read.refusal = (read.refusal or "") + part.text
        case ToolCall():
            read.calls.append(_call(part))
        case Native():
            _native(read, part)
        case Image() | Document() | Audio() | ToolResult():
            kind = type(part).__name__.lower()
            read.note(dropped(f"content.{kind}", "no equivalent in an OpenAI Chat answer"))
        case _:
            assert_never(part)


def _cite(read: _Message, text: Text, start: int, end: int) -> None:
    for citation in text.citations:
        item = citation_out(citation, start, end)
        if item is not None:
            read.annotations.append(item)
        else:
            why = "a source without a URL has no place in OpenAI Chat"
            read.note(dropped("citations", why))


def _call(call: ToolCall) -> Json:
    out: Json = {"id": call.id, "type": "function"}
    if call.custom:
        out |= {
            "type": "custom",
            "custom": {"name": call.name, "input": call.raw or ""},
        }
    else:
        out["function"] = {"name": call.name, "arguments": written(call)}
    if call.signature is not None:
        out["extra_content"] = shown_signature(call.signature)
    return out


def _native(read: _Message, part: Native) -> None:
    if part.dialect != NAME:
        kind = part.data.get("type", "unknown")
        read.note(dropped(f"content.{kind}", "no equivalent in OpenAI Chat"))
        return
    field = part.data.get("type", "")
    rest = {key: value for key, value in part.data.items() if key != "type"}
    if field == "images":
        read.media["images"] = [*read.media.get("images", []), *rest.get("images", [])]
    elif field:
        read.media[field] = rest
