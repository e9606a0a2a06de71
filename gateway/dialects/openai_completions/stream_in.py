"""A provider's response, streamed or complete -> canonical events of its first choice."""

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
from gateway.canon.fold import fold_events
from gateway.canon.response import Response, Usage, merge_usage
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_completions.finish import finish_in
from gateway.dialects.openai_completions.names import NAME, Json
from gateway.dialects.openai_completions.usage import parse_usage
from gateway.dialects.shared.openai_errors import find_error, is_error
from gateway.dialects.shared.responses import TRUNCATED_STREAM
from gateway.framing.sse import Frame


class CompletionStreamParser:
    """One stream of chunks -> events."""

    def __init__(self, traits: Traits, rendered: RenderedRequest | None) -> None:
        self._started = False
        self._open = False
        self._ended = False
        self._finish: Any = None
        self._usage: Usage | None = None

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._ended:
            return []
        if frame.data[:6] == b"[DONE]":
            return self._end(done_received=True)
        if not frame.data.strip():
            return []
        try:
            chunk = msgspec.json.decode(frame.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._fail(bad_upstream("the upstream sent an event that is not JSON").error)
        if is_error(chunk) or frame.event == "error":
            return self._fail(find_error(chunk))
        return self.chunk(chunk) if isinstance(chunk, dict) else []

    def close(self) -> list[Event]:
        """End if the finish reason was received, else Failed."""
        return [] if self._ended else self._end(done_received=False)

    def chunk(self, chunk: Json) -> list[Event]:
        """The events of one chunk."""
        usage = parse_usage(chunk.get("usage"))
        if usage is not None:
            self._usage = merge_usage(self._usage, usage)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return []
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(_start(chunk, self._usage))
        for choice in choices:
            if isinstance(choice, dict) and not choice.get("index"):
                self._choice(choice, events)
        return events

    def _choice(self, choice: Json, events: list[Event]) -> None:
        text = _choice_text(choice)
        if isinstance(text, str) and text:
            if not self._open:
                self._open = True
                events.append(BlockStart(kind="text"))
            events.append(Delta(text))
        if choice.get("finish_reason") is not None:
            self._finish = choice["finish_reason"]

    def _end(self, *, done_received: bool) -> list[Event]:
        if not self._started or (self._finish is None and not done_received):
            return self._fail(bad_upstream(TRUNCATED_STREAM).error)
        self._ended = True
        events: list[Event] = [BlockEnd()] if self._open else []
        if self._usage is not None:
            events.append(UsageUpdate(self._usage))
        return [*events, End(finish_in(self._finish))]

    def _fail(self, error: Error) -> list[Event]:
        self._ended = True
        return [Failed(error)]


def _choice_text(choice: Json) -> str | None:
    """The text of a choice. Mistral's fill-in-the-middle returns a chat message."""
    for holder in (choice, choice.get("delta"), choice.get("message")):
        name = "text" if holder is choice else "content"
        if isinstance(holder, dict) and isinstance(text := holder.get(name), str):
            return text
    return None


def _start(chunk: Json, usage: Usage | None) -> Start:
    response_id, model, created = chunk.get("id"), chunk.get("model"), chunk.get("created")
    return Start(
        id=response_id if isinstance(response_id, str) else "",
        model=model if isinstance(model, str) else "",
        created=created if type(created) is int else None,
        prompt_tokens=usage.prompt_tokens if usage is not None else None,
    )


def parse_response(body: Any, traits: Traits, rendered: RenderedRequest | None) -> Response:
    """The canonical response. Raises GatewayError for a body that is no response."""
    if is_error(body):
        raise GatewayError(find_error(body))
    choices = body.get("choices") if isinstance(body, dict) else None
    first_choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first_choice, dict) or _choice_text(first_choice) is None:
        raise bad_upstream("the upstream's answer is no text completion")
    parser = CompletionStreamParser(traits, rendered)
    choice = {
        **first_choice,
        "index": 0,
        "finish_reason": first_choice.get("finish_reason") or "stop",
    }
    response = fold_events([*parser.chunk({**body, "choices": [choice]}), *parser.close()])
    logprobs = first_choice.get("logprobs")
    if logprobs is None:
        return response
    return msgspec.structs.replace(response, extra={NAME: {"logprobs": logprobs}})
