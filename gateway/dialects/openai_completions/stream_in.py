"""A provider's answer, streamed or whole -> canonical events. Only the first choice is read."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, bad_upstream
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    Delta,
    End,
    Event,
    Failed,
    Start,
    UsageUpdate,
)
from gateway.canon.fold import fold, newer
from gateway.canon.response import Response, Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.openai_completions.finish import finish_in
from gateway.dialects.openai_completions.names import NAME, Json
from gateway.dialects.openai_completions.usage import parse_usage
from gateway.dialects.openai_errors import error_in, is_error
from gateway.framing.sse import Frame


class CompletionStreamParser:
    """One stream of chunks -> events."""

    def __init__(self, traits: Traits, rendered: Rendered | None) -> None:
        self._started = False
        self._open = False
        self._over = False
        self._finish: Any = None
        self._usage: Usage | None = None

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._over:
            return []
        if frame.data[:6] == b"[DONE]":
            return self._end(told=True)
        if not frame.data.strip():
            return []
        try:
            chunk = msgspec.json.decode(frame.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._fail(bad_upstream("the upstream sent an event that is not JSON").error)
        if is_error(chunk) or frame.event == "error":
            return self._fail(error_in(chunk))
        return self.chunk(chunk) if isinstance(chunk, dict) else []

    def close(self) -> list[Event]:
        """End where the finish has been seen, else Failed."""
        return [] if self._over else self._end(told=False)

    def chunk(self, chunk: Json) -> list[Event]:
        """The events of one chunk."""
        usage = parse_usage(chunk.get("usage"))
        if usage is not None:
            self._usage = newer(self._usage, usage)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return []
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(_start(chunk))
        for choice in choices:
            if isinstance(choice, dict) and not choice.get("index"):
                self._choice(choice, events)
        return events

    def _choice(self, choice: Json, events: list[Event]) -> None:
        words = _words(choice)
        if isinstance(words, str) and words:
            if not self._open:
                self._open = True
                events.append(BlockStart(kind="text"))
            events.append(Delta(words))
        if choice.get("finish_reason") is not None:
            self._finish = choice["finish_reason"]

    def _end(self, *, told: bool) -> list[Event]:
        if not self._started or (self._finish is None and not told):
            why = "the upstream's stream broke off before the answer was complete"
            return self._fail(bad_upstream(why).error)
        self._over = True
        events: list[Event] = [BlockEnd()] if self._open else []
        if self._usage is not None:
            events.append(UsageUpdate(self._usage))
        return [*events, End(finish_in(self._finish))]

    def _fail(self, error: Error) -> list[Event]:
        self._over = True
        return [Failed(error)]


def _words(choice: Json) -> str | None:
    """The text of a choice. Mistral fills gaps in the shape of a chat, with one message."""
    for holder in (choice, choice.get("delta"), choice.get("message")):
        name = "text" if holder is choice else "content"
        if isinstance(holder, dict) and isinstance(words := holder.get(name), str):
            return words
    return None


def _start(chunk: Json) -> Start:
    answer_id, model, created = chunk.get("id"), chunk.get("model"), chunk.get("created")
    return Start(
        id=answer_id if isinstance(answer_id, str) else "",
        model=model if isinstance(model, str) else "",
        created=created if type(created) is int else None,
    )


def parse_response(body: Any, traits: Traits, rendered: Rendered | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    if is_error(body):
        raise GatewayError(error_in(body))
    choices = body.get("choices") if isinstance(body, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict) or _words(first) is None:
        raise bad_upstream("the upstream's answer is no text completion")
    parser = CompletionStreamParser(traits, rendered)
    choice = {**first, "index": 0, "finish_reason": first.get("finish_reason") or "stop"}
    response = fold([*parser.chunk({**body, "choices": [choice]}), *parser.close()])
    logprobs = first.get("logprobs")
    if logprobs is None:
        return response
    return msgspec.structs.replace(response, extra={NAME: {"logprobs": logprobs}})
