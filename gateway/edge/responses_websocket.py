"""OpenAI's Responses API over a WebSocket: one connection, many turns.

    client                                          gateway
    {"type": "response.create", ...body}    ->      stream events, one per message
    ...                                     <-      {"type": "error", "status": 400, ...}

An error has the HTTP status and body, and in `headers` the rate-limit headers
(Codex reads them there; codex-rs/codex-api, endpoint/responses_websocket.rs, 2026-11).

As OpenAI documents it (developers.openai.com, websocket-mode, 2026-11): `stream` and
`background` are not used; requests with one `stream_id` run in order, those with different
ones in parallel, and events carry their `stream_id`; the newest responses stay in the
connection's memory, so that `previous_response_id` also works with `store: false`;
`generate: false` prepares a turn without a response; a connection lasts an hour.

Each turn is processed like an HTTP request, including key, limits and log. The upstream is
called by HTTP. A disconnect of the client cancels the turns in progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses.stored_responses import empty_response
from gateway.edge import admission, endpoints, handshake, path_aliases
from gateway.edge.admission import authenticate, find_route
from gateway.edge.app import MAX_CHECKED_BYTES, new_call, serve
from gateway.edge.realtime import serve_realtime
from gateway.edge.websocket_memory import Responses, memory_of
from gateway.framing.headers import JSON_HEADER
from gateway.framing.sse import Decoder
from gateway.relay.event_loop import offload
from gateway.relay.exchange.call import Client, Receive, Send
from gateway.relay.exchange.stored_response import StoredResponse
from gateway.relay.run.response_state import new_response_id, owner_of
from gateway.relay.runtime import LazyRuntime, Runtime

Scope = dict[str, Any]
MAX_CONNECTION_S = 60 * 60.0
MAX_STREAMS = 32
MAX_TURNS = 16
MAX_STREAM_ID_CHARS = 200
# The memory of all connections of a key, in bodies of the maximum size: for responses, for turns.
_KEY_MEMORY_BODIES = 4
# How often an idle connection checks whether it must close.
_POLL_S = 0.5
# Fields of a message that are not part of the request body.
_ENVELOPE_FIELDS = (
    "type",
    "stream",
    "stream_id",
    "stream_options",
    "generate",
    "background",
    "event_id",
)
# Prefixes of the response headers that an error message includes.
_ERROR_HEADERS = ("retry-after", "x-ratelimit-", "x-request-id")
# Notifications from clients that need no response.
_IGNORED_TYPES = frozenset({"response.processed"})
_DIALECT_NAME, _PATH = "openai_responses", "/v1/responses"


async def serve_websocket(
    lazy_runtime: LazyRuntime, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve one WebSocket from its handshake to its end."""
    runtime = await lazy_runtime.get()
    await receive()
    path, _ = path_aliases.resolve_path(scope["path"])
    endpoint = endpoints.find_endpoint(path)
    if endpoint is endpoints.ENDPOINTS["realtime"]:
        await serve_realtime(runtime, scope, receive, send)
        return
    try:
        owner = _authenticate(runtime, scope)
    except GatewayError as refusal:
        await _reject_handshake(scope, send, refusal.error)
        return
    with handshake.count_connection(owner):
        await send({"type": "websocket.accept"})
        connection = _Connection(runtime, scope, send, owner)
        try:
            await connection.run(receive)
        finally:
            await connection.end()


def _authenticate(runtime: Runtime, scope: Scope) -> int | None:
    """The id of the connection's key; None without one. Raises GatewayError to reject it."""
    endpoint = endpoints.find_endpoint(scope["path"])
    if endpoint is None or endpoint.name != _PATH:
        paths = f"{_PATH} and /v1/realtime have one"
        message = f"there is no WebSocket at {scope['path'][:200]}; {paths}"
        raise GatewayError(Error(kind="not_found", message=message))
    handshake.check_capacity(runtime)
    key = authenticate(runtime, runtime.snapshot, scope["headers"], scope.get("query_string", b""))
    owner = key.id if key is not None else None
    handshake.check_key_capacity(owner)
    return owner


