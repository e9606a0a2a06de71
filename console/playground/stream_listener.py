"""Converts one model response into UI events while it streams.

The first text is sent immediately. Text that follows within 25 ms is sent together, because
no screen is faster and a fast model would send frames of one token each.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from console.playground import verdicts
from console.playground.plan import PromptSettings
from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockEnd, BlockStart, Delta, Event, Failed, Start, UsageUpdate
from gateway.canon.fold import ResponseBuilder
from gateway.canon.request import Part
from gateway.canon.response import Usage, merge_usage
from gateway.relay.exchange.log_record import Attempt, LogRecord

Json = dict[str, Any]
COALESCE_S = 0.025
USAGE_INTERVAL_S = 0.5
# Each check of structured output parses all of it again, so checks use at most this share of
# the time. Longer texts are checked at their end only.
CHECK_TIME_SHARE = 0.05
MAX_CHECKED_CHARS = 50_000
CHARS_PER_TOKEN = 4
# More than any model writes: an endless stream must not fill the memory.
MAX_CHARS = 4_000_000
_KINDS = {"text": "text", "reasoning": "reasoning", "refusal": "refusal"}


class EventSink(Protocol):
    """Receiver of the events of one response: a `ColumnRun`."""

    settings: PromptSettings
    started_at: float
    ended: bool

    def emit(self, kind: str, /, **data: Any) -> None:
        """Emit an event of the response."""

    def record_attempt(self, attempt: Attempt, offset_ms: float) -> None:
        """Record an attempt; `offset_ms` converts its times to times since the response's start."""

    def record_settled_round(self, record: LogRecord) -> None:
        """Add the log record of a finished round."""

    def emit_tool_verdict(self, *, final: bool) -> None:
        """Check the tool calls received so far."""

    def abort_too_long(self) -> None:
        """Cancel a response that exceeds MAX_CHARS."""


