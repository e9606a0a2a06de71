"""One client request in the relay.

Exchange      the request; frozen after admission
Call          its progress: attempts, limits, log record
AttemptState  one attempt at a target
Client        sends the response
Deadlines     cancels its task on a timeout, a client disconnect or a drain
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Literal, Protocol

import msgspec

from gateway.canon.errors import Error, invalid
from gateway.canon.request import Request
from gateway.dialects.base import Dialect, Framing, RequestPlan, Verb
from gateway.framing.headers import Header
from gateway.relay.event_loop import offload
from gateway.relay.exchange.cached_response import CacheLookup
from gateway.relay.exchange.guard_state import GuardState
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.exchange.passthrough import PassthroughState
from gateway.relay.exchange.realtime import ClientSocket
from gateway.relay.exchange.reasoning_turns import ReasoningState
from gateway.relay.exchange.recorder import Recorder
from gateway.relay.exchange.reservation import Reservation
from gateway.relay.exchange.stored_response import NativeRequest, StorePolicy
from gateway.relay.exchange.stored_response import StoredResponse as Response
from gateway.relay.exchange.trace import (
    TRACEPARENT,
    TRACEPARENT_CHARS,
    TraceContext,
    is_tracestate,
    new_span_id,
    traced_headers,
    unsampled_headers,
)
from gateway.relay.exchange.usage import UsageTap
from gateway.relay.upstream.media_fetch import FetchedFile
from gateway.routing.limits import Estimate
from gateway.routing.snapshot import ApiKey, Route, Snapshot, Target

NO_HEDGE_LOSS = Estimate()
Send = Callable[[dict[str, Any]], Awaitable[None]]
# Browsers must not guess the content type of a response.
_NOSNIFF: Header = (b"x-content-type-options", b"nosniff")


class ResponseSink(Protocol):
    """Receives a copy of what is sent to a client."""

    def collect_chunk(self, status: int, data: bytes) -> None:
        """Receive a chunk of the body, with the status."""

    def end(self, status: int, data: bytes) -> None:
        """Receive the last chunk; the response is complete."""


class Client:
    """Sends the response to the client, and records what was sent; knows no dialect."""

    __slots__ = (
        "_send",
        "_send_chunk",
        "_sink",
        "chunks",
        "first_byte_at",
        "headers",
        "pinged",
        "sent_at",
        "started",
        "status",
    )

    def __init__(self, send: Send) -> None:
        self._send = send
        # The server's method for a chunk without an ASGI message, if it has one.
        self._send_chunk: Callable[[bytes], bool] | None = None
        self._sink: ResponseSink | None = None
        # `pinged`: status and headers of a stream were sent with a ping, before its response.
        self.started = self.pinged = False
        self.status = 0
        self.headers: list[Header] = []
        self.first_byte_at: float | None = None
        self.sent_at, self.chunks = 0.0, 0

    def add_sink(self, sink: ResponseSink) -> None:
        """Copy each further chunk to `sink` after it was sent to the client."""
        self._sink = sink

    async def head(self, status: int, headers: list[Header]) -> None:
        """Send status and headers; no other target can be tried afterwards."""
        self.started = True
        self.first_byte_at = self.sent_at = time.perf_counter()
        if self.pinged:
            return
        self.status, self.headers = status, headers
        response_headers = [*headers, _NOSNIFF]
        self._send_chunk = getattr(getattr(self._send, "__self__", None), "send_chunk", None)
        await self._send(
            {"type": "http.response.start", "status": status, "headers": response_headers}
        )

    async def ping(self, headers: list[Header], data: bytes) -> None:
        """Send what a client ignores before a stream; another target can be tried afterwards."""
        if not self.pinged:
            self.pinged, self.status, self.headers = True, 200, headers
            start = {"type": "http.response.start", "status": 200}
            await self._send({**start, "headers": [*headers, _NOSNIFF]})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def write(self, data: bytes) -> None:
        """Send more of the body; wait while the client does not read."""
        self.chunks += 1
        self.sent_at = time.perf_counter()
        if self._send_chunk is None or not self._send_chunk(data):
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        if self._sink is not None:
            self._sink.collect_chunk(self.status, data)

    async def end(self, data: bytes = b"") -> None:
        """Send the last of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        if self._sink is not None:
            self._sink.end(self.status, data)
            self._sink = None  # breaks a possible reference cycle

    def join(self, other: Client) -> None:
        """Take over the state of another client of the same request, which has begun to send."""
        self.started, self.status, self.headers = other.started, other.status, other.headers
        self.first_byte_at, self.sent_at = other.first_byte_at, other.sent_at
        self.chunks = other.chunks

    async def reply(self, status: int, headers: list[Header], body: bytes) -> None:
        """Send a complete response; in one step if the server has a method for that."""
        send_response = getattr(getattr(self._send, "__self__", None), "send_response", None)
        if send_response is None or not send_response(status, [*headers, _NOSNIFF], body):
            await self.head(status, [*headers, (b"content-length", b"%d" % len(body))])
            await self.end(body)
            return
        self.started, self.status, self.headers = True, status, headers
        self.first_byte_at = self.sent_at = time.perf_counter()
        if self._sink is not None:
            self._sink.end(status, body)
            self._sink = None  # breaks a possible reference cycle


