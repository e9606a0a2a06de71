"""OpenAI's Realtime API: a WebSocket that is passed through to the provider of its model.

    wss://gateway/v1/realtime?model=NAME    the name of a route, an alias or `provider/model`

A browser cannot set headers and sends the key as a subprotocol, `openai-insecure-api-key.KEY`,
next to `realtime`, which is the one in the response. A session is one request for limits and in
the log. Refusals before the handshake are HTTP responses.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects.base import ErrorReply
from gateway.edge import endpoints, handshake, passthrough
from gateway.edge.admission import CREDENTIAL_HEADERS, authenticate
from gateway.edge.app import new_call
from gateway.framing.headers import JSON_HEADER
from gateway.providers.passthrough_catalog import REALTIME
from gateway.relay.exchange.call import Call, Client, Deadlines, Receive, Send
from gateway.relay.exchange.passthrough import PassthroughState
from gateway.relay.run.pipeline import run
from gateway.relay.run.realtime import error_event
from gateway.relay.run.settle import CLIENT_GONE, serve_call, settle
from gateway.relay.runtime import Runtime

Scope = dict[str, Any]
_SUBPROTOCOL = "realtime"
_KEY_SUBPROTOCOL = "openai-insecure-api-key."
# The beta version of the API as a subprotocol; upstream it is a header.
_BETA_SUBPROTOCOL = "openai-beta."
# Parameters that name the model: OpenAI's and Azure's.
_MODEL_PARAMS = ("model", "deployment")
_NO_CODE = 1005
# How long the end of a session waits for a client that does not read.
_CLOSE_S = 2.0


async def serve_realtime(runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one session, from after the message `websocket.connect` to its end."""
    start_time = time.perf_counter()
    raw_headers = _request_headers(scope)
    headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in raw_headers}
    query = scope.get("query_string", b"")
    call = new_call(runtime, scope, headers, endpoints.ENDPOINTS["realtime"], start_time)
    exchange = call.exchange
    exchange.passthrough_state = PassthroughState(REALTIME, "GET", "v1")
    exchange.stream = True
    socket = exchange.client_socket = _Socket(scope, receive, send)
    client = Client(socket.accept)
    deadlines = Deadlines(runtime.deadline_ticker)

    async def fail(failure: GatewayError) -> None:
        await _report_failure(runtime, call, client, socket, failure)

    async def admit_and_run(connections: contextlib.ExitStack) -> None:
        handshake.check_capacity(runtime)
        if runtime.metrics.requests_in_flight >= runtime.config.max_requests:
            message = "the gateway is at its limit of concurrent requests; try again shortly"
            raise GatewayError(Error(kind="overloaded", message=message, retry_after_s=1))
        exchange.key = authenticate(runtime, exchange.snapshot, raw_headers, query)
        owner = exchange.key.id if exchange.key is not None else None
        handshake.check_key_capacity(owner)
        connections.enter_context(handshake.count_connection(owner))
        _select_route(call, query, runtime.config.log_body_bytes)
        exchange.freeze()
        runtime.metrics.requests_in_flight += 1
        try:
            await run(runtime, call, client, deadlines)
        finally:
            runtime.metrics.requests_in_flight -= 1

    with contextlib.ExitStack() as connections:
        await serve_call(runtime, call, client, deadlines, admit_and_run(connections), fail)


