"""OpenAI's Responses over a WebSocket: one connection, many turns.

    client                                          gateway
    {"type": "response.create", ...body}    ->      the events of a stream, one a message
    ...                                     <-      {"type": "error", "status": 400, ...}

An error has HTTP's status and words, and as `headers` those that say when to try again
(Codex reads them there; codex-rs/codex-api, endpoint/responses_websocket.rs, 2026-11).

As OpenAI documents it (developers.openai.com, websocket-mode, 2026-11): `stream` and
`background` are not used; requests with one `stream_id` are answered in their order, those
with different ones side by side, and events tell their `stream_id` back; the newest
answers stay in the connection's memory, so that `previous_response_id` works with `store:
false` too; `generate: false` prepares a turn without one; a connection lasts an hour.

Each turn goes the way of an HTTP request, key, limits and log included. The upstream is
called by HTTP. Who closes the connection ends what is under way.
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
from gateway.dialects.base import Exchange
from gateway.dialects.openai_responses.kept import prepared
from gateway.edge import body as request_body
from gateway.edge import endpoints
from gateway.edge.admit import admit, find_route
from gateway.edge.app import new_call, serve
from gateway.framing.sse import Decoder
from gateway.relay import runtime as relay_runtime
from gateway.relay.call import Client, Send
from gateway.relay.keeping import fresh_id, owner_of
from gateway.relay.kept import Kept
from gateway.relay.runtime import Runtime
from gateway.relay.watch import Receive

Scope = dict[str, Any]
LIFE_S = 60 * 60.0
MOST_LANES = 32
MOST_TURNS = 16
MOST_LANE_CHARS = 200
# Connections at once in one process.
MOST_CONNECTIONS = 2000
# How often an idle connection looks whether it is to end.
_LOOK_S = 0.5
_REFUSED, _TOO_BIG, _GOING_AWAY = 1008, 1009, 1012
_HANDSHAKE = (b"sec-websocket-", b"upgrade", b"connection", b"x-request-id", b"content-length")
# Fields of a message that are not the request's own.
_ENVELOPE = ("type", "stream", "stream_id", "stream_options", "generate", "background", "event_id")
# The headers of a refusal that are told with it.
_TOLD = ("retry-after", "x-ratelimit-", "x-request-id")
# What clients tell about the connection, and need no answer to.
_HEARD = frozenset({"response.processed"})
_NAME, _PATH = "openai_responses", "/v1/responses"
_open: set[int] = set()


async def socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one WebSocket from its handshake to its end."""
    runtime = await relay_runtime.ensure()
    await receive()
    refusal = _refusal(runtime, scope)
    if refusal is not None:
        await _deny(scope, send, refusal)
        return
    await send({"type": "websocket.accept"})
    connection = _Connection(runtime, scope, send)
    _open.add(id(connection))
    try:
        await connection.run(receive)
    finally:
        _open.discard(id(connection))
        await connection.end()


def _refusal(runtime: Runtime, scope: Scope) -> Error | None:
    """Why a connection is not opened."""
    endpoint = endpoints.find(scope["path"])
    if endpoint is None or endpoint.name != _PATH:
        message = f"there is no WebSocket at {scope['path'][:200]}; {_PATH} has one"
        return Error(kind="not_found", message=message)
    if runtime.draining or len(_open) >= MOST_CONNECTIONS:
        return Error(kind="overloaded", message="no further connections are taken here now")
    try:
        admit(runtime, runtime.snapshot, scope["headers"], scope.get("query_string", b""))
    except GatewayError as failure:
        return failure.error
    return None


async def _deny(scope: Scope, send: Send, error: Error) -> None:
    """Refuse the handshake, in words.

    A server that can not put words there (Daphne) takes the connection, tells, and closes it.
    """
    reply = DIALECTS[_NAME].client.render_error(error, "")
    if not _is_able(scope):
        await send({"type": "websocket.accept"})
        event = msgspec.json.encode(_error_event(reply.status, reply.body))
        await send({"type": "websocket.send", "text": event.decode()})
        await send(_closing(scope, _REFUSED))
        return
    headers = [(b"content-type", b"application/json")]
    start = {"status": reply.status, "headers": headers}
    await send({"type": "websocket.http.response.start", **start})
    content = msgspec.json.encode(reply.body)
    await send({"type": "websocket.http.response.body", "body": content})


def _is_able(scope: Scope) -> bool:
    """Whether the server can do more than accept, send and close, which is all Daphne can."""
    return "websocket.http.response" in scope.get("extensions", {})


def _closing(scope: Scope, code: int) -> dict[str, Any]:
    """The message that closes a connection with a code of the protocol's own, 10xx.

    Daphne lets no application use those: there it is 40xx, of the private ones.
    """
    return {"type": "websocket.close", "code": code if _is_able(scope) else code + 3000}