class Exchange:
    """One client request. It does not change after `freeze`.

    It is filled in during admission, and frozen before a target is selected. `fields` is the
    body decoded one level deep: values stay raw JSON, which makes passthrough exact and cheap.
    Features with more state have a record of their own (`passthrough_state`, `store_policy`,
    `plan`).

    Attributes:
        id: the gateway's own id.
        client_request_id: the id that the client sent; empty if it sent none.
        echoed_id: the id in the response headers: the client's, if it sent one.
        max_items: maximum number of messages, parts, calls, results and tools in a request.
        large_body_bytes: what its body counts toward the memory of large bodies; 0 for others.
        shadow_of: the request that this one repeats as shadow traffic; empty for a client's.
        prompt_tag: the tag in the log of its stored prompt, `prompt:<name>@<version>`, or empty.
        plan: how to serve it at a target that does not support such a request itself.
        earlier_responses: earlier responses by id that the request continues. Such a request
            passes through only to the provider of `native_continuation`.
        response_id: the id of the response, if it differs from the request's.
        echoed_fields: fields to echo in the response, in addition to those of the body.
        gateway_adaptations: changes by the gateway that do not depend on the target.
        connection_responses: earlier responses that a WebSocket connection holds in memory.
        on_response: called with the response, for a WebSocket connection.
        new_tap, on_attempt: hooks for callers in this process.
        passthrough_state: the state of a call of a passthrough endpoint.
        client_socket: the client's WebSocket, for a session of the Realtime API.
        free_of_charge: whether it uses no tokens, so that only limits of requests apply to it.
        trace: its span; None where no spans are recorded.
        timeout_s: the client's limit for the first byte, in seconds; None if it set none.
        unsampled_traceparent: the `traceparent` for upstreams where OpenTelemetry is on and this
            request is not sampled; else empty.
    """

    __slots__ = (
        "_parsed",
        "body",
        "client_ip",
        "client_request_id",
        "client_socket",
        "connection_responses",
        "dialect",
        "earlier_responses",
        "echoed_fields",
        "echoed_id",
        "endpoint",
        "fields",
        "framing",
        "free_of_charge",
        "gateway_adaptations",
        "headers",
        "id",
        "key",
        "large_body_bytes",
        "max_items",
        "model",
        "native_continuation",
        "new_tap",
        "on_attempt",
        "on_response",
        "passthrough_state",
        "path_model",
        "plan",
        "prompt_tag",
        "query",
        "response_id",
        "route",
        "shadow_of",
        "snapshot",
        "started",
        "started_at",
        "store_policy",
        "stream",
        "timeout_s",
        "trace",
        "unsampled_traceparent",
        "verb",
    )

    def __init__(
        self,
        *,
        request_id: str,
        endpoint: str,
        verb: Verb,
        dialect: Dialect,
        snapshot: Snapshot,
        headers: Mapping[str, str],
        started: float,
    ) -> None:
        self.id = self.echoed_id = request_id
        self.max_items = offload.MAX_ITEMS
        self.client_request_id = self.client_ip = self.prompt_tag = ""
        self.endpoint = endpoint
        self.verb: Verb = verb
        self.dialect = dialect
        self.snapshot = snapshot
        self.headers = headers
        self.started = started
        self.started_at = time.time()
        self.query = b""
        self.timeout_s: float | None = None
        self.key: ApiKey | None = None
        self.body = b""
        self.large_body_bytes = 0
        # The model that the path names, which replaces the one in the body; or empty.
        self.path_model = ""
        self.fields: dict[str, msgspec.Raw] = {}
        self.model = ""
        self.stream = False
        self.framing: Framing = dialect.framing
        self.route: Route | None = None
        self.shadow_of = self.response_id = ""
        self.plan: RequestPlan | None = None
        self.earlier_responses: Mapping[str, Any] | None = None
        self.native_continuation: NativeRequest | None = None
        self.store_policy: StorePolicy | None = None
        self.echoed_fields: dict[str, Any] = {}
        self.gateway_adaptations: list[dict[str, Any]] = []
        self.connection_responses: Mapping[str, Response] = {}
        self.on_response: Callable[[Response], None] | None = None
        self.new_tap: Callable[[], UsageTap] = UsageTap
        self.on_attempt: Callable[[Attempt], None] | None = None
        self.passthrough_state: PassthroughState | None = None
        self.client_socket: ClientSocket | None = None
        self.free_of_charge = False
        self.trace: TraceContext | None = None
        self.unsampled_traceparent = b""
        # Holds the canonical request once it is parsed.
        self._parsed: list[Request] = []

    def freeze(self) -> None:
        """Reject further changes."""
        # A change of class adds no cost to reads and earlier writes, as long as both have slots:
        # without them it slows down each later read.
        self.__class__ = _FrozenExchange

    def replace(self, **changes: Any) -> Exchange:
        """A frozen copy with these changes."""
        clone = self.unfrozen_copy(**changes)
        clone.freeze()
        return clone

    def unfrozen_copy(self, **changes: Any) -> Exchange:
        """A copy with these changes, not parsed yet, that `freeze` has to freeze again."""
        clone = object.__new__(Exchange)
        values = {name: getattr(self, name) for name in Exchange.__slots__}
        for name, value in (values | {"_parsed": []} | changes).items():
            setattr(clone, name, value)
        return clone

    @property
    def is_parsed(self) -> bool:
        """Whether `request` has been parsed."""
        return bool(self._parsed)

    @property
    def offload_size(self) -> int:
        """The size to pass to `offload.run`: 0 unless the body is translated or very large."""
        size = len(self.body)
        translated = bool(self._parsed) or self.verb == "embed"
        return size if translated or size >= offload.SCANNED_BYTES else 0

    async def parse(self) -> None:
        """Parse the request, off the event loop if it is large. Raises GatewayError."""
        if not self._parsed and len(self.body) >= offload.LARGE_BYTES:
            await offload.run(len(self.body), lambda: self.request)

    def decode_body(self) -> Any:
        """The JSON of the body. Raises GatewayError."""
        try:
            return offload.decode(self.body, self.max_items)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise invalid(f"the request body cannot be parsed: {error}") from None

    @property
    def request(self) -> Request:
        """The canonical request, parsed on first use. Raises GatewayError.

        On the event loop, call `parse` first.
        """
        if self._parsed:
            return self._parsed[0]
        decoded_body = self.decode_body()
        if self.dialect.model_in_path and isinstance(decoded_body, dict):
            decoded_body |= {"model": self.model, "stream": self.stream}
        headers = self.headers
        if self.verb == "count_tokens":
            headers = {**headers, "x-dragoman-verb": "count_tokens"}
        if self.earlier_responses is not None and self.dialect.parse_continuation is not None:
            request = self.dialect.parse_continuation(decoded_body, headers, self.earlier_responses)
        else:
            request = self.dialect.client.parse_request(decoded_body, headers)
        self._parsed.append(request)
        return request

    def fields_for(self, provider: str) -> dict[str, msgspec.Raw] | None:
        """The fields to pass through to a provider; None if the request must not pass through."""
        if self.native_continuation is not None and self.native_continuation.provider == provider:
            return self.native_continuation.fields
        return self.fields if self.earlier_responses is None else None

    def join_trace(self, parent: Exchange) -> None:
        """Continue the trace of the exchange for which this one is made."""
        self.unsampled_traceparent = parent.unsampled_traceparent
        if parent.trace is not None:
            self.trace = parent.trace.child()

    def trace_headers(self, attempt: Attempt | None = None) -> tuple[Header, ...]:
        """`x-request-id`, `traceparent` and `tracestate`, for the upstream.

        Where no spans are recorded, a client's W3C trace context is passed on, and without a
        valid one a `traceparent` is generated with the flag "not sampled".
        """
        request_id = (b"x-request-id", self.id.encode("ascii", "replace"))
        if self.trace is not None:
            span_id = attempt.span_id if attempt is not None else ""
            span_id = span_id or new_span_id()
            if attempt is not None:
                attempt.span_id = span_id
            return request_id, *traced_headers(self.headers, self.trace, span_id)
        if self.unsampled_traceparent:
            return request_id, *unsampled_headers(self.headers, self.unsampled_traceparent)
        traceparent = self.headers.get("traceparent", "")
        if len(traceparent) != TRACEPARENT_CHARS or not TRACEPARENT.fullmatch(traceparent):
            ids = random.getrandbits(128), random.getrandbits(64)
            return request_id, (b"traceparent", b"00-%032x-%016x-00" % ids)
        traceparent_header = (b"traceparent", traceparent.encode())
        state = self.headers.get("tracestate", "")
        if state and is_tracestate(state):
            return request_id, traceparent_header, (b"tracestate", state.encode())
        return request_id, traceparent_header

    def elapsed_ms(self) -> float:
        """Milliseconds since the request's arrival."""
        return milliseconds(time.perf_counter() - self.started)


