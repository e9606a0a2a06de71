"""A canonical answer -> a client's completion, whole or in chunks."""

from __future__ import annotations

import itertools
from typing import assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, dropped
from gateway.canon.errors import Error, GatewayError
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
from gateway.canon.request import Reasoning, Refusal, Text
from gateway.canon.response import Response, Usage
from gateway.dialects.base import Exchange
from gateway.dialects.openai_completions.finish import finish_out, malformed
from gateway.dialects.openai_completions.names import NAME, Json
from gateway.dialects.openai_completions.usage import render_usage
from gateway.dialects.openai_errors import error_body
from gateway.dialects.openai_logprobs import tokens_of

_encode = msgspec.json.encode
_DONE = b"data: [DONE]\n\n"
_WHY = "a completion is text only"


def _head(exchange: Exchange) -> Json:
    return {
        "id": f"cmpl-{exchange.id}",
        "object": "text_completion",
        "created": exchange.created,
        "model": exchange.model,
    }


def render_response(response: Response, exchange: Exchange) -> tuple[Json, tuple[Adaptation, ...]]:
    """The answer's JSON and what it could not say. Raises GatewayError for a garbled one."""
    if response.finish.reason == "malformed":
        raise GatewayError(malformed(response.finish))
    report: list[Adaptation] = []
    answers = (response, *response.others)
    choices = [_choice(answer, place, report) for place, answer in enumerate(answers)]
    body = {**_head(exchange), "choices": choices}
    if (usage := render_usage(response.usage)) is not None:
        body["usage"] = usage
    return body, tuple(report)


def _choice(response: Response, index: int, report: list[Adaptation]) -> Json:
    words, refused = "", False
    for part in response.parts:
        match part:
            case Text():
                words += part.text
            case Refusal():
                words, refused = words + part.text, True
            case Reasoning():
                pass
            case _:
                lost = dropped(f"content.{type(part).__name__.lower()}", _WHY)
                report += [lost] if lost not in report else []
    return {
        "index": index,
        "text": words,
        "logprobs": response.extra.get(NAME, {}).get("logprobs") or _logprobs(response),
        "finish_reason": finish_out(response.finish, spoke=refused),
    }


def _logprobs(response: Response) -> Json | None:
    """The log probabilities in the four lists of this dialect."""
    tokens = tokens_of(response)
    if not tokens:
        return None
    words = [str(token.get("token")) for token in tokens]
    ends = list(itertools.accumulate(map(len, words)))
    others = [token.get("top_logprobs") or [] for token in tokens]
    return {
        "tokens": words,
        "token_logprobs": [token.get("logprob") for token in tokens],
        "top_logprobs": [{o.get("token"): o.get("logprob") for o in each} for each in others],
        "text_offset": [0, *ends[:-1]],
    }


class CompletionStreamRenderer:
    """Prints one answer as chunks; an error is the last and no `[DONE]` follows it."""

    def __init__(self, exchange: Exchange) -> None:
        self.report: list[Adaptation] = []
        self._head = b"data: " + _encode(_head(exchange))[:-1]
        self._include_usage = exchange.include_usage
        self._usage: Usage | None = None
        self._kind = "text"
        self._refused = False
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
            case Start():
                self._usage = event.usage
                return b""
            case UsageUpdate():
                self._usage = newer(self._usage, event.usage)
                return b""
            case End():
                return self._end(event)
            case Failed():
                return self._fail(event.error)
            case BlockEnd() | Cited() | Signed() | NativeDelta():
                return b""
            case _:
                assert_never(event)

    def _open(self, block: BlockStart) -> bytes:
        self._kind = block.kind
        if block.kind in {"tool_call", "native"}:
            lost = dropped(f"content.{block.kind.replace('_', '')}", _WHY)
            self.report += [lost] if lost not in self.report else []
        return b""

    def _delta(self, text: str) -> bytes:
        if self._kind not in {"text", "refusal"}:
            return b""
        self._refused = self._refused or self._kind == "refusal"
        return self._chunk(text, None)

    def _chunk(self, text: str, finish: str | None) -> bytes:
        return self._told({"index": 0, "text": text, "logprobs": None, "finish_reason": finish})

    def _told(self, choice: Json) -> bytes:
        return self._head + b',"choices":[' + _encode(choice) + b"]}\n\n"

    def _end(self, event: End) -> bytes:
        finish = event.finish
        if finish.reason == "malformed":
            return self._fail(malformed(finish))
        out = self._chunk("", finish_out(finish, spoke=self._refused))
        for place, other in enumerate(event.others, 1):
            out += self._told(_choice(other, place, self.report))
        usage = render_usage(self._usage) if self._include_usage else None
        if usage is not None:
            out += self._head + b',"choices":[],"usage":' + _encode(usage) + b"}\n\n"
        self._over = True
        return out + _DONE

    def _fail(self, error: Error) -> bytes:
        self._over = True
        return b"data: " + _encode(error_body(error, "prompt")) + b"\n\n"