class _Connection:
    """One open WebSocket: its lanes, and the answers in its memory."""

    def __init__(self, runtime: Runtime, scope: Scope, send: Send) -> None:
        self.runtime = runtime
        self.gone = asyncio.Event()
        # The newest answer of each lane, the oldest first.
        self.memory: OrderedDict[str, Kept] = OrderedDict()
        self._send = send
        self._opened = scope
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._turns = 0
        self._begun = time.monotonic()
        headers = [(k, v) for k, v in scope["headers"] if not k.startswith(_HANDSHAKE)]
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": _PATH,
            "headers": headers,
            "query_string": scope.get("query_string", b""),
            "client": scope.get("client"),
        }

    async def run(self, receive: Receive) -> None:
        """Take messages until the client leaves, the hour is over, or the gateway ends."""
        getting = asyncio.ensure_future(receive())
        try:
            while True:
                done, _ = await asyncio.wait({getting}, timeout=_LOOK_S)
                if done:
                    message = getting.result()
                    if message["type"] == "websocket.disconnect":
                        return
                    if not await self._take(message):
                        return
                    getting = asyncio.ensure_future(receive())
                if await self._is_over():
                    return
        finally:
            getting.cancel()

    async def end(self) -> None:
        """Stop what is under way."""
        self.gone.set()
        await asyncio.gather(*self._lanes.values(), return_exceptions=True)

    async def _is_over(self) -> bool:
        """Close the connection if its time has come and nothing is under way."""
        if self._turns:
            return False
        if time.monotonic() - self._begun > LIFE_S:
            code = "websocket_connection_limit_reached"
            message = "this connection has lasted for 60 minutes; open a new one to go on"
            await self.tell(400, _error_body(message, code), {}, "")
            await self._send({"type": "websocket.close", "code": 1000})
            return True
        if self.runtime.draining:
            await self._send(_closing(self._opened, _GOING_AWAY))
            return True
        return False

    async def _take(self, message: dict[str, Any]) -> bool:
        """Begin what a message asks for; whether the connection goes on."""
        text = message.get("text")
        data = text.encode() if text is not None else message.get("bytes") or b""
        if len(data) > self.runtime.config.max_body_bytes:
            await self._send(_closing(self._opened, _TOO_BIG))
            return False
        lane = ""
        try:
            fields = request_body.decode(data)
            kind = request_body.field(fields, "type", str, default="")
            lane = _lane_of(fields)
            if kind in _HEARD:
                return True
            _check(fields, kind)
            self._queue(lane, fields)
        except GatewayError as failure:
            await self.refuse(failure, lane)
        return True

    def _queue(self, lane: str, fields: dict[str, msgspec.Raw]) -> None:
        """Answer a request after those of its lane. Raises GatewayError if there are too many."""
        for name, task in list(self._lanes.items()):
            if task.done():
                del self._lanes[name]
        if self._turns >= MOST_TURNS or (
            lane not in self._lanes and len(self._lanes) >= MOST_LANES
        ):
            message = f"no more than {MOST_TURNS} requests may be under way on one connection"
            raise GatewayError(Error(kind="rate_limit", message=message))
        self._turns += 1
        before = self._lanes.get(lane)
        self._lanes[lane] = asyncio.create_task(self._turn(before, lane, fields))

    async def _turn(
        self, before: asyncio.Task[None] | None, lane: str, fields: dict[str, msgspec.Raw]
    ) -> None:
        try:
            if before is not None:
                await asyncio.wait({before})
            if self.gone.is_set():
                return
            if not request_body.field(fields, "generate", bool, default=True):
                await self._prepare(lane, fields)
            else:
                await _Turn(self, lane, fields).run()
        except GatewayError as failure:
            await self.refuse(failure, lane)
        finally:
            self._turns -= 1

    async def _prepare(self, lane: str, fields: dict[str, msgspec.Raw]) -> None:
        """Answer a request that is to say nothing: later ones go on from its input."""
        runtime, scope = self.runtime, self.scope
        key = admit(runtime, runtime.snapshot, scope["headers"], scope["query_string"])
        model = request_body.field(fields, "model", str, default="")
        if not model:
            raise invalid("model is required: the name of a route or `provider/model`", "model")
        find_route(runtime.snapshot, key, model)
        body = {k: v for k, v in fields.items() if k not in _ENVELOPE}
        content = msgspec.json.encode(body)
        dialect = DIALECTS[_NAME]
        dialect.check(content)
        if request_body.field(fields, "previous_response_id", str, default=""):
            raise invalid(
                "generate false begins a conversation; leave previous_response_id out",
                "previous_response_id",
            )
        echo = dialect.echo(content) | {"store": False}
        exchange = Exchange(id=fresh_id(), created=int(time.time()), model=model, echo=echo)
        told = prepared(exchange)
        kept = Kept(
            id=told["id"],
            owner=owner_of(key),
            created_at=time.time(),
            input=bytes(body.get("input", b"")),
            response=msgspec.json.encode(told),
        )
        self.remember(lane, kept)
        begun = {**told, "status": "in_progress", "usage": None}
        for number, (name, response) in enumerate((("created", begun), ("completed", told))):
            event = {"type": f"response.{name}", "sequence_number": number, "response": response}
            await self.send(msgspec.json.encode(event), lane)

    def remember(self, lane: str, kept: Kept) -> None:
        """Have the newest answer of a lane."""
        self.memory[lane] = kept
        self.memory.move_to_end(lane)
        size = sum(held.size for held in self.memory.values())
        while len(self.memory) > 1 and (
            len(self.memory) > MOST_LANES or size > self.runtime.config.max_body_bytes
        ):
            size -= self.memory.popitem(last=False)[1].size

    async def send(self, event: bytes, lane: str) -> None:
        """Send an event; waits while the client does not read."""
        if self.gone.is_set():
            return
        if lane:
            event = event.rstrip()[:-1] + b',"stream_id":' + msgspec.json.encode(lane) + b"}"
        with contextlib.suppress(OSError):
            await self._send({"type": "websocket.send", "text": event.decode()})

    async def refuse(self, failure: GatewayError, lane: str) -> None:
        """Send what a message was refused with."""
        reply = DIALECTS[_NAME].client.render_error(failure.error, "")
        await self.tell(reply.status, reply.body, reply.headers, lane)

    async def tell(
        self, status: int, body: dict[str, Any], headers: Mapping[str, str], lane: str
    ) -> None:
        """Send an error."""
        event = _error_event(status, body)
        told = {name: value for name, value in headers.items() if name.startswith(_TOLD)}
        await self.send(msgspec.json.encode(event | ({"headers": told} if told else {})), lane)


