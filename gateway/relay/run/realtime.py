"""Relays a session of OpenAI's Realtime API between a client and an upstream.

    connect    the upstream's WebSocket is opened first, so that another target can be tried and
               the client's handshake can be refused with an HTTP status
    relay      messages unchanged, in both directions; a side that does not read holds up the other
    end        the close code of one side is passed on to the other, and the call is settled

Each message is read only for its type; of `response.done` also the usage. The text of messages
is never logged: where bodies are, the log has the number of messages of each type.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import msgspec

from gateway.canon import model_names
from gateway.canon.errors import Error, GatewayError
from gateway.dialects import DIALECTS
from gateway.providers import passthrough_catalog
from gateway.providers.auth import DERIVED_HEADER_SCHEMES
from gateway.providers.passthrough_catalog import REALTIME
from gateway.providers.redact import Redactor
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Call, Client, Deadlines, StopReason, stop_error
from gateway.relay.exchange.realtime import (
    ClientSocket,
    SessionUsage,
    parse_response_usage,
    parse_transcription_model,
    transcription_cost,
)
from gateway.relay.limits.limiter import find_spent_budget
from gateway.relay.run.client_credential import with_client_credential
from gateway.relay.run.reply import response_headers
from gateway.relay.run.settle import charge_of_call, settle
from gateway.relay.translate.prepare import passed_headers
from gateway.relay.upstream.websocket import HandshakeRefused, UpstreamWebSocket, close_quietly
from gateway.routing.limits import units
from gateway.routing.snapshot import Provider, Target, Timeouts, may_use

if TYPE_CHECKING:
    from gateway.relay.runtime import Runtime

# How often a session is checked for its limits, its key and a shutdown.
_CHECK_S = 0.5
# Types of messages that are counted by name.
_MAX_TYPES, _MAX_TYPE_CHARS = 100, 64
_NORMAL, _GOING_AWAY, _REFUSED, _TOO_LARGE = 1000, 1001, 1008, 1009
_INTERNAL_ERROR, _RESTART = 1011, 1012
_NO_CODE = 1005
_MAX_REASON_BYTES = 120
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_SESSION_EVENTS = frozenset({"session.created", "session.updated"})


class _Message(msgspec.Struct):
    type: str = ""


class _SessionUpdate(msgspec.Struct):
    session: dict[str, msgspec.Raw] | None = None


_message_decoder = msgspec.json.Decoder(_Message)
_update_decoder = msgspec.json.Decoder(_SessionUpdate)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _SessionEnd(msgspec.Struct, frozen=True):
    """How a session ends.

    Attributes:
        by: `client`, `upstream` or `gateway`.
        code: the close code for the other side, or for both.
        error: what went wrong; None for a normal end.
    """

    by: str
    code: int
    reason: str = ""
    error: Error | None = None


async def serve_session(
    runtime: Runtime,
    call: Call,
    client: Client,
    deadlines: Deadlines,
    target: Target,
    timeouts: Timeouts,
) -> None:
    """Connect to a target and relay until one side closes the connection.

    Raises GatewayError while the client's handshake is not accepted.
    """
    exchange = call.exchange
    socket = exchange.client_socket
    assert socket is not None
    call.attempt.passthrough = True
    call.attempts[-1].dialect = exchange.dialect.name
    deadlines.set_timeout(timeouts.first_byte_s, "first_byte")
    call.attempt.upstream_sent_at = time.perf_counter()
    upstream = await _connect_upstream(runtime, call, target, timeouts)
    session = _Session(runtime, call, client, socket, upstream, timeouts)
    try:
        call.end_upstream_wait()
        record = call.attempts[-1]
        record.status, record.first_byte_ms = 101, exchange.elapsed_ms()
        record.upstream_id = upstream.headers.get("x-request-id")
        if runtime.health:
            runtime.breaker.release_trial(target.model.label)
        deadlines.clear()
        await client.head(101, response_headers(call, target.model.label))
        await session.run()
    finally:
        session.record()
        await close_quietly(upstream, session.end.code, session.end.reason)


async def _connect_upstream(
    runtime: Runtime, call: Call, target: Target, timeouts: Timeouts
) -> UpstreamWebSocket:
    exchange, provider = call.exchange, target.model.provider
    template = passthrough_catalog.family_path(provider.preset, provider.paths, REALTIME.family)
    if template is None:
        message = f"the provider {provider.name} does not support the Realtime API"
        raise GatewayError(Error(kind="unsupported_param", message=message, param="model"))
    model = target.model.name
    path = model_names.expand_path_template(template, model)
    if path == template:  # the path does not contain the model
        if not path.endswith("="):
            path += f"{'&' if '?' in path else '?'}model="
        path += quote(model, safe="")
    own_headers = passed_headers(exchange)
    own_headers.pop("idempotency-key", None)
    headers = runtime.request_templates.headers(provider, own_headers)
    url = runtime.request_templates.url(provider, path)
    if provider.client_credential:
        headers = with_client_credential(call, provider, headers)
    if runtime.config.trace_headers:
        headers = headers.copy()
        for header, content in exchange.trace_headers(call.attempts[-1]):
            headers[header.decode()] = content.decode("latin-1")
    try:
        return await _open_with_token(runtime, call, provider, url, headers, timeouts.connect_s)
    except HandshakeRefused as refusal:
        if refusal.status < 400:
            message = f"the upstream answered with the unexpected status {refusal.status}"
            error = Error(kind="upstream_error", message=message, status=refusal.status)
        else:
            dialect = DIALECTS[provider.dialect]
            error = dialect.provider.parse_error(refusal.status, refusal.headers, refusal.body)
        call.attempts[-1].status = refusal.status
        raise GatewayError(runtime.provider_secrets.redact(exchange.snapshot, error)) from None


async def _open_with_token(
    runtime: Runtime,
    call: Call,
    provider: Provider,
    url: httpx.URL,
    headers: httpx.Headers,
    connect_s: float,
) -> UpstreamWebSocket:
    """The WebSocket of a handshake that is repeated once if its access token is rejected.

    Raises HandshakeRefused, GatewayError.
    """
    is_repeated = False
    while True:
        signed_headers = await runtime.tokens.headers(provider, "GET", url, headers, b"")
        if provider.auth in DERIVED_HEADER_SCHEMES and call.recorder.enabled:
            call.recorder.add_redactor(Redactor(runtime.tokens.secrets()))
        try:
            return await runtime.upstreams.open_websocket(
                url,
                signed_headers,
                connect_s=connect_s,
                max_message_bytes=runtime.config.max_body_bytes,
                network=provider.network,
            )
        except HandshakeRefused as refusal:
            is_rejected = refusal.status == 401 and not is_repeated
            if not (is_rejected and runtime.tokens.discard_rejected(provider, signed_headers)):
                raise
            is_repeated = True


class _Traffic:
    """The messages of one direction: how many of each type, and their size."""

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        self.size = 0

    def add(self, message_type: str, size: int) -> None:
        name = message_type[:_MAX_TYPE_CHARS]
        self.types[name if name in self.types or len(self.types) < _MAX_TYPES else "other"] += 1
        self.size += size


class _Session:
    """An open session."""

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        client: Client,
        socket: ClientSocket,
        upstream: UpstreamWebSocket,
        timeouts: Timeouts,
    ) -> None:
        self.runtime, self.call, self.client = runtime, call, client
        self.socket, self.upstream, self.timeouts = socket, upstream, timeouts
        target = call.attempt.target
        assert target is not None
        self.target = target
        self.usage = SessionUsage(target.model.price)
        self.redactor = runtime.provider_secrets.redactor(
            call.exchange.snapshot, target.model.provider
        )
        # What applies if the session is cancelled.
        self.end = _SessionEnd("gateway", _GOING_AWAY)
        self._opened_at = self._last_message_at = time.monotonic()
        # Since when a response is due or in progress; None while there is none.
        self._response_since: float | None = None
        self._response_wait: StopReason = "first_byte"
        self._sent, self._received = _Traffic(), _Traffic()
        # The model that transcribes the client's audio; empty for none.
        self._transcription_model = ""

    async def run(self) -> None:
        """Relay until the end, and close the client's side."""
        relays = {
            asyncio.create_task(self._relay_client()),
            asyncio.create_task(self._relay_upstream()),
        }
        try:
            while True:
                finished_tasks, _ = await asyncio.wait(
                    relays, timeout=_CHECK_S, return_when=asyncio.FIRST_COMPLETED
                )
                session_end = (
                    next(iter(finished_tasks)).result() if finished_tasks else self._find_end()
                )
                if session_end is not None:
                    break
        finally:
            for relay in relays:
                relay.cancel()
            await asyncio.gather(*relays, return_exceptions=True)
        self.end = session_end
        await self._close_client(session_end)

    async def _close_client(self, session_end: _SessionEnd) -> None:
        call = self.call
        if session_end.error is not None:
            call.error, call.outcome = session_end.error, "cut"
        self.record()
        settle(self.runtime, call, self.client)
        if session_end.by == "client":
            return
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_CHECK_S * 4):
                if session_end.error is not None:
                    await self.socket.send(error_event(session_end.error, call.exchange.echoed_id))
                await self.socket.close(session_end.code, session_end.reason)

    def record(self) -> None:
        """Record usage and sizes for the log record, unless it was written."""
        call = self.call
        if call.record is not None:
            return
        state = call.exchange.passthrough_state
        assert state is not None
        state.sent_bytes, call.attempts[-1].received_bytes = self._sent.size, self._received.size
        if self.usage.reports:
            state.usage = self.usage.total()
        if call.recorder.enabled:
            call.recorder.client_request = msgspec.json.encode(dict(self._sent.types))
            call.recorder.record_upstream(msgspec.json.encode(dict(self._received.types)))

    # --- the two directions -------------------------------------------------------------

    async def _relay_client(self) -> _SessionEnd:
        while True:
            message = await self.socket.receive()
            if isinstance(message, int):
                code = _NORMAL if message == _NO_CODE else message
                if message == 1006 and self._response_since is not None:
                    self.call.outcome = "client_closed"
                return _SessionEnd("client", _GOING_AWAY if code == 1006 else code)
            size = len(message)
            if size > self.runtime.config.max_body_bytes:
                limit = self.runtime.config.max_body_bytes
                error = Error(kind="too_large", message=f"a message is larger than {limit} bytes")
                return _SessionEnd("gateway", _TOO_LARGE, error=error)
            message_type = await offload.run_scan(size, _type_of, message)
            self._sent.add(message_type, size)
            self._last_message_at = time.monotonic()
            if message_type == "session.update":
                message = await offload.run_scan(
                    size, _with_upstream_model, message, self.target.model.name
                )
            elif message_type == "response.create":
                self._expect_response("first_byte")
            if not await self.upstream.send(message):
                return self._upstream_closed()

    async def _relay_upstream(self) -> _SessionEnd:
        while True:
            message = await self.upstream.receive()
            if message is None:
                return self._upstream_closed()
            size = len(message)
            message_type = await offload.run_scan(size, _type_of, message)
            self._received.add(message_type, size)
            self._last_message_at = time.monotonic()
            if message_type == "error":
                message = self._without_secrets(message)
            if message_type in {"response.done", "error"}:
                self._response_since = None
            elif message_type.startswith("response."):
                self._expect_response("idle")
            is_done = message_type == "response.done"
            if is_done and (usage := parse_response_usage(message)) is not None:
                self.usage.add(usage)
            elif message_type == _TRANSCRIBED:
                is_done = True
                preset = self.target.model.provider.preset
                self.usage.add_cost(transcription_cost(message, preset, self._transcription_model))
            elif message_type in _SESSION_EVENTS:
                self._transcription_model = parse_transcription_model(message)
            try:
                await self.socket.send(message)
            except OSError:
                return _SessionEnd("client", _GOING_AWAY)
            self.client.chunks += 1
            self.client.sent_at = time.perf_counter()
            if (
                is_done
                and (refusal := _find_refusal(self.runtime, self.call, self.usage)) is not None
            ):
                return refusal

    def _expect_response(self, stop_reason: StopReason) -> None:
        self._response_since, self._response_wait = time.monotonic(), stop_reason

    def _without_secrets(self, message: str | bytes) -> str | bytes:
        if isinstance(message, bytes):
            return self.redactor.redact(message)
        return self.redactor.redact(message.encode()).decode("utf-8", "replace")

    # --- how it ends --------------------------------------------------------------------

    def _upstream_closed(self) -> _SessionEnd:
        upstream = self.upstream
        if upstream.broke_off:
            connection_error = Error(
                kind="upstream_error", message="the upstream closed the connection"
            )
            return _SessionEnd("upstream", _INTERNAL_ERROR, error=connection_error)
        reason = self.redactor.redact(upstream.close_reason.encode())[:_MAX_REASON_BYTES]
        code = upstream.close_code
        error = None
        if code not in {_NORMAL, _GOING_AWAY}:
            message = f"the upstream closed the connection with code {code}"
            error = Error(kind="upstream_error", message=message)
        return _SessionEnd("upstream", code, reason.decode("utf-8", "ignore"), error)

    def _find_end(self) -> _SessionEnd | None:
        """Why the session must end now; None if it need not."""
        now = time.monotonic()
        since = self._response_since
        is_first = self._response_wait == "first_byte"
        limit_s = self.timeouts.first_byte_s if is_first else self.timeouts.idle_s
        if since is not None and now - since > limit_s:
            return _SessionEnd("gateway", _INTERNAL_ERROR, error=stop_error(self._response_wait))
        config = self.runtime.config
        if now - self._opened_at > config.realtime_session_s:
            duration = _format_duration(config.realtime_session_s)
            message = f"this session has been open for {duration}, the limit"
            return _SessionEnd(
                "gateway", _NORMAL, error=Error(kind="invalid_request", message=message)
            )
        if now - self._last_message_at > config.realtime_idle_s:
            message = f"no message for {_format_duration(config.realtime_idle_s)}"
            return _SessionEnd(
                "gateway", _NORMAL, error=Error(kind="invalid_request", message=message)
            )
        if self.runtime.draining and since is None:
            return _SessionEnd("gateway", _RESTART)
        return _find_refusal(self.runtime, self.call, self.usage)


