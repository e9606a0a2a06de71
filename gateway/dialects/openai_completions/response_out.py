"""A canonical response -> a client's completion, complete or in chunks."""

from __future__ import annotations

import itertools
from typing import assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, AdaptationReport, dropped
from gateway.canon.errors import Error, GatewayError
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
from gateway.canon.request import Reasoning, Refusal, Text
from gateway.canon.response import Response, Usage, merge_usage
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_completions.finish import finish_out
from gateway.dialects.openai_completions.names import NAME, Json
from gateway.dialects.openai_completions.usage import render_usage
from gateway.dialects.shared.openai_errors import error_body
from gateway.dialects.shared.openai_logprobs import token_logprobs
from gateway.dialects.shared.responses import malformed_output_error

_encode = msgspec.json.encode
_DONE = b"data: [DONE]\n\n"
_WHY = "a completion is text only"


def _head(context: ResponseContext) -> Json:
    return {
        "id": f"cmpl-{context.id}",
        "object": "text_completion",
        "created": context.created,
        "model": context.model,
    }


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and what it could not express.

    Raises GatewayError for a response that the model malformed.
    """
    if response.finish.reason == "malformed":
        raise GatewayError(malformed_output_error(response.finish))
    report = AdaptationReport()
    responses = (response, *response.alternatives)
    choices = [
        _choice(choice_response, index, report) for index, choice_response in enumerate(responses)
    ]
    body = {**_head(context), "choices": choices}
    if (usage := render_usage(response.usage)) is not None:
        body["usage"] = usage
    return body, tuple(report)


def _choice(response: Response, index: int, report: AdaptationReport) -> Json:
    text, refused = "", False
    for part in response.parts:
        match part:
            case Text():
                text += part.text
            case Refusal():
                text, refused = text + part.text, True
            case Reasoning():
                pass
            case _:
                adaptation = dropped(f"content.{type(part).__name__.lower()}", _WHY)
                report.add(adaptation)
    return {
        "index": index,
        "text": text,
        "logprobs": response.extra.get(NAME, {}).get("logprobs") or _logprobs(response),
        "finish_reason": finish_out(response.finish, has_refusal_text=refused),
    }


def _logprobs(response: Response) -> Json | None:
    """The log probabilities in the four lists of this dialect."""
    tokens = token_logprobs(response)
    if not tokens:
        return None
    texts = [str(token.get("token")) for token in tokens]
    ends = list(itertools.accumulate(map(len, texts)))
    alternatives = [token.get("top_logprobs") or [] for token in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [token.get("logprob") for token in tokens],
        "top_logprobs": [
            {o.get("token"): o.get("logprob") for o in token_alternatives}
            for token_alternatives in alternatives
        ],
        "text_offset": [0, *ends[:-1]],
    }


class CompletionStreamRenderer:
    """Renders one response as chunks; an error is the last and no `[DONE]` follows it."""

    def __init__(self, context: ResponseContext) -> None:
        self.report = AdaptationReport()
        self._head = b"data: " + _encode(_head(context))[:-1]
        self._include_usage = context.include_usage
        self._usage: Usage | None = None
        self._kind = "text"
        self._refused = False
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes for this event."""
        if self._ended:
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
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case End():
                return self._end(event)
            case Failed():
                return self._fail(event.error)
            case BlockEnd() | CitationDelta() | SignatureDelta() | NativeDelta():
                return b""
            case _:
                assert_never(event)

    def _open(self, block: BlockStart) -> bytes:
        self._kind = block.kind
        if block.kind in {"tool_call", "native"}:
            adaptation = dropped(f"content.{block.kind.replace('_', '')}", _WHY)
            self.report.add(adaptation)
        return b""

    def _delta(self, text: str) -> bytes:
        if self._kind not in {"text", "refusal"}:
            return b""
        self._refused = self._refused or self._kind == "refusal"
        return self._chunk(text, None)

    def _chunk(self, text: str, finish: str | None) -> bytes:
        return self._choice_chunk(
            {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        )

    def _choice_chunk(self, choice: Json) -> bytes:
        return self._head + b',"choices":[' + _encode(choice) + b"]}\n\n"

    def _end(self, event: End) -> bytes:
        finish = event.finish
        if finish.reason == "malformed":
            return self._fail(malformed_output_error(finish))
        other_choices = (
            _choice(response, i, self.report) for i, response in enumerate(event.alternatives, 1)
        )
        first = self._chunk("", finish_out(finish, has_refusal_text=self._refused))
        out = b"".join((first, *map(self._choice_chunk, other_choices)))
        usage = render_usage(self._usage) if self._include_usage else None
        if usage is not None:
            out += self._head + b',"choices":[],"usage":' + _encode(usage) + b"}\n\n"
        self._ended = True
        return out + _DONE

    def _fail(self, error: Error) -> bytes:
        self._ended = True
        return b"data: " + _encode(error_body(error, "prompt")) + b"\n\n"