class _Turn:
    """One request on its way as an HTTP request, whose answer goes out as messages."""

    def __init__(self, connection: _Connection, lane: str, fields: dict[str, msgspec.Raw]) -> None:
        self.connection = connection
        self.lane = lane
        body = {k: v for k, v in fields.items() if k not in _ENVELOPE}
        self._body = msgspec.json.encode(body | {"stream": msgspec.Raw(b"true")})
        self._asked = False
        self._status = 0
        self._headers: dict[str, str] = {}
        self._decoder = Decoder()
        self._refusal = bytearray()

    async def run(self) -> None:
        """Answer it; each failure is told on the connection."""
        connection = self.connection
        runtime, scope = connection.runtime, connection.scope
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        endpoint = endpoints.ENDPOINTS["responses"]
        call = new_call(runtime, scope, headers, endpoint, time.perf_counter())
        call.known = {kept.id: kept for kept in connection.memory.values()}
        call.heard = lambda kept: connection.remember(self.lane, kept)
        await serve(runtime, call, Client(self._take), scope, self._receive)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.connection.gone.wait()
        return {"type": "http.disconnect"}

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._status != 200:
                self._headers = {k.decode(): v.decode("latin-1") for k, v in message["headers"]}
            return
        data = message.get("body", b"")
        if self._status == 200:
            for frame in self._decoder.feed(data):
                await self.connection.send(frame.data, self.lane)
            return
        self._refusal += data
        if not message.get("more_body"):
            body = msgspec.json.decode(bytes(self._refusal))
            await self.connection.tell(self._status, body, self._headers, self.lane)


def _lane_of(fields: dict[str, msgspec.Raw]) -> str:
    lane: str = request_body.field(fields, "stream_id", str, default="")
    if len(lane) > MOST_LANE_CHARS:
        raise invalid(
            f"stream_id must not be longer than {MOST_LANE_CHARS} characters", "stream_id"
        )
    return lane


def _check(fields: dict[str, msgspec.Raw], kind: str) -> None:
    """Raise GatewayError for what is not asked over a WebSocket."""
    if kind != "response.create":
        given = f"it is {kind[:60]!r}" if kind else "it is missing"
        raise invalid(f"type must be response.create; {given}", "type")
    if request_body.field(fields, "background", bool, default=False):
        raise invalid("background is not supported over a WebSocket; use POST", "background")
    request_body.field(fields, "generate", bool, default=True)


def _error_event(status: int, body: dict[str, Any]) -> dict[str, Any]:
    """An error as a message: the status and words that HTTP would have had."""
    return {"type": "error", "status": status, "error": body.get("error", body)}


def _error_body(message: str, code: str) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "code": code, "message": message}}
