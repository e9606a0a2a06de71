"""A provider's answer, streamed or whole -> canonical events.

Providers differ in every detail that the official description leaves open; what a
chunk may hold is in `_Chunk` and `_Delta`, and anything else is left out. What is no
chunk at all ends the stream as Failed: never an exception, never a clean end.

The finish is held until the usage or the end of the bytes has come, because the
usage may stand on any chunk, before or after the finish.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, bad_upstream
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
from gateway.canon.fold import fold, newer
from gateway.canon.others import Others
from gateway.canon.request import Citation
from gateway.canon.response import Response, Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.openai_chat.call_stream import CallStream
from gateway.dialects.openai_chat.citations import citations_in
from gateway.dialects.openai_chat.finish import finish_in
from gateway.dialects.openai_chat.parts import NAME, thought_text
from gateway.dialects.openai_chat.reasoning import details_text
from gateway.dialects.openai_chat.thought_stream import ThoughtState
from gateway.dialects.openai_chat.usage import parse_usage
from gateway.dialects.openai_errors import error_in, is_error
from gateway.dialects.openai_logprobs import extra_of
from gateway.framing.sse import Frame

_BAD = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Delta(msgspec.Struct):
    """A delta, or the message of a whole answer."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    annotations: Any = None
    audio: Any = None
    images: Any = None


class _Choice(msgspec.Struct):
    index: Any = None
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: Any = None
    stop_reason: Any = None
    logprobs: Any = None


class _Groq(msgspec.Struct):
    usage: Any = None
    error: Any = None


class _Chunk(msgspec.Struct):
    id: Any = None
    model: Any = None
    created: Any = None
    choices: list[_Choice | None] | None = None
    usage: Any = None
    error: Any = None
    x_groq: _Groq | None = None
    service_tier: Any = None
    system_fingerprint: Any = None


_decoder = msgspec.json.Decoder(_Chunk)