class StreamListener:
    """Listener of the relay for all rounds of a response."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._folder = ResponseBuilder()
        self._block_kind = ""
        self._call_index = -1
        self._pending_text: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._usage: Usage | None = None
        self._round_chars = 0
        # Text of this round: structured output is checked without the text before tool calls.
        self.text = ""
        self._round_started_at = time.perf_counter()
        self._first_content_at: float | None = None
        self._round_first_content_at: float | None = None
        self._last_event_at = 0.0
        self._last_usage_at = 0.0
        self._next_check_at = 0.0
        self._last_verdict: Json = {}

    def begin_round(self) -> None:
        """Reset the state of the round."""
        self._folder = ResponseBuilder()
        self._block_kind, self._usage, self._round_first_content_at = "", None, None
        self._round_chars, self.text = 0, ""
        self._round_started_at = time.perf_counter()

    # --- the listener ------------------------------------------------------------------

    def on_attempt(self, attempt: Attempt) -> None:
        """Pass an attempt on, with times relative to the start of the response."""
        self.flush()
        self._sink.record_attempt(attempt, (self._round_started_at - self._sink.started_at) * 1000)

    def on_bytes(self, data: bytes) -> None:
        """Ignored: the log stores the bytes for the client."""

    def on_settled(self, record: LogRecord) -> None:
        """Pass on the log record of a finished or stopped round."""
        self._sink.record_settled_round(record)

    def on_events(self, events: list[Event]) -> None:
        """Process received canonical events."""
        now = self._last_event_at = time.perf_counter()
        for event in events:
            if isinstance(event, Start):
                # A new target answers: discard what an earlier one began.
                self._folder = ResponseBuilder()
            if not isinstance(event, Failed):
                self._folder.feed(event)
            match event:
                case Delta():
                    self._append_text(event.text, now)
                case BlockStart():
                    self._start_block(event, now)
                case BlockEnd():
                    self._end_block()
                case Start():
                    self._merge_usage(event.usage)
                case UsageUpdate():
                    self._merge_usage(event.usage)
                case _:
                    pass

    # --- blocks ------------------------------------------------------------------------

    def _start_block(self, block: BlockStart, now: float) -> None:
        self.flush()
        self._block_kind = block.kind
        if block.kind == "tool_call":
            self._record_first_content(now)
            self._call_index += 1
            self._sink.emit("call", index=self._call_index, id=block.id, name=block.name)

    def _append_text(self, text: str, now: float) -> None:
        self._record_first_content(now)
        self._round_chars += len(text)
        if self._round_chars > MAX_CHARS:
            self._sink.abort_too_long()
            return
        self._pending_text.append(text)
        if self._timer is None:
            self.flush()
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(COALESCE_S, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._pending_text and not self._sink.ended:
            self.flush()
            self._start_timer()

    def flush(self) -> None:
        """Send the pending text."""
        if not self._pending_text:
            return
        text, self._pending_text = "".join(self._pending_text), []
        if self._block_kind == "tool_call":
            self._sink.emit("call_delta", index=self._call_index, text=text)
        elif self._block_kind in _KINDS:
            self._sink.emit("delta", kind=_KINDS[self._block_kind], text=text)
            if self._block_kind == "text":
                self.text += text
                self._check_schema()
        self._emit_usage()

    def _end_block(self) -> None:
        self.flush()
        if self._block_kind == "tool_call":
            self._sink.emit_tool_verdict(final=False)

    def _record_first_content(self, now: float) -> None:
        if self._round_first_content_at is None:
            self._round_first_content_at = now
            if self._first_content_at is None:
                self._first_content_at = now

    def _check_schema(self) -> None:
        """Check structured output so far; emit a verdict when it changes."""
        schema, text, now = self._sink.settings.schema, self.text, time.perf_counter()
        if schema is None or len(text) > MAX_CHECKED_CHARS or now < self._next_check_at:
            return
        verdict = verdicts.check_partial_text(text, schema)
        finished_at = time.perf_counter()
        self._next_check_at = finished_at + (finished_at - now) / CHECK_TIME_SHARE
        if verdict != self._last_verdict:
            self._last_verdict = verdict
            self._sink.emit("verdict", **verdict)

    # --- counts ------------------------------------------------------------------------

    def _merge_usage(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage = merge_usage(self._usage, usage)

    def _emit_usage(self) -> None:
        """Emit token counts every USAGE_INTERVAL_S, estimated until the provider reports them."""
        now = time.perf_counter()
        if now - self._last_usage_at < USAGE_INTERVAL_S:
            return
        self._last_usage_at = now
        usage = self._usage or Usage()
        output = max(usage.output or 0, self._round_chars // CHARS_PER_TOKEN)
        self._sink.emit(
            "usage",
            input=usage.prompt_tokens,
            output=output,
            cached=usage.cache_read,
            reasoning=usage.reasoning,
            estimated=True,
            tok_s=self.tokens_per_s(output, now),
        )

    def parts(self) -> tuple[Part, ...]:
        """Parts of this round's response; empty if the stream was interrupted."""
        try:
            return self._folder.close().parts
        except GatewayError:
            return ()

    @property
    def ttft_ms(self) -> float | None:
        """Milliseconds from the start of the response to its first content."""
        if self._first_content_at is None:
            return None
        return round((self._first_content_at - self._sink.started_at) * 1000, 1)

    def tokens_per_s(self, output: int | None, until_time: float | None = None) -> float | None:
        """Tokens per second since the first content; None if there are too few."""
        if self._first_content_at is None or not output or output < 2:
            return None
        seconds = (until_time or self._last_event_at) - self._first_content_at
        return round(output / seconds, 1) if seconds > 0.001 else None

    def total_tokens(self, records: list[LogRecord]) -> Json:
        """Token counts of all rounds from their log records."""
        rounds = [record for record in records if record.usage_source]

        def total(*names: str) -> int | None:
            counts = [v for e in rounds for n in names if (v := getattr(e, n)) is not None]
            return sum(counts) if counts else None

        # A stopped response has no log record yet: estimate from the received text.
        estimated_output = (
            -(-self._round_chars // CHARS_PER_TOKEN) if self._round_chars and not rounds else None
        )
        return {
            "input": total("input_tokens", "cache_read_tokens", "cache_write_tokens"),
            "output": total("output_tokens") if rounds else estimated_output,
            "cached": total("cache_read_tokens"),
            "reasoning": total("reasoning_tokens"),
            "estimated": estimated_output is not None
            or any(e.usage_source.startswith("estimated") for e in rounds),
        }
