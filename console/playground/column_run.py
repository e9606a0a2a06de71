"""One response of one column: calls the relay until no tool call is left to answer.

All times are measured by the server from the start of the first call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.playground import client_request, verdicts
from console.playground.budget import PLAYGROUND_KEY_PREFIX
from console.playground.logged_settings import LoggedBody, body_for, same_request
from console.playground.messages import tool_result, tool_result_text
from console.playground.plan import Column, Tool
from console.playground.results import ColumnResponse, ReceivedToolCall
from console.playground.stream_listener import StreamListener
from gateway.canon.errors import Error, GatewayError
from gateway.canon.request import Part, Request, ToolCall
from gateway.dialects import DIALECTS
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.run.playground_calls import run_playground_call
from gateway.relay.runtime import Runtime

Json = dict[str, Any]
Emit = Callable[[str, Json], None]

MAX_ROUNDS = 8
QUIET_S = 2.0
# Each check covers all calls so far; above this number they are checked at the end only.
MAX_JUDGED_CALLS = 16
# Outcome in the log -> status of a response.
_OUTCOMES = {"ok": "ok", "cut": "cut", "client_closed": "stopped"}


class ColumnRun:
    """One response. `run` always emits an `end` event; cancelling it stops the response."""

    def __init__(
        self,
        runtime: Runtime,
        emit: Emit,
        column: Column,
        repetition: int,
        *,
        dialect: str,
        session: str,
        stream: bool = True,
        logged_body: LoggedBody | None = None,
        budget_refusal: Callable[[], str | None] = lambda: None,
        key_id: int | None = None,
    ) -> None:
        self.column = column
        self.settings = column.settings
        self.response = ColumnResponse(col=column.id, n=repetition)
        self.records: list[LogRecord] = []
        self.attempts: list[Attempt] = []
        self.last_event_at = self.started_at = time.perf_counter()
        self.ended = False
        self.cost = 0.0
        self._runtime = runtime
        self._emit, self._scope = emit, {"col": column.id, "n": repetition}
        self._dialect, self._stream = dialect, stream
        self._logged_body, self._key_id = logged_body, key_id
        self._session, self._budget_refusal = session, budget_refusal
        self._listener = StreamListener(self)
        self._last_quiet_report_s = 0.0
        self._cancel_error: Error | None = None

    # --- rounds ------------------------------------------------------------------------

    async def run(self) -> None:
        """Send the request, answer calls of mocked tools, repeat; emit the end."""
        self.started_at = self.last_event_at = time.perf_counter()
        try:
            await self._run_rounds()
        except asyncio.CancelledError:
            self._end_run("error" if self._cancel_error else "stopped", self._cancel_error)
            raise
        except GatewayError as failure:  # the dialect cannot express these settings
            if not self.response.model:
                self.emit("start", model=self.column.model, route=self.column.model, notes=[])
            self._end_run("error", failure.error)

    async def _run_rounds(self) -> None:
        request = client_request.build_request(self.column, stream=self._stream)
        for number in range(MAX_ROUNDS):
            body, notes = self._render_body(request)
            if number == 0:
                self.emit("start", model=self.column.model, route=self.column.model, notes=notes)
            refusal = self._budget_refusal()
            if refusal is not None:
                self._end_run("refused", Error(kind="quota", message=refusal))
                return
            record = await self._send_request(body)
            next_request = self._next_request(request) if record.outcome == "ok" else None
            if next_request is None or number == MAX_ROUNDS - 1:
                self._end_with_record(record)
                return
            request = next_request

    def _render_body(self, request: Request) -> tuple[Json, list[Json]]:
        """The body and what it cannot express; an unedited request is the logged body."""
        logged_body = self._logged_body
        is_unedited = (
            logged_body is not None
            and logged_body.dialect == self._dialect
            and same_request(request, logged_body.unedited_request)
        )
        if logged_body is None or not is_unedited:
            return client_request.render_body(self._dialect, request)
        in_path = DIALECTS[self._dialect].model_in_path
        return body_for(logged_body, self.column.model, model_in_path=in_path), []

    async def _send_request(self, body: Json) -> LogRecord:
        self._listener.begin_round()
        record = await run_playground_call(
            self._runtime,
            dialect=self._dialect,
            body=msgspec.json.encode(body),
            caller=PLAYGROUND_KEY_PREFIX,
            headers={**self._logged_headers, "user-agent": "dragoman-playground"},
            session=self._session,
            listener=self._listener,
            model=self.column.model,
            stream=self._stream,
            key_id=self._key_id,
        )
        self._listener.flush()
        return record

    @property
    def _logged_headers(self) -> dict[str, str]:
        logged_settings = self.settings.logged_settings
        return logged_settings.headers if logged_settings is not None else {}

    def _next_request(self, request: Request) -> Request | None:
        """Follow-up request with the results of mocked tools; None if a call has no mock."""
        parts = self._listener.parts()
        calls = [part for part in parts if isinstance(part, ToolCall)]
        mocked_tools = [self._mocked_tool(call) for call in calls]
        if not calls or any(tool is None for tool in mocked_tools):
            return None
        results: list[Part] = []
        for call, tool in zip(calls, mocked_tools, strict=True):
            assert tool is not None
            self.emit("result", id=call.id, content=tool_result_text(tool.mock))
            results.append(tool_result(call.id, tool.mock))
        return client_request.next_round_request(request, parts, tuple(results))

    def _mocked_tool(self, call: ToolCall) -> Tool | None:
        matching_tools = (tool for tool in self.settings.tools if tool.name == call.name)
        return next((tool for tool in matching_tools if tool.mock is not None), None)

    # --- events ------------------------------------------------------------------------

    def emit(self, kind: str, /, **data: Any) -> None:
        """Emit an event of this response."""
        self.last_event_at = time.perf_counter()
        self._last_quiet_report_s = 0.0
        event = {**self._scope, **data}
        self.response.apply(kind, event)
        self._emit(kind, event)

    def record_attempt(self, attempt: Attempt, offset_ms: float) -> None:
        """Emit an attempt that was skipped, failed or answered; times since the start."""
        self.attempts.append(attempt)
        self.emit(
            "attempt",
            round=len(self.records),
            target=attempt.target,
            provider=attempt.provider,
            model=attempt.model,
            status=attempt.status,
            error_kind=attempt.error_kind,
            error=attempt.error,
            skipped=attempt.skipped,
            started_ms=_offset_ms(attempt.started_ms, offset_ms),
            first_byte_ms=_offset_ms(attempt.first_byte_ms, offset_ms),
            ended_ms=_offset_ms(attempt.ended_ms, offset_ms),
        )

    def record_settled_round(self, record: LogRecord) -> None:
        """Add the log record of a round."""
        self.records.append(record)
        self.cost += float(record.cost_usd or 0)

    def abort_too_long(self) -> None:
        """Cancel the response: it is longer than any model writes."""
        task = asyncio.current_task()
        if self._cancel_error is None and task is not None:
            self._cancel_error = Error(
                kind="too_large", message=_("the response is too long to be displayed")
            )
            task.cancel()

    def report_silence(self, now: float) -> None:
        """Emit `quiet` once per second while nothing arrives; called by `Run._poll_stops`."""
        silent_s = now - self.last_event_at
        if self.ended or silent_s < QUIET_S or silent_s - self._last_quiet_report_s < 1.0:
            return
        self._last_quiet_report_s = silent_s
        self._emit("quiet", {**self._scope, "ms": round(silent_s * 1000)})

    def emit_tool_verdict(self, *, final: bool) -> None:
        """Emit the verdict on the tool calls received so far."""
        calls: list[ReceivedToolCall] = self.response.calls
        if len(calls) > MAX_JUDGED_CALLS and not final:
            return
        settings = self.settings
        verdict = verdicts.check_tool_calls(calls, settings.tools, settings.expected, final=final)
        if verdict is not None:
            self.emit("verdict", **verdict)

    # --- end ---------------------------------------------------------------------------

    def fail(self) -> None:
        """End the response with an internal error unless it has ended."""
        self._end_run("error", Error(kind="upstream_error", message="the playground failed"))

    def _end_with_record(self, record: LogRecord) -> None:
        status = _OUTCOMES.get(record.outcome, "error")
        error = None
        if record.error_kind:
            error = Error(kind=record.error_kind, message=record.error)
        self._end_run(status, error, record)

    def _end_run(self, status: str, error: Error | None, record: LogRecord | None = None) -> None:
        if self.ended:
            return
        self._listener.flush()
        total_ms = (time.perf_counter() - self.started_at) * 1000
        if status == "ok":
            self._emit_final_verdicts()
        self.ended = True
        token_counts = self._listener.total_tokens(self.records)
        self.emit("usage", **token_counts)
        self.emit(
            "end",
            status=status,
            finish=record.finish if record else "",
            error=error.message if error else None,
            error_kind=error.kind if error else None,
            http_status=record.status if record else None,
            request_id=self.records[-1].id if self.records else None,
            request_ids=[each.id for each in self.records],
            rounds=len(self.records),
            provider=record.provider if record else None,
            upstream_model=record.model if record else None,
            ttft_ms=self._listener.ttft_ms,
            total_ms=round(total_ms, 1),
            tok_s=self._listener.tokens_per_s(token_counts["output"]),
            cost=self._total_cost(),
            fallback=status == "ok" and any(a.error_kind or a.skipped for a in self.attempts),
            adaptations=len(record.adaptations) if record else 0,
            chars=len(self.response.text),
            **token_counts,
        )

    def _emit_final_verdicts(self) -> None:
        if self.settings.schema is not None:
            self.emit(
                "verdict", **verdicts.check_complete_text(self._listener.text, self.settings.schema)
            )
        self.emit_tool_verdict(final=True)

    def _total_cost(self) -> float | None:
        """Total cost of all rounds; None if the cost of one is unknown."""
        if not self.records or any(record.cost_usd is None for record in self.records):
            return None
        return self.cost


def _offset_ms(value: float | None, offset_ms: float) -> float | None:
    return None if value is None else round(value + offset_ms, 1)