async def _reject_handshake(scope: Scope, send: Send, error: Error) -> None:
    """Reject the handshake with an error body."""
    reply = DIALECTS[_DIALECT_NAME].client.render_error(error, "")
    event = handshake.encode(_error_event(reply.status, reply.body))
    content = msgspec.json.encode(reply.body)
    headers = [JSON_HEADER]
    await handshake.reject(scope, send, reply.status, headers, content, event)


class _Connection:
    """One open WebSocket: its streams, and the responses in its memory."""

    def __init__(self, runtime: Runtime, scope: Scope, send: Send, owner: int | None) -> None:
        self.runtime = runtime
        self.disconnected = asyncio.Event()
        # The newest response of each stream, the oldest first.
        self.responses: Responses = OrderedDict()
        self._memory = memory_of(owner, _KEY_MEMORY_BODIES * runtime.config.max_body_bytes)
        self._send = send
        self._websocket_scope = scope
        self._streams: dict[str, asyncio.Task[None]] = {}
        self._open_turns = 0
        self._opened_at = time.monotonic()
        headers = [
            (k, v) for k, v in scope["headers"] if not k.startswith(handshake.HANDSHAKE_HEADERS)
        ]
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": _PATH,
            "headers": headers,
            "query_string": scope.get("query_string", b""),
            "client": scope.get("client"),
        }

    async def run(self, receive: Receive) -> None:
        """Handle messages until the client disconnects, the hour is over or the gateway drains."""
        next_message = asyncio.ensure_future(receive())
        try:
            while True:
                finished_tasks, _ = await asyncio.wait({next_message}, timeout=_POLL_S)
                if finished_tasks:
                    message = next_message.result()
                    if message["type"] == "websocket.disconnect":
                        return
                    if not await self._handle_message(message):
                        return
                    del message  # an idle connection does not hold it
                    next_message = asyncio.ensure_future(receive())
                if await self._close_if_over():
                    return
        finally:
            next_message.cancel()

    async def end(self) -> None:
        """Cancel the turns in progress."""
        self.disconnected.set()
        await asyncio.gather(*self._streams.values(), return_exceptions=True)
        self._memory.forget_all(self.responses)

    async def _close_if_over(self) -> bool:
        """Close the connection if it must end and no turn is running; return whether it did."""
        if self._open_turns:
            return False
        if time.monotonic() - self._opened_at > MAX_CONNECTION_S:
            code = "websocket_connection_limit_reached"
            message = (
                "this connection has been open for 60 minutes, which is the limit; open "
                "a new one to continue"
            )
            await self.send_error(400, _error_body(message, code), {}, "")
            await self._send({"type": "websocket.close", "code": 1000})
            return True
        if self.runtime.draining:
            await self._send(handshake.close_message(self._websocket_scope, handshake.GOING_AWAY))
            return True
        return False

    async def _handle_message(self, message: dict[str, Any]) -> bool:
        """Queue the turn that a message requests; return whether the connection stays open."""
        text = message.get("text")
        data = message.get("bytes") or b""
        size = len(data) if text is None else len(text)
        content = data if text is None else await offload.run_scan(size, text.encode)
        if len(content) > self.runtime.config.max_body_bytes:
            await self._send(handshake.close_message(self._websocket_scope, handshake.TOO_LARGE))
            return False
        stream_id = ""
        try:
            fields = await admission.decode_body(content)
            message_type = admission.field_value(fields, "type", str, default="")
            stream_id = _read_stream_id(fields)
            if message_type in _IGNORED_TYPES:
                return True
            _check_message(fields, message_type)
            self._queue_turn(stream_id, fields)
        except GatewayError as failure:
            await self.send_refusal(failure, stream_id)
        return True

    def _queue_turn(self, stream_id: str, fields: dict[str, msgspec.Raw]) -> None:
        """Queue a request behind those of its stream. Raises GatewayError for too many."""
        for name, task in list(self._streams.items()):
            if task.done():
                del self._streams[name]
        if self._open_turns >= MAX_TURNS or (
            stream_id not in self._streams and len(self._streams) >= MAX_STREAMS
        ):
            message = f"at most {MAX_TURNS} requests can be in progress on one connection"
            raise GatewayError(Error(kind="rate_limit", message=message))
        size = _field_bytes(fields)
        self._memory.add_turn(size)
        self._open_turns += 1
        previous_turn = self._streams.get(stream_id)
        turn = asyncio.create_task(self._run_turn(previous_turn, stream_id, fields))
        turn.add_done_callback(lambda _: self._memory.end_turn(size))
        self._streams[stream_id] = turn

    async def _run_turn(
        self,
        previous_turn: asyncio.Task[None] | None,
        stream_id: str,
        fields: dict[str, msgspec.Raw],
    ) -> None:
        try:
            if previous_turn is not None:
                await asyncio.wait({previous_turn})
            if self.disconnected.is_set():
                return
            if not admission.field_value(fields, "generate", bool, default=True):
                await self._respond_without_generating(stream_id, fields)
            else:
                body = await offload.run_scan(_field_bytes(fields), _request_body, fields)
                await _Turn(self, stream_id, body).run()
        except GatewayError as failure:
            await self.send_refusal(failure, stream_id)
        finally:
            self._open_turns -= 1

    async def _respond_without_generating(
        self, stream_id: str, fields: dict[str, msgspec.Raw]
    ) -> None:
        """Respond to a request with `generate: false`: later turns continue from its input."""
        runtime, scope = self.runtime, self.scope
        key = authenticate(runtime, runtime.snapshot, scope["headers"], scope["query_string"])
        model = admission.field_value(fields, "model", str, default="")
        if not model:
            raise invalid("model is required: the name of a route or `provider/model`", "model")
        find_route(runtime.snapshot, key, model)
        body = {k: v for k, v in fields.items() if k not in _ENVELOPE_FIELDS}
        dialect, size = DIALECTS[_DIALECT_NAME], _field_bytes(fields)
        content = await offload.run_scan(size, offload.encode_fields, body)
        if size <= MAX_CHECKED_BYTES:
            await offload.run_scan(size, dialect.check_passthrough, content)
        if admission.field_value(fields, "previous_response_id", str, default=""):
            raise invalid(
                "a request with generate false starts a conversation; omit previous_response_id",
                "previous_response_id",
            )
        echo = await offload.run_scan(size, dialect.read_echo, content) | {"store": False}
        context = ResponseContext(
            id=new_response_id(), created=int(time.time()), model=model, echoed_fields=echo
        )
        response_fields = empty_response(context)
        stored_response = StoredResponse(
            id=response_fields["id"],
            owner=owner_of(key),
            created_at=time.time(),
            input=bytes(body.get("input", b"")),
            response=msgspec.json.encode(response_fields),
        )
        self.remember_response(stream_id, stored_response)
        in_progress = {**response_fields, "status": "in_progress", "usage": None}
        for number, (name, response_state) in enumerate(
            (("created", in_progress), ("completed", response_fields))
        ):
            event = {
                "type": f"response.{name}",
                "sequence_number": number,
                "response": response_state,
            }
            await self.send(msgspec.json.encode(event), stream_id)

    def remember_response(self, stream_id: str, stored_response: StoredResponse) -> None:
        """Store the newest response of a stream in memory."""
        self._memory.remember(self.responses, stream_id, stored_response)
        size = sum(response.size for response in self.responses.values())
        while len(self.responses) > 1 and (
            len(self.responses) > MAX_STREAMS or size > self.runtime.config.max_body_bytes
        ):
            oldest_stream_id, oldest_response = next(iter(self.responses.items()))
            self._memory.forget(self.responses, oldest_stream_id)
            size -= oldest_response.size

    async def send(self, event: bytes, stream_id: str) -> None:
        """Send an event; wait while the client does not read."""
        if self.disconnected.is_set():
            return
        if stream_id:
            event = event.rstrip()[:-1] + b',"stream_id":' + msgspec.json.encode(stream_id) + b"}"
        with contextlib.suppress(OSError):
            await self._send({"type": "websocket.send", "text": event.decode()})

    async def send_refusal(self, failure: GatewayError, stream_id: str) -> None:
        """Send the error with which a message was rejected."""
        reply = DIALECTS[_DIALECT_NAME].client.render_error(failure.error, "")
        await self.send_error(reply.status, reply.body, reply.headers, stream_id)

    async def send_error(
        self, status: int, body: dict[str, Any], headers: Mapping[str, str], stream_id: str
    ) -> None:
        """Send an error."""
        event = _error_event(status, body)
        error_headers = {
            name: value for name, value in headers.items() if name.startswith(_ERROR_HEADERS)
        }
        await self.send(
            msgspec.json.encode(event | ({"headers": error_headers} if error_headers else {})),
            stream_id,
        )