def milliseconds(seconds: float) -> float:
    """A duration that is not negative, in milliseconds with three decimals."""
    return int(seconds * 1e6 + 0.5) / 1000  # half of what `round` costs


class _FrozenExchange(Exchange):
    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} of an admitted request cannot be changed")


class AttemptState(msgspec.Struct, eq=False):
    """One attempt at a target: what was sent, and what was received so far.

    Attributes:
        target: None before the first attempt, and for a cached response.
        passthrough: whether the client's own body was sent.
        recalled_reasoning: stored reasoning for turns that lack it, by the turn's index; None
            if no turn lacks it.
        stores_reasoning: whether to store the response's reasoning, for clients that cannot
            send it back.
        client_credential: the client's own credential, if it was sent; never logged.
        final_bytes: the whole response, or the last chunk of its stream, to be sent to the
            client.
    """

    target: Target | None
    tap: UsageTap
    passthrough: bool = False
    adaptations: list[dict[str, Any]] = []
    upstream_sent_at: float = 0.0
    recalled_reasoning: Mapping[int, ReasoningState] | None = None
    stores_reasoning: bool = False
    client_credential: str = ""
    final_bytes: bytes = b""


class Call:
    """The progress of one exchange, from its admission to its log record.

    Attributes:
        attempt: the current attempt; in the end the one that responded.
        attempts: the records of all attempts for the log, skipped targets included.
        outcome: `ok`, `error`, `cut` or `client_closed`, as in the log.
        upstream_wait_s: seconds spent waiting for upstreams, and between attempts.
        limits_reserved: whether the limits of key, team and route have admitted it.
        hedge_loss: usage of a hedged attempt that lost, in addition to the call's own.
        claim_win: for one of two hedged attempts, called when it has data for the client.
        cache_lookup: the lookup in the response cache; None on a route without one.
        state_rejected_by: the target that rejected the request's reasoning state.
        fetched_media: files fetched for targets that do not accept URLs, by URL.
        detached: whether it continues in the background after the client's request ends.
        guard: its guardrails and their results; None without any.
    """

    __slots__ = (
        "attempt",
        "attempts",
        "cache_lookup",
        "claim_win",
        "detached",
        "error",
        "exchange",
        "fetched_media",
        "guard",
        "hedge_loss",
        "limit_headers",
        "limits_reserved",
        "outcome",
        "record",
        "recorder",
        "reservations",
        "state_rejected_by",
        "upstream_wait_s",
    )

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.attempt = AttemptState(None, exchange.new_tap())
        self.attempts: list[Attempt] = []
        self.recorder = Recorder()
        self.error: Error | None = None
        self.outcome = "ok"
        self.upstream_wait_s = 0.0
        self.record: LogRecord | None = None
        self.limits_reserved = False
        self.reservations: list[Reservation] = []
        self.limit_headers: list[Header] = []
        self.hedge_loss = NO_HEDGE_LOSS
        self.claim_win: Callable[[], None] | None = None
        self.cache_lookup: CacheLookup | None = None
        self.state_rejected_by: Target | None = None
        self.fetched_media: dict[str, FetchedFile] = {}
        self.detached = False
        self.guard: GuardState | None = None

    def fork(self, claim_win: Callable[[], None] | None = None) -> Call:
        """A call of the same exchange for a parallel attempt, without reservations of its own."""
        fork = copy.copy(self)
        fork.attempt = AttemptState(None, self.exchange.new_tap())
        fork.attempts, fork.reservations = [], []
        fork.recorder = copy.copy(self.recorder)
        fork.recorder.new_attempt()
        fork.claim_win = claim_win
        return fork

    def join(self, fork: Call) -> None:
        """Continue with the results of a fork."""
        self.exchange, self.guard = fork.exchange, fork.guard
        self.attempt, self.attempts, self.recorder = fork.attempt, fork.attempts, fork.recorder
        self.error, self.outcome, self.record = fork.error, fork.outcome, fork.record
        self.reservations, self.hedge_loss = fork.reservations, fork.hedge_loss
        self.upstream_wait_s = fork.upstream_wait_s
        self.state_rejected_by = fork.state_rejected_by

    def end_upstream_wait(self) -> None:
        """Add the time since the upstream was called to `upstream_wait_s`, once."""
        attempt = self.attempt
        if attempt.upstream_sent_at:
            self.upstream_wait_s += time.perf_counter() - attempt.upstream_sent_at
            attempt.upstream_sent_at = 0.0


