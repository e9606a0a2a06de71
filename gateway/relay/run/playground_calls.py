"""Calls of the relay from within the process: the playground and replays.

Admission, routing, translation and log are those of a client's request; only the socket and
the secret of a key are missing, because the caller is authorized in another way.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from gateway.canon import model_names
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.events import Event
from gateway.canon.fold import unfold_response
from gateway.canon.response import Response
from gateway.dialects import DIALECTS
from gateway.dialects.base import Verb
from gateway.relay.exchange.call import Call, Client, Deadlines, Exchange
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.exchange.trace import sample_trace
from gateway.relay.exchange.usage import UsageTap
from gateway.relay.run.count_tokens import answer_token_count
from gateway.relay.run.guardrails import guard_request
from gateway.relay.run.pipeline import run
from gateway.relay.run.settle import CLIENT_GONE, record_failure, serve_call
from gateway.relay.runtime import Runtime
from gateway.routing.other_models import refuse_other_models
from gateway.routing.snapshot import ApiKey, Snapshot, may_use

log = logging.getLogger(__name__)


class CallListener(Protocol):
    """Receives the events of a call, in the event loop: it must not block."""

    def on_attempt(self, attempt: Attempt) -> None:
        """A target was skipped, has failed or has responded completely."""

    def on_events(self, events: list[Event]) -> None:
        """Canonical events of the response, as they arrive."""

    def on_bytes(self, data: bytes) -> None:
        """Bytes as a client of the dialect would receive them."""

    def on_settled(self, record: LogRecord) -> None:
        """The call has ended and is in the log, also if it was cancelled."""


class _NullListener:
    def on_attempt(self, attempt: Attempt) -> None: ...

    def on_events(self, events: list[Event]) -> None: ...

    def on_bytes(self, data: bytes) -> None: ...

    def on_settled(self, record: LogRecord) -> None: ...


class _Tap(UsageTap):
    """A usage tap that also passes the events to a listener."""

    __slots__ = ("_listener",)

    def __init__(self, listener: CallListener) -> None:
        super().__init__()
        self._listener = listener

    def feed(self, events: list[Event]) -> None:
        super().feed(events)
        self._listener.on_events(events)

    def note_response(self, response: Response) -> None:
        super().note_response(response)
        self._listener.on_events(unfold_response(response))


async def run_playground_call(
    runtime: Runtime,
    *,
    dialect: str,
    body: bytes,
    caller: str,
    headers: Mapping[str, str] | None = None,
    session: str = "",
    listener: CallListener | None = None,
    model: str = "",
    stream: bool | None = None,
    endpoint: str = "console",
    verb: Verb = "generate",
    key_id: int | None = None,
) -> LogRecord:
    """Run one request and return its log record, also if it failed.

    `body` is the JSON of a client of `dialect`; `caller` replaces the key in the log.
    `model` and `stream` are for dialects that encode them in the path; in others they are in
    the body. `endpoint` is the path's name, if the response format depends on it. With
    `key_id`, the call is one of that gateway key: it may use the key's routes, and its limits,
    budgets and guardrails apply. An error is in the record's `status` and `error`. Cancellation
    closes the upstream's connection immediately.
    """
    call_listener: CallListener = listener or _NullListener()
    call = _create_call(runtime, dialect, dict(headers or {}), session)
    exchange = call.exchange
    exchange.endpoint, exchange.verb = endpoint, verb
    if exchange.dialect.model_in_path:
        exchange.model, exchange.stream = model, bool(stream)
    exchange.key = ApiKey(id=0, prefix=caller, name=caller, digest=b"")
    exchange.body = body
    exchange.new_tap = lambda: _Tap(call_listener)
    call.attempt.tap = exchange.new_tap()
    exchange.on_attempt = call_listener.on_attempt
    client = Client(_make_send(call_listener))
    try:
        await _serve(runtime, call, client, key_id)
    finally:
        if call.record is not None:
            call_listener.on_settled(call.record)
    assert call.record is not None
    return call.record


def _create_call(runtime: Runtime, dialect: str, headers: dict[str, str], session: str) -> Call:
    client_dialect = DIALECTS[dialect]
    if session:
        headers["x-session-id"] = session
    exchange = Exchange(
        request_id=f"req_{uuid.uuid4().hex}",
        endpoint="console",
        verb="generate",
        dialect=client_dialect,
        snapshot=runtime.snapshot,
        headers=headers,
        started=time.perf_counter(),
    )
    if runtime.telemetry is not None:
        exchange.trace, exchange.unsampled_traceparent = sample_trace(headers, runtime.telemetry)
    return Call(exchange)


def _make_send(listener: CallListener) -> Any:
    async def send(message: dict[str, Any]) -> None:
        if data := message.get("body"):
            listener.on_bytes(data)
        # Yields to other tasks: nothing else here waits for a socket.
        await asyncio.sleep(0)

    return send


async def _serve(runtime: Runtime, call: Call, client: Client, key_id: int | None) -> None:
    exchange = call.exchange
    runtime.metrics.requests_in_flight += 1
    deadlines = Deadlines(runtime.deadline_ticker)

    async def fail(failure: GatewayError) -> None:
        client_gone = failure.error is CLIENT_GONE
        reply = record_failure(call, client, _STOPPED_BY_CALLER if client_gone else failure.error)
        if reply is not None:
            call.recorder.record_client(msgspec.json.encode(reply.body))
        if client_gone:
            call.outcome = "client_closed"

    async def work() -> None:
        if key_id is not None:
            exchange.key = _usable_key(exchange.snapshot, key_id)
        _accept_call(runtime, call)
        if exchange.snapshot.uses_guardrails:
            await guard_request(runtime, call)
        exchange.freeze()
        if exchange.verb == "count_tokens":
            await answer_token_count(runtime, call, client)
        else:
            await run(runtime, call, client, deadlines)

    try:
        await serve_call(runtime, call, client, deadlines, work(), fail)
    finally:
        runtime.metrics.requests_in_flight -= 1


def _usable_key(snapshot: Snapshot, key_id: int) -> ApiKey:
    """The key of this row id. Raises GatewayError (401) if it is revoked or has expired."""
    key = snapshot.key_with_id(key_id)
    if key is None:
        raise GatewayError(Error(kind="gateway_auth", message="this API key has been revoked"))
    if key.expires_at is not None and key.expires_at <= time.time():
        raise GatewayError(Error(kind="gateway_auth", message="this API key has expired"))
    return key


_STOPPED_BY_CALLER = Error(kind="client_gone", message="stopped by the user")


def _accept_call(runtime: Runtime, call: Call) -> None:
    """The edge's checks of a client's request, except for method, size and key."""
    exchange = call.exchange
    try:
        exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])
        if not exchange.dialect.model_in_path:
            exchange.model = msgspec.json.decode(exchange.fields["model"], type=str)
            stream_field = msgspec.json.decode(
                exchange.fields.get("stream", b"null"), type=bool | None
            )
            exchange.stream = (
                exchange.dialect.streams_by_default if stream_field is None else stream_field
            )
    except KeyError:
        raise invalid("model is required", "model") from None
    except msgspec.MsgspecError as error:
        raise invalid(f"the request is not valid: {error}") from None
    model = exchange.model
    exchange.route = exchange.snapshot.route(model) or exchange.snapshot.route(
        model.removesuffix(":latest")
    )
    if exchange.route is None:
        if (fault := model_names.find_name_fault(model)) is not None:
            raise invalid(f"model is not a valid model name: {fault}", "model")
        message = f"the model `{model[:200]}` does not exist"
        raise GatewayError(Error(kind="not_found", message=message, param="model"))
    key = exchange.key
    if key is not None and not may_use(key, exchange.route):
        message = f"this API key may not use the model `{model[:200]}`"
        raise GatewayError(Error(kind="not_allowed", message=message, param="model"))
    refuse_other_models(exchange.snapshot, key, exchange.fields)
    recorder = call.recorder
    own_switches = (key.log_bodies if key is not None else None, exchange.route.log_bodies)
    recorder.enabled = False not in own_switches and (
        True in own_switches or bool(exchange.snapshot.log_bodies)
    )
    recorder.limit = runtime.config.log_body_bytes
    recorder.masks = exchange.snapshot.masks
    recorder.started = exchange.started
    recorder.client_request = exchange.body
    exchange.dialect.check_passthrough(exchange.body)
