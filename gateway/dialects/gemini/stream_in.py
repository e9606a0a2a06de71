"""A provider's stream -> canonical events.

Text comes in pieces, calls come whole, and nothing says that a part is over but the next
one. A signature under a call belongs to the thought before it: the thought's block is
held open for it, and one without words is made where there was none. There is no last
frame, so the answer ends with the bytes.
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
    Signed,
    Start,
    UsageUpdate,
)
from gateway.canon.others import Others
from gateway.canon.request import Signature
from gateway.canon.response import Finish
from gateway.canon.traits import Traits
from gateway.dialects.base import Rendered
from gateway.dialects.gemini.citations import citations_in
from gateway.dialects.gemini.errors import error_in, is_error
from gateway.dialects.gemini.finish import finish_in
from gateway.dialects.gemini.names import CONFIG, NAME, NEXT_PART, OWN_PART, Json
from gateway.dialects.gemini.usage import usage_in
from gateway.framing.sse import Frame

_CUT = "the upstream's stream broke off before the answer was complete"
_BLOCKED = "Blocked by provider: "
_decode = msgspec.json.Decoder().decode
_SIGNATURES = ("thoughtSignature", "thought_signature")


class GeminiStreamParser:
    """Reads one stream, or one whole answer as a stream of a single frame."""

    def __init__(self, traits: Traits, rendered: Rendered | None) -> None:
        self._traits = traits
        several = _asks_for_several(rendered)
        self._others = Others(lambda: GeminiStreamParser(traits, rendered)) if several else None
        self._names = rendered.names if rendered is not None else {}
        self._custom = rendered.custom if rendered is not None else frozenset[str]()
        # Where the answer will stand among the contents.
        self._place = len(rendered.body.get("contents", ())) if rendered is not None else 0
        self._started = False
        self._over = False
        self._id = ""
        self._model = traits.model
        self._calls = 0
        self._filled = False
        self._open = ""  # the kind of the open block
        self._words: list[str] = []
        self._pending: Signature | None = None
        self._sources: Any = None  # of the text that is open, told when it ends
        self._usage: Json = {}
        self._reason = ""
        self._message: Any = None
        self._block = ""  # why the prompt was refused

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes."""
        if self._over or frame.data.strip() in {b"[DONE]", b""}:
            return []
        try:
            data = _decode(frame.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._fail(bad_upstream("the upstream sent an event that is not JSON").error)
        try:
            return self.read(data)
        except GatewayError as failure:
            return self._fail(failure.error)

    def read(self, data: Any) -> list[Event]:
        """The events of one decoded answer. Raises GatewayError for what is none."""
        if is_error(data):
            raise GatewayError(error_in(data))
        if not isinstance(data, dict):
            raise bad_upstream("the upstream sent an event that is no object")
        events = self._start(data)
        told = data.get("usageMetadata")
        if isinstance(told, dict):
            self._usage |= told
        feedback = data.get("promptFeedback")
        if isinstance(feedback, dict) and isinstance(feedback.get("blockReason"), str):
            self._block = feedback["blockReason"]
            self._message = feedback.get("blockReasonMessage")
        for candidate in _list(data.get("candidates")):
            place = candidate.get("index", 0) if isinstance(candidate, dict) else None
            if place == 0:
                events += self._candidate(candidate)
            elif self._others is not None and type(place) is int:
                parser, gathered = self._others.at(place)
                gathered += parser.read({**data, "candidates": [{**candidate, "index": 0}]})
        return events

    def close(self) -> list[Event]:
        """What is still owed at the end of the bytes: End, or Failed for a cut stream."""
        if self._over:
            return []
        if self._block and not self._reason:
            return self._refuse()
        if not self._reason:
            return self._fail(Error(kind="upstream_error", message=_CUT))
        try:
            others = self._others.close(GeminiStreamParser.close) if self._others else ()
        except GatewayError as failure:
            return self._fail(failure.error)
        events = self._end_block()
        self._over = True
        usage = usage_in(self._usage)
        if usage is not None:
            events.append(UsageUpdate(usage))
        finish = finish_in(
            self._reason, self._message, called=bool(self._calls), empty=not self._filled
        )
        return [*events, End(finish, others)]

    # --- the answer --------------------------------------------------------------------

    def _start(self, data: Json) -> list[Event]:
        if self._started:
            return []
        self._started = True
        self._id = _text(data.get("responseId"))
        model = _text(data.get("modelVersion"))
        self._model = self._traits.model or model
        return [Start(id=self._id, model=model)]

    def _fail(self, error: Error) -> list[Event]:
        self._over = True
        return [Failed(error)]

    def _refuse(self) -> list[Event]:
        """A refused prompt: words for it, as an empty answer would look like a success.

        Its tokens are told where words came first: else nothing was generated, and Google
        bills none of them.
        """
        self._over = True
        finish = Finish(
            reason="filter", explanation=_text(self._message) or None, category=self._block
        )
        usage = usage_in(self._usage) if self._filled else None
        events = [*self._end_block(), BlockStart(kind="refusal"), Delta(_BLOCKED + self._block)]
        events.append(BlockEnd())
        if usage is not None:
            events.append(UsageUpdate(usage))
        return [*events, End(finish)]

    def _candidate(self, candidate: Json) -> list[Event]:
        content = candidate.get("content")
        parts = _list(content.get("parts")) if isinstance(content, dict) else []
        if not all(isinstance(part, dict) for part in parts):
            raise bad_upstream("the upstream sent a part that is no object")
        sources = candidate.get("groundingMetadata")
        # They are of the last text, which a signature beside it or after it may end.
        last = max((n for n, part in enumerate(parts) if _is_said(part)), default=-1)
        if last < 0 and self._open == "text":
            self._sources = sources
        events: list[Event] = []
        for place, part in enumerate(parts):
            if place == last:
                self._sources = sources
            events += self._part(part)
        events += self._cite()
        reason = candidate.get("finishReason")
        if isinstance(reason, str) and reason != "FINISH_REASON_UNSPECIFIED":
            self._reason = reason
            self._message = candidate.get("finishMessage")
        return events

    def _part(self, part: Json) -> list[Event]:
        state = next((part[name] for name in _SIGNATURES if isinstance(part.get(name), str)), "")
        call = part.get("functionCall")
        if isinstance(call, dict):
            return self._call(call, state)
        if isinstance(part.get("text"), str):
            if part.get("thought") is True:
                return self._thought(part["text"], state)
            return self._text(part["text"], state)
        if state and part.keys() <= {*_SIGNATURES, "thought"}:
            return self._trailing(state)
        return self._native(part)

    # --- blocks ------------------------------------------------------------------------

    def _cite(self) -> list[Event]:
        """The sources of the text that is open."""
        told, self._sources = self._sources, None
        if told is None or self._open != "text":
            return []
        return [Cited(citation) for citation in citations_in(told, "".join(self._words))]

    def _end_block(self) -> list[Event]:
        if not self._open:
            return []
        events = self._cite() if self._open == "text" else []
        if self._open == "reasoning":
            events.append(Signed(self._pending or self._made("", "text")))
        self._open, self._pending, self._words = "", None, []
        return [*events, BlockEnd()]

    def _begin(self, kind: Any) -> list[Event]:
        """Open a block of this kind, unless it is the one that is open."""
        if self._open == kind:
            return []
        events = self._end_block()
        self._open = kind
        return [*events, BlockStart(kind=kind)]

    def _made(self, value: str, kind: str) -> Signature:
        return Signature(provider=self._traits.kind, model=self._model, kind=kind, value=value)

    def _thought(self, words: str, state: str) -> list[Event]:
        if not words and not state:
            return []
        events = self._begin("reasoning")
        if state:
            self._pending = self._made(state, OWN_PART)
        return [*events, Delta(words)] if words else events

    def _text(self, words: str, state: str) -> list[Event]:
        if not words:
            return self._trailing(state) if state else []
        self._filled = True
        events = self._begin("text")
        self._words.append(words)
        events.append(Delta(words))
        return events + self._trailing(state) if state else events

    def _trailing(self, state: str) -> list[Event]:
        """A signature under a text: a thought without words after it carries it."""
        events = self._end_block() if self._open != "reasoning" else []
        events += self._begin("reasoning")
        self._pending = self._made(state, OWN_PART)
        return events + self._end_block()

    def _call(self, call: Json, state: str) -> list[Event]:
        sent = _text(call.get("name"))
        if not sent:
            return []  # a piece of arguments, which nobody asked to have in pieces
        self._filled = True
        events: list[Event] = []
        if state:
            events += self._begin("reasoning")
            self._pending = self._made(state, NEXT_PART)
        events += self._end_block()
        call_id = _text(call.get("id")) or self._made_id()
        self._calls += 1
        custom = sent in self._custom
        name = self._names.get(sent, sent)
        events.append(BlockStart(kind="tool_call", id=call_id, name=name, custom=custom))
        events += _arguments(call.get("args"), custom=custom)
        if state:
            events.append(Signed(self._made(state, OWN_PART)))
        return [*events, BlockEnd()]

    def _made_id(self) -> str:
        """An id for a call that came without one: the answer's id or place, and its number."""
        return f"call_{self._id or self._place}_{self._calls}"

    def _native(self, part: Json) -> list[Event]:
        if not any(value is not None for value in part.values()):
            return []
        self._filled = True
        start = BlockStart(kind="native", dialect=NAME, native=part)
        return [*self._end_block(), start, BlockEnd()]


def _asks_for_several(rendered: Rendered | None) -> bool:
    config = rendered.body.get(CONFIG, {}) if rendered is not None else {}
    return bool(config.get("candidateCount", 1) > 1)


def _arguments(args: Any, *, custom: bool) -> list[Event]:
    args = args if isinstance(args, dict) else {}
    if custom:
        told = args.get("input")
        words = told if isinstance(told, str) else ""
    else:
        words = msgspec.json.encode(args).decode() if args else ""
    return [Delta(words)] if words else []


def _is_said(part: Json) -> bool:
    """Whether it holds words of the answer itself."""
    return bool(_text(part.get("text"))) and part.get("thought") is not True


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
