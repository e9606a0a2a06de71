"""Limits before a request reaches the application: bytes, time, connections."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.management.start import connection_deadlines
from gateway.management.start.connection_deadlines import ConnectionLimits
from gateway.management.start.protocol import Protocol
from tests.waits import wait_until_async

K = 1024
POST = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class RecordingTransport:
    """A transport that records each write."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False
        self.protocol: Protocol | None = None

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed and self.protocol is not None:
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str) -> None: ...

    @property
    def status(self) -> int:
        return int(self.sent.split()[1]) if self.sent else 0


class ProtocolServer:
    """Connections to a server whose application reads the whole body, then responds "ok"."""

    def __init__(self, **limits: Any) -> None:
        self.state = ServerState()
        self.scopes: list[Any] = []
        self.bodies: list[bytes] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.limits = ConnectionLimits(**limits)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            self.scopes.append(scope)
            body, more = b"", scope["path"] != "/early"
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message["body"]
                more = message["more_body"]
            self.bodies.append(body)
            await self.hold.wait()
            start = {"status": 200, "headers": [(b"content-length", b"2")]}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": b"ok"})

        self.config = Config(app, log_config=None, access_log=False, lifespan="off")

    def connect(self) -> tuple[Protocol, RecordingTransport]:
        protocol = Protocol(config=self.config, server_state=self.state, app_state={})
        protocol.limits = self.limits
        transport: Any = RecordingTransport()
        transport.protocol = protocol
        protocol.connection_made(transport)
        return protocol, transport

    async def send(self, *pieces: bytes) -> RecordingTransport:
        """Return a connection that has sent these chunks, until it is closed."""
        protocol, transport = self.connect()
        for chunk in pieces:
            if transport.closed:
                break
            protocol.data_received(chunk)
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        return transport


def header(size: int) -> bytes:
    return b"x-pad: " + b"a" * (size - 9) + b"\r\n"


HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n"
LARGE: dict[str, list[bytes]] = {
    "many headers": [HEAD, *[header(K)] * 80],
    "many headers in one piece": [HEAD + header(K) * 80 + b"\r\n"],
    "one header": [HEAD, b"x-pad: ", *[b"a" * K] * 80],
    "one header in one piece": [HEAD + header(80 * K) + b"\r\n"],
    "a name": [HEAD, *[b"a" * K] * 80],
    "a path": [b"GET /", *[b"a" * K] * 80],
    "a path in one piece": [b"GET /" + b"a" * 80 * K + b" HTTP/1.1\r\nhost: x\r\n\r\n"],
    "empty lines": [b"\r\n" * K] * 40,
    "trailers": [POST, b"0\r\n", *[header(K)] * 80],
    "trailers in one piece": [POST, b"0\r\n" + header(K) * 80 + b"\r\n"],
    "one trailer": [POST, b"2\r\nhi\r\n0\r\nx: ", *[b"a" * K] * 80],
    "an extension of a chunk": [POST, b"2;x=", *[b"a" * K] * 80],
    "a second request's headers": [GET, HEAD, *[header(K)] * 80],
}


@pytest.mark.parametrize("pieces", LARGE.values(), ids=LARGE)
async def test_the_request_head_size_is_bounded(pieces: list[bytes]) -> None:
    server = ProtocolServer()
    transport = await server.send(*pieces)
    assert transport.closed
    assert b"HTTP/1.1 431 " in transport.sent
    assert transport.sent.count(b"HTTP/1.1 ") == (2 if pieces[0] == GET else 1)


FINE: dict[str, list[bytes]] = {
    "63 KiB of headers": [HEAD + header(63 * K) + b"\r\n"],
    "63 KiB of headers, each a piece": [HEAD, *[header(K)] * 63, b"\r\n"],
    "a long body": [POST, *[b"10000\r\n" + b"a" * 65536 + b"\r\n"] * 9, b"0\r\n\r\n"],
    "many small chunks": [POST, *[b"1\r\na\r\n" * 100] * 200, b"0\r\n\r\n"],
    "trailers": [POST, b"1\r\na\r\n0\r\n" + header(K) + b"\r\n"],
}


@pytest.mark.parametrize("pieces", FINE.values(), ids=FINE)
async def test_ordinary_requests_pass(pieces: list[bytes]) -> None:
    server = ProtocolServer()
    transport = await server.send(*pieces)
    assert transport.status == 200
    assert not transport.closed