def _find_refusal(runtime: Runtime, call: Call, usage: SessionUsage) -> _SessionEnd | None:
    """The end of a session that its key may not continue, or that has used up a budget."""
    if (error := _find_withdrawal(runtime, call)) is not None:
        return _SessionEnd("gateway", _REFUSED, error=error)
    charge = charge_of_call(call, usage.known_cost_usd)
    spent_budget = find_spent_budget(runtime.limiter, call, units(charge))
    return None if spent_budget is None else _SessionEnd("gateway", _REFUSED, error=spent_budget)


def _find_withdrawal(runtime: Runtime, call: Call) -> Error | None:
    """Why a new session would not be accepted: its key was changed, or has guardrails now."""
    snapshot, key, route = runtime.snapshot, call.exchange.key, call.exchange.route
    if key is not None and key.id:
        key = snapshot.keys.get(key.digest)
        if key is None or (key.expires_at is not None and key.expires_at <= time.time()):
            return Error(kind="gateway_auth", message="this API key is no longer valid")
        if route is not None and not may_use(key, route):
            message = f"this API key may no longer use the model `{call.exchange.model[:200]}`"
            return Error(kind="not_allowed", message=message, param="model")
    if snapshot is not call.exchange.snapshot and snapshot.uses_guardrails:
        route = snapshot.route(call.exchange.model) or route
        if snapshot.guardrails_for(route, key):
            message = "the model has guardrails now, which cannot check the Realtime API"
            return Error(kind="not_allowed", message=message, param="model")
    return None