# --- deadlines --------------------------------------------------------------------------

StopReason = Literal["client_gone", "body", "first_byte", "idle", "total", "drain"]
TICK_S = 0.02
# A disconnect is noticed after at most this time and a tick; faster responses avoid the cost
# of the listening task (20 us).
LISTEN_AFTER_S = 0.02
Receive = Callable[[], Awaitable[dict[str, Any]]]
_NEVER = float("inf")


class DeadlineTicker:
    """Checks the deadlines of all open requests of a process, while there are any.

    Attributes:
        open: the deadlines that are not closed.
        is_ticking: whether a tick is due.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.open: set[Deadlines] = set()
        self.is_ticking = False

    def __iter__(self) -> Iterator[Deadlines]:
        return iter(list(self.open))

    def start(self) -> None:
        """Start the ticks, until no request is open."""
        self.is_ticking = True
        self.loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        now = self.loop.time()
        for deadlines in self:
            if deadlines.next_check_at <= now:
                deadlines.check(now)
        if self.open:
            self.loop.call_later(TICK_S, self._tick)
        else:
            self.is_ticking = False


class Deadlines:
    """The deadlines of the current task. Each fires at most a tick late. They must be closed."""

    __slots__ = (
        "_disconnect_task",
        "_due",
        "_due_reason",
        "_limit_s",
        "_listen_at",
        "_loop",
        "_open",
        "_receive",
        "_remaining_s",
        "_task",
        "_total_due",
        "next_check_at",
        "reason",
    )

    def __init__(self, ticker: DeadlineTicker) -> None:
        task = asyncio.current_task(ticker.loop)
        assert task is not None
        self._task = task
        self._loop = ticker.loop
        self._open = ticker.open
        self._open.add(self)
        if not ticker.is_ticking:
            ticker.start()
        self.reason: StopReason | None = None
        self.next_check_at = _NEVER
        self._limit_s = self._remaining_s = 0.0
        self._due = self._total_due = self._listen_at = _NEVER
        self._due_reason: StopReason = "first_byte"
        self._receive: Receive | None = None
        self._disconnect_task: asyncio.Task[None] | None = None

    def listen_for_disconnect(self, receive: Receive) -> None:
        """End the timeout of the body; from now on the request stops if the client disconnects."""
        self._due = _NEVER
        self._receive = receive
        self._listen_at = self._loop.time() + LISTEN_AFTER_S
        if self._listen_at < self.next_check_at:
            self.next_check_at = self._listen_at

    def set_timeout(
        self, seconds: float, reason: StopReason, *, total_s: float | None = None
    ) -> None:
        """Allow `seconds` until the next `reset` or `set_timeout`.

        `total_s` is the time from now for the whole attempt; None changes nothing.
        """
        now = self._loop.time()
        self._limit_s = seconds
        self._due = due = now + seconds
        self._due_reason = reason
        if total_s is not None:
            self._total_due = now + total_s
        if self._total_due < due:
            due = self._total_due
        if due < self.next_check_at:
            self.next_check_at = due

    def reset(self) -> None:
        """Restart the current timeout, because data has arrived."""
        # `next_check_at` may now be too early: that check finds no deadline.
        self._due = self._loop.time() + self._limit_s

    def pause(self, *, reset: bool = False) -> None:
        """Suspend the current timeout while waiting for the client; the total timeout still runs.

        `reset`: data has arrived, so that the timeout restarts on `resume`.
        """
        self._remaining_s = self._limit_s if reset else self._due - self._loop.time()
        self._due = _NEVER

    def resume(self) -> None:
        """Resume the current timeout with the time that remained at `pause`."""
        self._due = deadline = self._loop.time() + self._remaining_s
        if deadline < self.next_check_at:  # a check meanwhile has found no deadline
            self.next_check_at = deadline

    def stop(self, reason: StopReason) -> None:
        """Cancel the request for this reason. The first reason wins."""
        if self.reason is None and self in self._open:
            self.reason = reason
            self._task.cancel()

    def take_reason(self) -> StopReason | None:
        """After a CancelledError: the reason if `stop` caused it (and undoes it), else None."""
        if self.reason is not None:
            self._task.uncancel()
        return self.reason

    def clear(self) -> None:
        """Drop the timeouts and the reason, so that another target can be tried."""
        self.reason = None
        self._due = self._total_due = _NEVER

    def close(self) -> None:
        """End the checks."""
        self._open.discard(self)
        # The task refers to the deadlines too: that cycle would keep the request in memory until
        # the next garbage collection.
        task, self._disconnect_task = self._disconnect_task, None
        if task is not None and not task.done():
            task.cancel()

    def check(self, now: float) -> None:
        """Act on deadlines that have passed, and set `next_check_at`."""
        if now >= self._total_due:
            self.stop("total")
        elif now >= self._due:
            self.stop(self._due_reason)
        if now >= self._listen_at and self._receive is not None:
            self._listen_at = _NEVER
            self._disconnect_task = self._loop.create_task(self._stop_on_disconnect(self._receive))
        # A stopped request is not stopped again; `set_timeout` sets the next check.
        next_due = _NEVER if self.reason else min(self._due, self._total_due)
        self.next_check_at = min(next_due, self._listen_at)

    async def _stop_on_disconnect(self, receive: Receive) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while (await receive())["type"] != "http.disconnect":
                pass
            self.stop("client_gone")


_STOP_MESSAGES = {
    "body": "the request body did not arrive in time",
    "first_byte": "the upstream did not start its response in time",
    "idle": "the upstream stopped sending in the middle of its response",
    "total": "the upstream did not finish its response in time",
    "drain": "the gateway is shutting down",
}


def stop_error(reason: str | None) -> Error:
    """The error for a request that was stopped for `reason`."""
    kind = {"drain": "overloaded", "body": "invalid_request"}.get(reason or "", "timeout")
    return Error(kind=kind, message=_STOP_MESSAGES.get(reason or "", "the request was cancelled"))