class _Turn:
    """One turn, run as an HTTP request whose response is sent as messages."""

    def __init__(self, connection: _Connection, stream_id: str, body: bytes) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self._body = body
        self._body_sent = False
        self._status_code = 0
        self._headers: dict[str, str] = {}
        self._decoder = Decoder()
        self._error_body = bytearray()

    async def run(self) -> None:
        """Serve the turn; every failure is sent on the connection."""
        connection = self.connection
        runtime, scope = connection.runtime, connection.scope
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        endpoint = endpoints.ENDPOINTS["responses"]
        call = new_call(runtime, scope, headers, endpoint, time.perf_counter())
        call.exchange.connection_responses = {
            stored_response.id: stored_response for stored_response in connection.responses.values()
        }
        call.exchange.on_response = lambda stored_response: connection.remember_response(
            self.stream_id, stored_response
        )
        await serve(runtime, call, Client(self._handle_message), scope, self._receive_message)

    async def _receive_message(self) -> dict[str, Any]:
        if not self._body_sent:
            self._body_sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.connection.disconnected.wait()
        return {"type": "http.disconnect"}

    async def _handle_message(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status_code = message["status"]
            if self._status_code != 200:
                self._headers = {k.decode(): v.decode("latin-1") for k, v in message["headers"]}
            return
        data = message.get("body", b"")
        if self._status_code == 200:
            for frame in self._decoder.feed(data):
                await self.connection.send(frame.data, self.stream_id)
            return
        self._error_body += data
        if not message.get("more_body"):
            body = msgspec.json.decode(bytes(self._error_body))
            await self.connection.send_error(self._status_code, body, self._headers, self.stream_id)


def _field_bytes(fields: Mapping[str, msgspec.Raw]) -> int:
    """Size of the values of a message, in bytes."""
    return sum(map(len, fields.values()))


def _request_body(fields: Mapping[str, msgspec.Raw]) -> bytes:
    """A message as the body of an HTTP request."""
    body = {k: v for k, v in fields.items() if k not in _ENVELOPE_FIELDS}
    return offload.encode_fields(body | {"stream": msgspec.Raw(b"true")})


def _read_stream_id(fields: dict[str, msgspec.Raw]) -> str:
    stream_id: str = admission.field_value(fields, "stream_id", str, default="")
    if len(stream_id) > MAX_STREAM_ID_CHARS:
        raise invalid(
            f"stream_id must not be longer than {MAX_STREAM_ID_CHARS} characters", "stream_id"
        )
    return stream_id


def _check_message(fields: dict[str, msgspec.Raw], message_type: str) -> None:
    """Raises GatewayError for a message that a WebSocket does not support."""
    if message_type != "response.create":
        detail = f"it is {message_type[:60]!r}" if message_type else "it is missing"
        raise invalid(f"type must be response.create; {detail}", "type")
    if admission.field_value(fields, "background", bool, default=False):
        raise invalid("background is not supported over a WebSocket; use POST", "background")
    admission.field_value(fields, "generate", bool, default=True)


def _error_event(status: int, body: dict[str, Any]) -> dict[str, Any]:
    """An error as a message, with the status and body of the HTTP error."""
    return {"type": "error", "status": status, "error": body.get("error", body)}


def _error_body(message: str, code: str) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "code": code, "message": message}}
