"""Checks a streamed response: text is buffered until its guardrails have checked it.

The guardrails see text in windows. Patterns need few characters: the last BUFFERED_CHARS of a
block are buffered, so that a match across chunks is found before any of it is sent. Moderation and
Presidio get windows of WINDOW_CHARS with CONTEXT_CHARS of earlier text. Tool arguments, and texts
that a service may rewrite, are buffered until their block is complete. Guardrails that only log
buffer nothing: they check the whole text at the end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    Failed,
    NativeDelta,
)
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.response import Response
from gateway.guardrails.body_texts import map_argument_text, replace_texts, texts_of
from gateway.guardrails.guardrail import Guardrail, PatternSettings, PresidioSettings
from gateway.guardrails.patterns import (
    PII,
    Detector,
    PatternTimeoutError,
    find_matches,
)
from gateway.relay.exchange.call import Call
from gateway.relay.run.guardrails import check_texts

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

BUFFERED_CHARS = 200
# Patterns run again when this much has arrived.
STEP_CHARS = 64
WINDOW_CHARS = 1000
CONTEXT_CHARS = 200
# A match longer than this may be sent in part.
MAX_BUFFERED_CHARS = 16_000
# Fields of native deltas that are not fragments of a text.
_SAME_IN_DELTAS = frozenset({"type", "id", "name"})


class StreamGuard:
    """The guardrails of one streamed response.

    Attributes:
        enforces: whether anything can be blocked or masked, so that the stream must be rendered
            from events instead of passed through.
    """

    def __init__(self, runtime: Runtime, call: Call) -> None:
        guard = call.guard
        assert guard is not None
        self._runtime, self._call = runtime, call
        self._enforced_guardrails = [g for g in guard.after if g.action != "log"]
        self._logging_guardrails = [g for g in guard.after if g.action == "log"]
        self.enforces = bool(self._enforced_guardrails)
        self._detectors = _pattern_detectors(self._enforced_guardrails)
        self._buffers_blocks = any(_needs_whole_block(g) for g in self._enforced_guardrails)
        only_patterns = all(g.kind == "patterns" for g in self._enforced_guardrails)
        self._step = BUFFERED_CHARS + STEP_CHARS if only_patterns else BUFFERED_CHARS + WINDOW_CHARS
        self._kind = ""
        self._buffer = ""
        self._context = ""
        # Events that wait for the text before them.
        self._waiting_events: list[Event] = []
        self._block_texts: list[str] = []

    async def feed(self, events: list[Event]) -> list[Event]:
        """The events that may be sent now. Raises GatewayError if a guardrail blocks."""
        released_events: list[Event] = []
        for event in events:
            match event:
                case BlockStart():
                    self._kind, self._buffer, self._context = event.kind, "", ""
                    self._block_texts.append("")
                    self._waiting_events.append(event)
                case Delta():
                    if self._logging_guardrails:
                        self._block_texts[-1] += event.text
                    if not self.enforces:
                        self._waiting_events.append(event)
                        continue
                    self._buffer += event.text
                    if self._is_due():
                        released_events += await self._release(final=False)
                case BlockEnd():
                    if self._kind == "native":
                        await self._check_native()
                    released_events += await self._release(final=True)
                    self._waiting_events.append(event)
                case CitationDelta() if self.enforces:
                    self._waiting_events.append(await self._checked_citation(event))
                case End():
                    await self._run_logging_guardrails()
                    released_events += [
                        *self._waiting_events,
                        await self._check_alternatives(event),
                    ]
                    self._waiting_events = []
                case Failed():
                    self._waiting_events, self._buffer = [], ""
                    released_events.append(event)
                case _:
                    self._waiting_events.append(event)
        if not self.enforces:
            released_events, self._waiting_events = [*released_events, *self._waiting_events], []
        return released_events

    def _is_due(self) -> bool:
        if self._kind == "tool_call" or self._buffers_blocks:
            return False
        return len(self._buffer) >= self._step

    async def _release(self, *, final: bool) -> list[Event]:
        """Check the buffered text, and return the events up to the part that may be sent."""
        text = self._buffer
        if not text:
            return self._take_waiting_events() if final else []
        size = len(text) if final else await asyncio.to_thread(self._safe_size, text)
        if not size:
            return []
        checked_text = await self._check_buffered_text(text[:size])
        self._buffer = text[size:]
        self._context = (self._context + text[:size])[-CONTEXT_CHARS:]
        events = self._take_waiting_events()
        return [*events, Delta(checked_text)] if checked_text else events

    def _take_waiting_events(self) -> list[Event]:
        pending_events, self._waiting_events = self._waiting_events, []
        return pending_events

    def _safe_size(self, text: str) -> int:
        """How much of the text can be sent: no match of a pattern is cut."""
        size = len(text) - BUFFERED_CHARS
        if len(text) > MAX_BUFFERED_CHARS or not self._detectors:
            return size
        before = self._context
        try:
            matches = find_matches(before + text, self._detectors, len(before))
        except PatternTimeoutError:  # the check itself fails too, and decides
            return size
        for match in matches:
            if match.start - len(before) < size < match.end - len(before):
                size = match.start - len(before)
        return size

    async def _check_buffered_text(self, text: str) -> str:
        if self._kind != "tool_call":
            return (await self._check_texts([text]))[0]
        texts: list[str] = []

        def collect(argument: str) -> str:
            texts.append(argument)
            return argument

        map_argument_text(text, collect)
        if not texts:
            return text
        remaining = iter(await self._check_texts(texts))
        return map_argument_text(text, lambda _: next(remaining))

    async def _check_texts(self, texts: list[str]) -> list[str]:
        checked_texts, _ = await check_texts(
            self._runtime,
            self._call,
            "response",
            texts,
            context=self._context,
            guardrails=self._enforced_guardrails,
        )
        return checked_texts

    async def _check_native(self) -> None:
        """Check a block of the provider's own format, which waits until it is complete."""
        positions = [
            index
            for index, event in enumerate(self._waiting_events)
            if isinstance(event, NativeDelta) or (isinstance(event, BlockStart) and event.native)
        ]
        parts = [_native_of(self._waiting_events[index]) for index in positions]
        document = {"block": _join_deltas(parts)}
        if self._logging_guardrails:
            self._block_texts[-1] += "\n".join(texts_of(document))
        if not self.enforces:
            return
        masked_blocks = (await self._checked_document(document))["block"]
        for index, part in zip(positions, masked_blocks, strict=True):
            event = self._waiting_events[index]
            self._waiting_events[index] = (
                msgspec.structs.replace(event, native=part)
                if isinstance(event, BlockStart)
                else NativeDelta(part)
            )

    async def _checked_citation(self, event: CitationDelta) -> CitationDelta:
        citation = event.citation
        fields = {"title": citation.title, "quote": citation.quote, "native": citation.native}
        checked_fields = await self._checked_document({"citation": fields})
        return CitationDelta(msgspec.structs.replace(citation, **checked_fields["citation"]))

    async def _checked_document(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with checked texts, which do not continue the text before."""
        texts = texts_of(document)
        if not texts:
            return document
        context, self._context = self._context, ""
        checked_texts = await self._check_texts(texts)
        self._context = context
        return document if checked_texts == texts else dict(replace_texts(document, checked_texts))

    async def _run_logging_guardrails(self) -> None:
        texts = [text for text in self._block_texts if text]
        if self._logging_guardrails and texts:
            await check_texts(
                self._runtime, self._call, "response", texts, guardrails=self._logging_guardrails
            )

    async def _check_alternatives(self, event: End) -> End:
        """The event with checked further choices, which arrive as a whole."""
        checked_responses = [await self._check_response(each) for each in event.alternatives]
        if not self.enforces:
            return event
        return msgspec.structs.replace(event, alternatives=tuple(checked_responses))

    async def _check_response(self, response: Response) -> Response:
        guard = StreamGuard(self._runtime, self._call)
        events = await guard.feed(unfold_response(response))
        # The other fields are not checked: they may repeat the text as tokens.
        return msgspec.structs.replace(fold_events(events), extra={})


def _native_of(event: Event) -> dict[str, Any]:
    match event:
        case BlockStart():
            return event.native
        case NativeDelta():
            return event.data
    raise AssertionError("not a native event")


def _join_deltas(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The start and the deltas of a block, with each text of several deltas whole in the first."""
    joined_parts = [dict(part) for part in parts]
    first_parts: dict[str, dict[str, Any]] = {}
    # Joined at the end: adding each delta to the text before it would take quadratic time.
    delta_texts: dict[str, list[str]] = {}
    for part in joined_parts[1:]:
        for name, value in part.items():
            if not isinstance(value, str) or name in _SAME_IN_DELTAS:
                continue
            delta_texts.setdefault(name, []).append(value)
            if first_parts.setdefault(name, part) is not part:
                part[name] = ""
    for name, first_part in first_parts.items():
        first_part[name] = "".join(delta_texts[name])
    return joined_parts


def _pattern_detectors(guardrails: list[Guardrail]) -> list[tuple[str, Detector]]:
    detectors: list[tuple[str, Detector]] = []
    for guardrail in guardrails:
        if isinstance(guardrail.settings, PatternSettings):
            detectors += [(name, PII[name]) for name in guardrail.settings.pii]
            detectors += [(p.name, Detector(p.pattern)) for p in guardrail.settings.patterns]
    return detectors


def _needs_whole_block(guardrail: Guardrail) -> bool:
    """Whether a service rewrites texts, which cannot be matched with parts of them."""
    masks = isinstance(guardrail.settings, PresidioSettings) and guardrail.action == "mask"
    return masks or guardrail.kind in {"litellm", "portkey"}