def _format_duration(seconds: float) -> str:
    """A duration for a message, in minutes if it is a number of them."""
    minutes, remainder = divmod(seconds, 60)
    if minutes and not remainder:
        return f"{minutes:.0f} minute{'' if minutes == 1 else 's'}"
    return f"{seconds:g} seconds"


def error_event(error: Error, request_id: str) -> str:
    """An `error` event of the Realtime API."""
    body: dict[str, Any] = DIALECTS[REALTIME.dialect].client.render_error(error, request_id).body
    detail = {"event_id": None, **body["error"]}
    event = {"type": "error", "event_id": f"event_{request_id[:60]}", "error": detail}
    return msgspec.json.encode(event).decode()


def _type_of(message: str | bytes) -> str:
    """The type of an event; empty if it has none, which the upstream will refuse."""
    try:
        return _message_decoder.decode(message).type
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def _with_upstream_model(message: str | bytes, model: str) -> str | bytes:
    """A `session.update` with the upstream's name of the model, if it names one."""
    try:
        session = _update_decoder.decode(message).session
        if session is None or "model" not in session:
            return message
        fields = _fields_decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return message
    session["model"] = msgspec.Raw(msgspec.json.encode(model))
    fields["session"] = msgspec.Raw(msgspec.json.encode(session))
    return msgspec.json.encode(fields).decode()