async def test_request_trailers_are_not_headers() -> None:
    server = ProtocolServer()
    await server.send(POST, b"1\r\na\r\n0\r\nauthorization: Bearer x\r\n\r\n")
    assert server.bodies == [b"a"]
    assert [name for name, _ in server.scopes[0]["headers"]] == [b"host", b"transfer-encoding"]


async def test_a_large_head_is_refused_in_the_dialect() -> None:
    transport = await ProtocolServer().send(b"POST /v1/messages HTTP/1.1\r\n", header(80 * K))
    assert transport.status == 431
    assert b'"type":"error"' in transport.sent
    assert b"connection: close" in transport.sent


BINARY = {
    "x-api-key": b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: sk-\x01\xff\r\n\r\n",
    "authorization": b"POST /v1/messages HTTP/1.1\r\nAuthorization: Bearer \x00\x80\r\n\r\n",
}


@pytest.mark.parametrize("request_", BINARY.values(), ids=BINARY)
async def test_a_binary_key_is_refused_in_the_dialect(request_: bytes) -> None:
    transport = await ProtocolServer().send(request_)
    assert transport.status == 401
    assert b"authentication_error" in transport.sent
    assert transport.closed


DIALECT_KEYS: dict[str, tuple[bytes, bytes, tuple[str, ...], str]] = {
    "chat": (b"/v1/chat/completions", b"authorization", ("error", "code"), "invalid_api_key"),
    "responses": (b"/v1/responses", b"authorization", ("error", "code"), "invalid_api_key"),
    "completions": (b"/v1/completions", b"authorization", ("error", "code"), "invalid_api_key"),
    "embeddings": (b"/v1/embeddings", b"authorization", ("error", "code"), "invalid_api_key"),
    "messages": (b"/v1/messages", b"x-api-key", ("error", "type"), "authentication_error"),
    "gemini": (
        b"/v1beta/models/m:generateContent",
        b"x-goog-api-key",
        ("error", "status"),
        "UNAUTHENTICATED",
    ),
    "ollama": (b"/api/chat", b"authorization", (), ""),
}


@pytest.mark.parametrize("dialect", DIALECT_KEYS)
async def test_each_dialect_reports_a_binary_key_as_its_sdk_expects(dialect: str) -> None:
    path, name, header_name, code = DIALECT_KEYS[dialect]
    transport = await ProtocolServer().send(
        b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" % path,
        b"%s: Bearer sk-\x01\x7f\r\ncontent-length: 2\r\n\r\n{}" % name,
    )
    head, _, body = transport.sent.partition(b"\r\n\r\n")
    reply = json.loads(body)
    assert (transport.status, transport.closed) == (401, True)
    assert b"content-type: application/json" in head
    assert "API key" in body.decode()
    response = reply
    for field in header_name:
        response = response[field]
    assert response == code if header_name else isinstance(reply["error"], str)


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nx-note: \x01\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        POST + b"x-api-key: \x01\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\nupgrade: websocket\r\n"
        b"connection: upgrade\r\n\r\n",
    ],
)
async def test_other_malformed_requests_are_400(request_: bytes) -> None:
    server = ProtocolServer()
    transport = await server.send(request_)
    assert (transport.status, transport.closed, server.bodies) == (400, True, [])


SLOW: dict[str, tuple[list[bytes], int]] = {
    "silent": ([], 0),
    "half a head": ([HEAD], 408),
    "silent after an answer to half a body": (
        [b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nhalf"],
        200,
    ),
    "half a second head": ([GET, HEAD], 200),
}


@pytest.mark.parametrize(("pieces", "status"), SLOW.values(), ids=SLOW)
async def test_slow_clients_are_disconnected(pieces: list[bytes], status: int) -> None:
    transport = await ProtocolServer(head_s=0.05, linger_s=0.05).send(*pieces)
    assert not transport.closed
    await wait_until_async(lambda: transport.closed)
    assert transport.status == status


async def test_slow_bytes_do_not_extend_the_header_timeout() -> None:
    protocol, transport = ProtocolServer(head_s=0.2).connect()
    protocol.data_received(HEAD + b"x: ")
    while not transport.closed:
        protocol.data_received(b"a")
        await asyncio.sleep(0.01)
    assert transport.status == 408


async def test_a_request_that_is_answered_slowly_is_not_closed() -> None:
    server = ProtocolServer(head_s=0.05, linger_s=0.05)
    server.hold.clear()
    transport = await server.send(GET)
    await asyncio.sleep(0.2)
    assert not transport.closed
    server.hold.set()
    await wait_until_async(lambda: transport.status == 200)


async def test_the_longest_idle_connections_are_closed_for_new_ones() -> None:
    server = ProtocolServer(connections=20)
    protocol, transport = server.connect()
    protocol.data_received(GET)
    silent = [server.connect() for _ in range(60)]
    await asyncio.sleep(0)
    assert (await server.send(GET)).status == 200
    assert 10 <= sum(not item.closed for _, item in silent) <= 20
    protocol.data_received(GET)
    for _ in range(5):
        await asyncio.sleep(0)
    assert transport.sent.count(b"200 OK") == 2


async def test_an_idle_authenticated_connection_is_closed_for_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_deadlines, "MIN_IDLE_SERVED_S", 0.05)
    server = ProtocolServer(connections=2)
    first, second = await server.send(GET), await server.send(GET)
    refused_response = await server.send(GET)
    assert (refused_response.status, refused_response.closed) == (503, True)
    assert not first.closed
    await asyncio.sleep(0.1)
    assert (await server.send(GET)).status == 200
    assert first.closed
    assert not second.closed


