"""Hears one answer as the relay passes it on, and tells it in events the page can draw.

The first piece goes out at once; what follows within 25 ms goes out together, since no
screen is faster and a fast model would fill the stream with frames of one token.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from console.playground import verdicts
from console.playground.columns import Settings
from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockEnd, BlockStart, Delta, Event, Failed, Start, UsageUpdate
from gateway.canon.fold import Folder, newer
from gateway.canon.request import Part
from gateway.canon.response import Usage
from gateway.relay.entry import Attempt, Entry

Json = dict[str, Any]
COALESCE_S = 0.025
USAGE_S = 0.5
# Each look at structured output reads all of it again, so it takes at most this share of
# the time; very long ones are looked at when they end.
JUDGE_SHARE = 0.05
JUDGE_CHARS = 50_000
CHARS_PER_TOKEN = 4
# More than any model writes; a stream without an end must not fill the memory.
MOST_CHARS = 4_000_000
_KINDS = {"text": "text", "reasoning": "reasoning", "refusal": "refusal"}


class Speaker(Protocol):
    """Who is told what was heard: a `Lane`."""

    settings: Settings
    started: float
    over: bool

    def say(self, kind: str, /, **data: Any) -> None:
        """One event of the answer."""

    def attempted(self, attempt: Attempt, offset_ms: float) -> None:
        """A try; `offset_ms` is what its times lack to those of the answer."""

    def settled(self, entry: Entry) -> None:
        """A round is over and in the log."""

    def judge_calls(self, *, final: bool) -> None:
        """Judge the calls so far."""

    def too_long(self) -> None:
        """End the answer: it has no end."""


class Ear:
    """The relay's listener for all rounds of an answer."""

    def __init__(self, lane: Speaker) -> None:
        self._lane = lane
        self._folder = Folder()
        self._kind = ""
        self._index = -1
        self._held: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._usage: Usage | None = None
        self._chars = 0
        # The text of this round: structured output is judged without what came before calls.
        self.text = ""
        self._began = time.perf_counter()
        self._first: float | None = None
        self._round_first: float | None = None
        self._last = 0.0
        self._usage_at = 0.0
        self._judge_from = 0.0
        self._judged: Json = {}

    def begin(self) -> None:
        """A round begins."""
        self._folder = Folder()
        self._kind, self._usage, self._round_first = "", None, None
        self._chars, self.text = 0, ""
        self._began = time.perf_counter()

    # --- the listener ------------------------------------------------------------------

    def attempted(self, attempt: Attempt) -> None:
        """Pass a try on; its times count from this answer's beginning."""
        self.flush()
        self._lane.attempted(attempt, (self._began - self._lane.started) * 1000)

    def wire(self, data: bytes) -> None:
        """What a client would get is in the log."""

    def settled(self, entry: Entry) -> None:
        """A round is over; also one that was stopped has its row."""
        self._lane.settled(entry)

    def events(self, events: list[Event]) -> None:
        """Take in what has come."""
        now = self._last = time.perf_counter()
        for event in events:
            if isinstance(event, Start):
                # A new target answers: what an earlier one began does not count.
                self._folder = Folder()
            if not isinstance(event, Failed):
                self._folder.feed(event)
            match event:
                case Delta():
                    self._delta(event.text, now)
                case BlockStart():
                    self._block(event, now)
                case BlockEnd():
                    self._block_end()
                case Start():
                    self._counted(event.usage)
                case UsageUpdate():
                    self._counted(event.usage)
                case _:
                    pass

    # --- blocks ------------------------------------------------------------------------

    def _block(self, block: BlockStart, now: float) -> None:
        self.flush()
        self._kind = block.kind
        if block.kind == "tool_call":
            self._note_first(now)
            self._index += 1
            self._lane.say("call", index=self._index, id=block.id, name=block.name)

    def _delta(self, text: str, now: float) -> None:
        self._note_first(now)
        self._chars += len(text)
        if self._chars > MOST_CHARS:
            self._lane.too_long()
            return
        self._held.append(text)
        if self._timer is None:
            self.flush()
            self._arm()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(COALESCE_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._held and not self._lane.over:
            self.flush()
            self._arm()

    def flush(self) -> None:
        """Send what is held back."""
        if not self._held:
            return
        text, self._held = "".join(self._held), []
        if self._kind == "tool_call":
            self._lane.say("call_delta", index=self._index, text=text)
        elif self._kind in _KINDS:
            self._lane.say("delta", kind=_KINDS[self._kind], text=text)
            if self._kind == "text":
                self.text += text
                self._judge_text()
        self._tell_usage()

    def _block_end(self) -> None:
        self.flush()
        if self._kind == "tool_call":
            self._lane.judge_calls(final=False)

    def _note_first(self, now: float) -> None:
        if self._round_first is None:
            self._round_first = now
            if self._first is None:
                self._first = now

    def _judge_text(self) -> None:
        """A verdict on structured output so far, told when it changes."""
        schema, text, now = self._lane.settings.schema, self.text, time.perf_counter()
        if schema is None or len(text) > JUDGE_CHARS or now < self._judge_from:
            return
        verdict = verdicts.while_written(text, schema)
        done = time.perf_counter()
        self._judge_from = done + (done - now) / JUDGE_SHARE
        if verdict != self._judged:
            self._judged = verdict
            self._lane.say("verdict", **verdict)

    # --- counts ------------------------------------------------------------------------

    def _counted(self, usage: Usage | None) -> None:
        if usage is not None:
            self._usage = newer(self._usage, usage)

    def _tell_usage(self) -> None:
        """The tokens so far, twice a second; counted here where the provider has not yet."""
        now = time.perf_counter()
        if now - self._usage_at < USAGE_S:
            return
        self._usage_at = now
        usage = self._usage or Usage()
        output = max(usage.output or 0, self._chars // CHARS_PER_TOKEN)
        self._lane.say(
            "usage",
            input=usage.prompt,
            output=output,
            cached=usage.cache_read,
            reasoning=usage.reasoning,
            estimated=True,
            tok_s=self.speed(output, now),
        )

    def parts(self) -> tuple[Part, ...]:
        """What the answer of this round consists of; nothing if it broke off."""
        try:
            return self._folder.close().parts
        except GatewayError:
            return ()

    @property
    def ttft_ms(self) -> float | None:
        """Milliseconds from the answer's beginning to its first content."""
        if self._first is None:
            return None
        return round((self._first - self._lane.started) * 1000, 1)

    def speed(self, output: int | None, until: float | None = None) -> float | None:
        """Tokens a second from the first content on; None where that says nothing."""
        if self._first is None or not output or output < 2:
            return None
        seconds = (until or self._last) - self._first
        return round(output / seconds, 1) if seconds > 0.001 else None

    def used(self, entries: list[Entry]) -> Json:
        """The tokens of all rounds, as the log has them."""
        rounds = [entry for entry in entries if entry.usage_source]

        def total(*names: str) -> int | None:
            known = [v for e in rounds for n in names if (v := getattr(e, n)) is not None]
            return sum(known) if known else None

        # An answer that was stopped has no row to read here; what was seen of it counts.
        seen = -(-self._chars // CHARS_PER_TOKEN) if self._chars and not rounds else None
        return {
            "input": total("input_tokens", "cache_read_tokens", "cache_write_tokens"),
            "output": total("output_tokens") if rounds else seen,
            "cached": total("cache_read_tokens"),
            "reasoning": total("reasoning_tokens"),
            "estimated": seen is not None
            or any(e.usage_source.startswith("estimated") for e in rounds),
        }