def _request_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers of the request, with those that a browser sends as subprotocols."""
    headers = [(k, v) for k, v in scope["headers"] if not k.startswith(b"sec-websocket-")]
    names = {name for name, _ in headers}
    for subprotocol in scope.get("subprotocols") or ():
        if subprotocol.startswith(_KEY_SUBPROTOCOL) and names.isdisjoint(CREDENTIAL_HEADERS):
            key = subprotocol.removeprefix(_KEY_SUBPROTOCOL)
            headers.append((b"authorization", f"Bearer {key}".encode("latin-1", "replace")))
        elif subprotocol.startswith(_BETA_SUBPROTOCOL) and b"openai-beta" not in names:
            name, _, version = subprotocol.removeprefix(_BETA_SUBPROTOCOL).rpartition("-")
            headers.append((b"openai-beta", f"{name}={version}".encode("latin-1", "replace")))
    return headers


def _select_route(call: Call, query: bytes, log_body_bytes: int) -> None:
    """Find the route. Raises GatewayError (400, 403, 404)."""
    exchange = call.exchange
    pairs = parse_qsl(query.decode("latin-1"))
    if any(name == "call_id" for name, _ in pairs):
        raise invalid("calls over WebRTC and SIP are not supported; use a WebSocket", "call_id")
    if any(name == "intent" for name, _ in pairs):
        raise invalid("transcription sessions are not supported; set only `model`", "intent")
    models = [value for name, value in pairs if name in _MODEL_PARAMS and value]
    if not models:
        example = "`/v1/realtime?model=gpt-realtime`"
        raise invalid(
            f"model is required: the name of a route or `provider/model`, as in {example}", "model"
        )
    if len(set(models)) > 1:
        raise invalid("model appears twice", "model")
    exchange.model = models[0]
    exchange.route = passthrough.route_for_model(exchange, REALTIME)
    if exchange.snapshot.uses_guardrails and (
        guardrails := exchange.snapshot.guardrails_for(exchange.route, exchange.key)
    ):
        names = ", ".join(guardrail.name for guardrail in guardrails)
        message = f"the model has guardrails ({names}), which cannot check the Realtime API"
        raise invalid(message, "model")
    own_switches = (exchange.key.log_bodies if exchange.key else None, exchange.route.log_bodies)
    call.recorder.enabled = False not in own_switches and (
        True in own_switches or bool(exchange.snapshot.log_bodies)
    )
    call.recorder.limit, call.recorder.masks = log_body_bytes, exchange.snapshot.masks
    call.recorder.started = exchange.started


async def _report_failure(
    runtime: Runtime, call: Call, client: Client, socket: _Socket, failure: GatewayError
) -> None:
    """Report a failure: as the response to the handshake, or as an event."""
    exchange, error = call.exchange, failure.error
    call.error = call.error or error
    if client.started:
        call.outcome = "client_closed" if error is CLIENT_GONE else "cut"
        settle(runtime, call, client)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_CLOSE_S):  # it may not read
                await socket.send(error_event(error, exchange.echoed_id))
                await socket.close(handshake.GOING_AWAY)
        return
    reply: ErrorReply = exchange.dialect.client.render_error(error, exchange.echoed_id)
    call.outcome = "client_closed" if error is CLIENT_GONE else "error"
    client.status = reply.status
    settle(runtime, call, client)
    headers = [
        JSON_HEADER,
        (b"x-request-id", exchange.echoed_id.encode()),
    ]
    headers += [(k.encode("ascii"), v.encode("ascii", "replace")) for k, v in reply.headers.items()]
    headers += call.limit_headers
    with contextlib.suppress(OSError):
        await socket.reject(
            reply.status,
            headers,
            msgspec.json.encode(reply.body),
            error_event(error, exchange.echoed_id),
        )


class _Socket:
    """The client's WebSocket."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send

    async def accept(self, message: dict[str, Any]) -> None:
        """Accept the handshake with the headers of a response."""
        if message["type"] != "http.response.start":
            return
        offered_subprotocols = self._scope.get("subprotocols") or ()
        subprotocol = _SUBPROTOCOL if _SUBPROTOCOL in offered_subprotocols else None
        await self._send(
            {
                "type": "websocket.accept",
                "subprotocol": subprotocol,
                "headers": message["headers"],
            }
        )

    async def reject(
        self, status: int, headers: list[tuple[bytes, bytes]], content: bytes, event: str
    ) -> None:
        await handshake.reject(self._scope, self._send, status, headers, content, event)

    async def receive(self) -> str | bytes | int:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return int(message.get("code") or _NO_CODE)
        text: str | None = message.get("text")
        return text if text is not None else bytes(message.get("bytes") or b"")

    async def send(self, message: str | bytes) -> None:
        name = "text" if isinstance(message, str) else "bytes"
        await self._send({"type": "websocket.send", name: message})

    async def close(self, code: int, reason: str = "") -> None:
        await self._send(handshake.close_message(self._scope, code, reason))