class ChatStreamParser:
    """One stream of chunks -> events. Further choices that were asked for wait for the end."""

    def __init__(self, traits: Traits, rendered: Rendered | None) -> None:
        several = _asks_for_several(rendered)
        self._others = Others(lambda: ChatStreamParser(traits, rendered)) if several else None
        self._kind, self._model = traits.kind, traits.model
        self._calls = CallStream(rendered)
        self._started = False
        self._over = False
        self._open = ""
        self._late: list[tuple[str, str]] = []
        self._thought = ThoughtState()
        self._cited: list[Citation] = []
        self._refused = False
        self._finish: Any = None
        self._stop: Any = None
        self._usage: Usage | None = None

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._over:
            return []
        data = frame.data
        if data[:6] == b"[DONE]":
            return self._end(told=True)
        try:
            chunk = _decoder.decode(data)
        except _BAD:
            error = _odd(data)
            return self._fail(error) if error is not None else []
        if frame.event == "error":
            return self._fail(error_in(_loose(data)))
        if not chunk.choices and chunk.error is None and chunk.usage is None:
            # A keep-alive, Azure's prompt filter results, or an error in another shape.
            value = _loose(data)
            if is_error(value):
                return self._fail(error_in(value))
        return self._chunk(chunk)

    def close(self) -> list[Event]:
        """End where the finish has been seen, else Failed."""
        return [] if self._over else self._end(told=False)

    def whole(self, chunk: _Chunk) -> list[Event]:
        """The events of a whole answer."""
        return self._chunk(chunk) + self.close()

    # --- chunks ----------------------------------------------------------------------

    def _chunk(self, chunk: _Chunk) -> list[Event]:
        groq = chunk.x_groq
        error = chunk.error or (groq.error if groq is not None else None)
        if error:
            return self._fail(error_in({"error": error}))
        usage = chunk.usage or (groq.usage if groq is not None else None)
        if usage is not None:
            self._note_usage(usage)
        choices = chunk.choices
        if not choices:
            return []
        events: list[Event] = []
        if not self._started:
            self._start(chunk, events)
        for choice in choices:
            if choice is None:
                continue
            if not choice.index:
                self._choice(choice, events)
            elif self._others is not None and type(choice.index) is int:
                parser, gathered = self._others.at(choice.index)
                gathered += parser._chunk(_alone(chunk, choice))
        return events

    def _note_usage(self, usage: Any) -> None:
        found = parse_usage(usage)
        if found is not None:
            self._usage = newer(self._usage, found)

    def _start(self, chunk: _Chunk, events: list[Event]) -> None:
        self._started = True
        answer_id = chunk.id if isinstance(chunk.id, str) else ""
        model = chunk.model if isinstance(chunk.model, str) else ""
        self._model = self._model or model
        self._calls.answer_id = "".join(c for c in answer_id if c.isalnum() or c in "-_")
        self._calls.signer = (self._kind, self._model)
        tier = chunk.service_tier
        events.append(
            Start(
                id=answer_id,
                model=model,
                created=chunk.created if type(chunk.created) is int else None,
                service_tier=tier if isinstance(tier, str) else None,
            )
        )

    def _choice(self, choice: _Choice, events: list[Event]) -> None:
        delta = choice.delta or choice.message
        if delta is not None:
            self._delta(delta, events)
        if choice.finish_reason is not None:
            self._finish, self._stop = choice.finish_reason, choice.stop_reason
            self._settle(events)

    def _delta(self, delta: _Delta, events: list[Event]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought or delta.reasoning_details:
            self._reasoning(thought, delta.reasoning_details, events)
        content = delta.content
        if content:
            if type(content) is str:
                self._say("text", content, events)
            else:
                self._content_list(content, events)
        if delta.refusal and isinstance(delta.refusal, str):
            self._refused = True
            self._say("refusal", delta.refusal, events)
        if delta.annotations:
            self._annotations(delta.annotations, events)
        if delta.audio or delta.images:
            self._media(delta, events)
        if delta.tool_calls or delta.function_call:
            self._call_pieces(delta, events)

    # --- text ------------------------------------------------------------------------

    def _say(self, kind: Any, text: str, events: list[Event]) -> None:
        """More text; while calls are open it waits, as their arguments may go on."""
        if self._open != kind:
            if self._calls.open:
                self._late.append((kind, text))
                return
            self._close_block(events)
            events.append(BlockStart(kind=kind))
            self._open = kind
            if kind == "text" and self._cited:
                events += [Cited(citation) for citation in self._cited]
                self._cited = []
        events.append(Delta(text))

    def _content_list(self, content: Any, events: list[Event]) -> None:
        """Mistral's content: a list of chunks, thoughts among them."""
        for part in content if isinstance(content, list) else []:
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                self._thought.sign(part.get("signature"))
                if words := thought_text(part.get("thinking")):
                    self._say("reasoning", words, events)
            elif isinstance(part.get("text"), str) and part["text"]:
                self._say("text", part["text"], events)

    def _reasoning(self, thought: Any, details: Any, events: list[Event]) -> None:
        if isinstance(details, list):
            details = [detail for detail in details if isinstance(detail, dict)]
            thought = thought or details_text(details)
        else:
            details = []
        if isinstance(thought, str) and thought:
            self._say("reasoning", thought, events)
        self._thought.add(details)

    def _annotations(self, annotations: Any, events: list[Event]) -> None:
        citations = citations_in(annotations)
        if self._open == "text":
            events += [Cited(citation) for citation in citations]
        else:
            self._cited += citations

    def _media(self, delta: _Delta, events: list[Event]) -> None:
        """Sound and pictures, which have no canonical place in an answer."""
        if self._calls.open:
            return
        if isinstance(delta.images, list):
            self._close_block(events)
            native = {"type": "images", "images": delta.images}
            events += [
                BlockStart(kind="native", dialect=NAME, native=native),
                BlockEnd(),
            ]
        if isinstance(delta.audio, dict):
            if self._open != "native":
                self._close_block(events)
                native = {"type": "audio"}
                events.append(BlockStart(kind="native", dialect=NAME, native=native))
                self._open = "native"
            events.append(NativeDelta(delta.audio))

    # --- calls and block ends ----------------------------------------------------------

    def _call_pieces(self, delta: _Delta, events: list[Event]) -> None:
        pieces = delta.tool_calls or []
        pieces = [pieces] if isinstance(pieces, dict) else pieces
        older = delta.function_call
        if isinstance(older, dict):
            name = older.get("name")
            call_id = f"call_{self._calls.answer_id or 'g'}_0" if name else None
            pieces = [{"index": -1, "id": call_id, "function": older}]
        if not isinstance(pieces, list) or not pieces:
            return
        self._close_block(events)
        for piece in pieces:
            self._calls.feed(piece, events)

    def _close_block(self, events: list[Event]) -> None:
        if self._open == "reasoning":
            events.append(self._signed())
        if self._open:
            events.append(BlockEnd())
            self._open = ""
        if self._thought.held and not self._calls.open:
            # State without words, or state that came after them.
            redacted = BlockStart(kind="reasoning", redacted=True)
            events += [redacted, self._signed(), BlockEnd()]

    def _signed(self) -> Signed:
        return Signed(self._thought.take(self._kind, self._model))

    def _settle(self, events: list[Event]) -> None:
        """Close all that is open; text that waited for calls follows them."""
        self._close_block(events)
        self._calls.close(events)
        late, self._late = self._late, []
        for kind, text in late:
            self._say(kind, text, events)
        self._close_block(events)

    # --- ends ------------------------------------------------------------------------

    def _end(self, *, told: bool) -> list[Event]:
        """The end: clean if the provider said so in any way, else a cut stream."""
        if not self._started or (self._finish is None and not told):
            why = "the upstream's stream broke off before the answer was complete"
            return self._fail(bad_upstream(why).error)
        events: list[Event] = []
        self._settle(events)
        self._over = True
        if self._usage is not None:
            events.append(UsageUpdate(self._usage))
        calls = self._calls.any
        finish = finish_in(self._finish, calls=calls, refused=self._refused, stop=self._stop)
        try:
            others = self._others.close(lambda each: each._end(told=told)) if self._others else ()
        except GatewayError as failure:
            return self._fail(failure.error)
        return [*events, End(finish, others)]

    def _fail(self, error: Error) -> list[Event]:
        self._over = True
        return [Failed(error)]


def _asks_for_several(rendered: Rendered | None) -> bool:
    return rendered is not None and rendered.body.get("n", 1) > 1


def _alone(chunk: _Chunk, choice: _Choice) -> _Chunk:
    """The chunk with this choice only, as if it were the first."""
    choice = msgspec.structs.replace(choice, index=0)
    return msgspec.structs.replace(chunk, choices=[choice], usage=None, x_groq=None)


def _odd(data: bytes) -> Error | None:
    """What is wrong with a frame that is no chunk; None for an empty one."""
    if not data.strip():
        return None
    value = _loose(data)
    if is_error(value):
        return error_in(value)
    return bad_upstream("the upstream sent an event that is no chat chunk").error


def _loose(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except _BAD:
        return None


def parse_response(body: Any, traits: Traits, rendered: Rendered | None) -> Response:
    """The canonical answer. Raises GatewayError for a shape that is no answer."""
    if is_error(body):
        raise GatewayError(error_in(body))
    try:
        chunk = msgspec.convert(body, _Chunk)
    except (msgspec.MsgspecError, RecursionError):
        raise bad_upstream("the upstream's answer is no chat completion") from None
    first, *more = chunk.choices or [None]
    if first is None:
        raise bad_upstream("the upstream's answer holds no choices")
    answer = _answer(chunk, first, traits, rendered)
    if not _asks_for_several(rendered):
        return answer
    chunk.usage = None
    others = tuple(_answer(chunk, choice, traits, rendered) for choice in more if choice)
    return msgspec.structs.replace(answer, others=others)


def _answer(chunk: _Chunk, choice: _Choice, traits: Traits, rendered: Rendered | None) -> Response:
    if choice.message is None and choice.delta is None:
        raise bad_upstream("the upstream's answer holds no message")
    choice.index, choice.finish_reason = 0, choice.finish_reason or "stop"
    chunk.choices = [choice]
    told = choice.logprobs
    extra = extra_of(told.get("content") if isinstance(told, dict) else None)
    if chunk.system_fingerprint is not None:
        extra[NAME] = {"system_fingerprint": chunk.system_fingerprint}
    response = fold(ChatStreamParser(traits, rendered).whole(chunk))
    return msgspec.structs.replace(response, extra=extra)
