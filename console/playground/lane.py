"""One answer of one column: calls of the relay until no tool is left to answer.

All times are of the server's clock from the moment the first call begins.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.playground import verdicts, wire
from console.playground.budget import WHO
from console.playground.columns import Case, Column, Tool, settings_for
from console.playground.ear import Ear
from console.playground.messages import result, words_of
from console.playground.takes import Called, Take
from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Part, Request, ToolCall
from gateway.relay.entry import Attempt, Entry
from gateway.relay.inside import ask

Json = dict[str, Any]
Emit = Callable[[str, Json], None]

MOST_ROUNDS = 8
QUIET_S = 2.0
# Each call is judged with all before it; so many at once are judged at the end only.
MOST_JUDGED = 16
# The log's words -> ours.
_OUTCOMES = {"ok": "ok", "cut": "cut", "client_closed": "stopped"}


class Lane:
    """One answer. `go` runs it to its end, which is always told; cancelling it stops it."""

    def __init__(
        self,
        emit: Emit,
        column: Column,
        case: Case,
        *,
        dialect: str,
        place: Json,
        session: str,
        stream: bool = True,
        allowed: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.column = column
        self.settings = settings_for(column, case)
        self.take = Take(col=column.id, n=place["n"], case=place.get("case"))
        self.entries: list[Entry] = []
        self.attempts: list[Attempt] = []
        self.quiet_since = self.started = time.perf_counter()
        self.over = False
        self.cost = 0.0
        self._emit, self._place = emit, place
        self._case, self._dialect, self._stream = case, dialect, stream
        self._session, self._allowed = session, allowed
        self._ear = Ear(self)
        self._told_quiet = 0.0
        self._fault: Error | None = None

    # --- the way of an answer ----------------------------------------------------------

    async def go(self) -> None:
        """Ask, feed results of mock tools back, ask again; then say how it ended."""
        self.started = self.quiet_since = time.perf_counter()
        try:
            await self._rounds()
        except asyncio.CancelledError:
            self._end("error" if self._fault else "stopped", self._fault)
            raise
        except GatewayError as failure:  # the dialect has no words for these settings
            if not self.take.model:
                self.say("start", model=self.column.model, route=self.column.model, notes=[])
            self._end("error", failure.error)

    async def _rounds(self) -> None:
        asked = wire.request(self.column, self._case, stream=self._stream)
        for number in range(MOST_ROUNDS):
            body, notes = wire.rendered(self._dialect, asked)
            if number == 0:
                self.say("start", model=self.column.model, route=self.column.model, notes=notes)
            refusal = self._allowed()
            if refusal is not None:
                self._end("refused", Error(kind="quota", message=refusal))
                return
            entry = await self._ask(body)
            grown = self._answered(asked) if entry.outcome == "ok" else None
            if grown is None or number == MOST_ROUNDS - 1:
                self._finish(entry)
                return
            asked = grown

    async def _ask(self, body: Json) -> Entry:
        self._ear.begin()
        entry = await ask(
            dialect=self._dialect,
            body=msgspec.json.encode(body),
            who=WHO,
            headers={"user-agent": "dragoman-playground"},
            session=self._session,
            listener=self._ear,
            model=self.column.model,
            stream=self._stream,
        )
        self._ear.flush()
        return entry

    def _answered(self, asked: Request) -> Request | None:
        """The request that gives the mock results back; None if there are none to give."""
        parts = self._ear.parts()
        calls = [part for part in parts if isinstance(part, ToolCall)]
        mocks = [self._mock(call) for call in calls]
        if not calls or any(tool is None for tool in mocks):
            return None
        results: list[Part] = []
        for call, tool in zip(calls, mocks, strict=True):
            assert tool is not None
            self.say("result", id=call.id, content=words_of(tool.mock))
            results.append(result(call.id, tool.mock))
        return wire.grown(asked, parts, tuple(results))

    def _mock(self, call: ToolCall) -> Tool | None:
        found = (tool for tool in self.settings.tools if tool.name == call.name)
        return next((tool for tool in found if tool.mock is not None), None)

    # --- what is told ------------------------------------------------------------------

    def say(self, kind: str, /, **data: Any) -> None:
        """One event of this answer."""
        self.quiet_since = time.perf_counter()
        self._told_quiet = 0.0
        event = {**self._place, **data}
        self.take.apply(kind, event)
        self._emit(kind, event)

    def attempted(self, attempt: Attempt, offset_ms: float) -> None:
        """A target was skipped, failed or answered; times are since this answer began."""
        self.attempts.append(attempt)
        self.say(
            "attempt",
            round=len(self.entries),
            target=attempt.target,
            provider=attempt.provider,
            model=attempt.model,
            status=attempt.status,
            error_kind=attempt.error_kind,
            error=attempt.error,
            skipped=attempt.skipped,
            started_ms=_ms(attempt.started_ms, offset_ms),
            first_byte_ms=_ms(attempt.first_byte_ms, offset_ms),
            ended_ms=_ms(attempt.ended_ms, offset_ms),
        )

    def settled(self, entry: Entry) -> None:
        """Keep the row of a round."""
        self.entries.append(entry)
        self.cost += float(entry.cost_usd or 0)

    def too_long(self) -> None:
        """End it: the answer is longer than any model writes."""
        task = asyncio.current_task()
        if self._fault is None and task is not None:
            self._fault = Error(kind="too_large", message=_("the answer is too long to be shown"))
            task.cancel()

    def tick(self, now: float) -> None:
        """Say that nothing has come for a while, once a second; called by the run's clock."""
        silent_s = now - self.quiet_since
        if self.over or silent_s < QUIET_S or silent_s - self._told_quiet < 1.0:
            return
        self._told_quiet = silent_s
        self._emit("quiet", {**self._place, "ms": round(silent_s * 1000)})

    def judge_calls(self, *, final: bool) -> None:
        """The verdict on the tools, as far as calls have come."""
        calls: list[Called] = self.take.calls
        if len(calls) > MOST_JUDGED and not final:
            return
        settings = self.settings
        verdict = verdicts.tools(calls, settings.tools, settings.expected, final=final)
        if verdict is not None:
            self.say("verdict", **verdict)

    # --- the end -----------------------------------------------------------------------

    def broke(self) -> None:
        """End it if it has no end: the playground itself failed."""
        self._end("error", Error(kind="upstream_error", message="the playground failed"))

    def _finish(self, entry: Entry) -> None:
        status = _OUTCOMES.get(entry.outcome, "error")
        error = None
        if entry.error_kind:
            error = Error(kind=entry.error_kind, message=entry.error)
        self._end(status, error, entry)

    def _end(self, status: str, error: Error | None, entry: Entry | None = None) -> None:
        if self.over:
            return
        self._ear.flush()
        total_ms = (time.perf_counter() - self.started) * 1000
        if status == "ok":
            self._judge()
        self.over = True
        used = self._ear.used(self.entries)
        self.say("usage", **used)
        self.say(
            "end",
            status=status,
            finish=entry.finish if entry else "",
            error=error.message if error else None,
            error_kind=error.kind if error else None,
            http_status=entry.status if entry else None,
            request_id=self.entries[-1].id if self.entries else None,
            request_ids=[each.id for each in self.entries],
            rounds=len(self.entries),
            provider=entry.provider if entry else None,
            upstream_model=entry.model if entry else None,
            ttft_ms=self._ear.ttft_ms,
            total_ms=round(total_ms, 1),
            tok_s=self._ear.speed(used["output"]),
            cost=self._cost(),
            fallback=status == "ok" and any(a.error_kind or a.skipped for a in self.attempts),
            adaptations=len(entry.adaptations) if entry else 0,
            chars=len(self.take.text),
            **used,
        )

    def _judge(self) -> None:
        if self.settings.schema is not None:
            self.say("verdict", **verdicts.at_the_end(self._ear.text, self.settings.schema))
        self.judge_calls(final=True)

    def _cost(self) -> float | None:
        """What all rounds cost together; unknown if one is."""
        if not self.entries or any(entry.cost_usd is None for entry in self.entries):
            return None
        return self.cost


def _ms(value: float | None, offset_ms: float) -> float | None:
    return None if value is None else round(value + offset_ms, 1)