@pytest.mark.parametrize("closed", [False, True])
async def test_unread_connections_are_closed_for_new_ones(
    monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    monkeypatch.setattr(connection_deadlines, "MIN_IDLE_SERVED_S", 0.05)
    server = ProtocolServer(connections=1)
    server.hold.clear()
    slow_protocol, transport = server.connect()
    slow_protocol.data_received(GET)
    slow_protocol.pause_writing()
    aborted: list[bool] = []
    monkeypatch.setattr(transport, "abort", lambda: aborted.append(True), raising=False)
    transport.closed = closed  # but for what the client does not read
    newer = await server.send(GET)
    assert newer.status == (0 if closed else 503)
    if not closed:
        assert not aborted
        await asyncio.sleep(0.1)
        assert (await server.send(GET)).status == 0
    assert aborted
    server.hold.set()


async def test_a_connection_above_the_limit_gets_503_with_retry_after() -> None:
    server = ProtocolServer(connections=3)
    server.hold.clear()
    for _ in range(3):
        await server.send(GET)
    transport = await server.send(POST + b"0\r\n\r\n")
    assert transport.status == 529  # Anthropic's for 503
    assert b"retry-after: 1" in transport.sent
    assert transport.closed
    server.hold.set()


SMUGGLED = b"GET /other HTTP/1.1\r\nhost: x\r\n\r\n"
UPGRADES = {
    "h2c, as Java's client sends it": b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\n",
    "unknown": b"connection: upgrade\r\nupgrade: foo\r\n",
    "a WebSocket": b"connection: upgrade\r\nupgrade: websocket\r\n",
}


@pytest.mark.parametrize("split", [False, True], ids=["one piece", "two pieces"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("method", [b"POST", b"GET"])
@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
async def test_a_request_with_an_ignored_upgrade_keeps_its_body(
    upgrade: bytes, method: bytes, framing: str, split: bool
) -> None:
    """Otherwise, the body would be lost, or be read as another request."""
    head, body = method + b" / HTTP/1.1\r\nhost: x\r\n" + upgrade, SMUGGLED
    if framing == "length":
        head += b"content-length: %d\r\n\r\n" % len(body)
    else:
        head += b"transfer-encoding: chunked\r\n\r\n"
        body = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    server = ProtocolServer()
    transport = await server.send(*([head, body] if split else [head + body]), GET)
    assert server.bodies == [SMUGGLED, b""]
    assert [scope["path"] for scope in server.scopes] == ["/", "/"]
    assert transport.sent.count(b"HTTP/1.1 200 ") == 2
    assert not transport.closed


async def test_a_request_with_an_ignored_upgrade_may_be_the_last() -> None:
    """As without an upgrade, what follows it is ignored."""
    for upgrade in (b"", b"upgrade: h2c\r\n"):
        head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade\r\n" + upgrade
        server = ProtocolServer()
        transport = await server.send(head + b"content-length: 2\r\n\r\nhi" + GET)
        assert server.bodies == [b"hi"]
        assert transport.sent.count(b"HTTP/1.1 ") == 1
        assert (transport.status, transport.closed) == (200, True)


async def test_a_tunnel_is_refused() -> None:
    server = ProtocolServer()
    transport = await server.send(b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", GET)
    assert (transport.status, transport.closed, server.bodies) == (400, True, [])
