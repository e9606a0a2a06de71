"""Response head and body are sent in one write, with the same bytes as uvicorn's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.management.start.protocol import CoalescingTransport, Protocol
from gateway.relay.exchange.call import Client

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class RecordingTransport:
    """A transport that records each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> str:
        return "paused"

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str) -> None: ...

    def set_protocol(self, protocol: object) -> None: ...


def corked_writes() -> tuple[CoalescingTransport, RecordingTransport]:
    transport: Any = RecordingTransport()
    return CoalescingTransport(transport, asyncio.get_running_loop()), transport


async def test_writes_of_one_loop_turn_are_joined() -> None:
    cork, transport = corked_writes()
    cork.write(HEAD)
    cork.write(b"ok")
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [HEAD + b"ok"]
    cork.write(b"data: 1\n\n")
    await asyncio.sleep(0)
    assert transport.writes == [HEAD + b"ok", b"data: 1\n\n"]


async def test_a_buffered_head_waits_for_its_body() -> None:
    cork, transport = corked_writes()
    cork.buffer(HEAD)
    await asyncio.sleep(0)
    assert transport.writes == []
    cork.write(b"ok")
    await asyncio.sleep(0)
    assert transport.writes == [HEAD + b"ok"]


async def test_large_writes_are_sent_immediately() -> None:
    cork, transport = corked_writes()
    cork.write(HEAD)
    cork.write(b"x" * 65_536)
    assert transport.writes == [HEAD + b"x" * 65_536]
    cork.write(b"ok")
    await asyncio.sleep(0)
    assert transport.writes == [HEAD + b"x" * 65_536, b"ok"]


async def test_a_closed_connection_does_not_block_the_others() -> None:
    corks = [corked_writes() for _ in range(3)]
    for cork, _ in corks:
        cork.write(HEAD)
    corks[1][1].closed = True
    await asyncio.sleep(0)
    assert [transport.writes for _, transport in corks] == [[HEAD], [], [HEAD]]


async def test_close_sends_the_buffered_head() -> None:
    cork, transport = corked_writes()
    cork.write(HEAD)
    cork.close()
    assert transport.writes == [HEAD]
    assert transport.closed


async def test_nothing_is_sent_to_a_disconnected_client() -> None:
    cork, transport = corked_writes()
    cork.write(HEAD)
    transport.closed = True
    await asyncio.sleep(0)
    assert transport.writes == []


async def test_unchanged_methods_are_delegated_to_the_transport() -> None:
    cork, _ = corked_writes()
    assert cork.pause_reading() == "paused"


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


KIND = (b"content-type", b"text/plain")
FIVE = (b"content-length", b"5")
WHOLE = [start(KIND, FIVE), body(b"hello")]
RESPONSES: dict[str, list[dict[str, Any]]] = {
    "whole": WHOLE,
    "in pieces": [start(KIND), body(b"a", more=True), body(b"b", more=True), body()],
    "of known length in pieces": [start(FIVE), body(b"he", more=True), body(b"llo")],
    "long": [start((b"content-length", b"100000")), body(b"x" * 100_000)],
    "empty": [start((b"content-length", b"0")), body()],
    "without a body": [start(status=204), body()],
    "not modified": [start((b"etag", b"x"), status=304), body()],
    "of a status without a name": [start(FIVE, status=599), body(b"hello")],
    "that closes": [start(FIVE, (b"connection", b"close")), body(b"hello")],
    "chunked by itself": [start((b"transfer-encoding", b"chunked")), body(b"hello")],
    "with capitals": [
        start((b"Content-Type", b"text/plain"), (b"Content-Length", b"5")),
        body(b"hello"),
    ],
    "with tabs and Latin": [start((b"x-note", b"a\tb \xe9"), FIVE), body(b"hello")],
    "of the same header twice": [
        start((b"set-cookie", b"a"), (b"set-cookie", b"b"), FIVE),
        body(b"hello"),
    ],
    "with a line in a value": [start((b"x-note", b"a\r\nx-evil: 1"), FIVE), body(b"hello")],
    "with NUL in a value": [start((b"x-note", b"a\0b"), FIVE), body(b"hello")],
    "with a line in a name": [start((b"x\r\ny", b"a"), FIVE), body(b"hello")],
    "with a space in a name": [start((b"x y", b"a"), FIVE), body(b"hello")],
    "with no number for a length": [start((b"content-length", b"five")), body(b"hello")],
    "too long": [start(FIVE), body(b"hello, world")],
    "too short": [start(FIVE), body(b"he")],
    "without an end": [start(FIVE)],
    "without a beginning": [body(b"hello")],
    "none": [],
}
REQUESTS = {
    "1.1": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "1.0": b"GET / HTTP/1.0\r\nhost: x\r\n\r\n",
    "close": b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "HEAD": b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n",
}


def sends(messages: Any) -> Any:
    """Return an application that sends these messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


async def protocol_output(
    kind: type[HttpToolsProtocol], request: bytes, app: Any
) -> tuple[bytes, bool]:
    """Return the bytes written for two equal requests, and whether the connection is closed."""
    config = Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    state = ServerState()
    protocol = kind(config=config, server_state=state, app_state={})
    transport: Any = RecordingTransport()
    protocol.connection_made(transport)
    for _ in range(2):
        if not transport.closed:
            protocol.data_received(request)
        while state.tasks:
            await asyncio.wait(state.tasks)
        await asyncio.sleep(0)
    result = b"".join(transport.writes), transport.closed
    protocol.connection_lost(None)
    return result


@pytest.mark.parametrize("messages", RESPONSES.values(), ids=RESPONSES)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_a_response_equals_the_one_of_plain_uvicorn(messages: Any, request_: bytes) -> None:
    ours = await protocol_output(Protocol, request_, sends(messages))
    theirs = await protocol_output(HttpToolsProtocol, request_, sends(messages))
    assert ours == theirs


NOTE = (b"x-note", b"a")
REPLIES: dict[str, tuple[int, list[tuple[bytes, bytes]], bytes]] = {
    "short": (200, [KIND, NOTE], b"hello"),
    "long": (200, [KIND], b"x" * 100_000),
    "empty": (200, [KIND], b""),
    "an error": (404, [KIND, NOTE], b"no"),
    "without a body": (304, [NOTE], b""),
    "that closes": (200, [(b"connection", b"close")], b"hello"),
    "with a line in a value": (200, [(b"x-note", b"a\r\nx-evil: 1")], b"hello"),
    "with a line in a name": (200, [(b"x\r\ny", b"a")], b"hello"),
}


@pytest.mark.parametrize("response", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_a_whole_response_equals_the_one_of_plain_uvicorn(
    response: Any, request_: bytes
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Client(send).reply(*response)

    # The names of harmless headers are known from the second response on.
    await protocol_output(Protocol, REQUESTS["1.1"], sends([start(KIND, NOTE, FIVE), body(b"ab")]))
    output, closed = await protocol_output(Protocol, request_, app)
    plain_output, plain_closed = await protocol_output(HttpToolsProtocol, request_, app)
    # Only the order of the headers differs.
    assert sorted(output.split(b"\r\n")) == sorted(plain_output.split(b"\r\n"))
    assert closed == plain_closed


@pytest.mark.parametrize("parts", [[b"abc"], [b"", b"abc"], [b"a", b"", b"bc"]], ids=str)
async def test_the_body_is_received_once_and_then_the_disconnect(parts: list[bytes]) -> None:
    received: list[tuple[str, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            received.append((message["type"], message.get("body", b"")))
        listener = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not listener.done()
        await send(start(FIVE))
        await send(body(b"hello"))
        received.append(((await listener)["type"], b""))

    state, transport = ServerState(), RecordingTransport()
    config = Config(app, log_config=None, access_log=False, lifespan="off")
    protocol = Protocol(config=config, server_state=state, app_state={})
    protocol.connection_made(transport)
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n"
    for data in [head + parts[0], *parts[1:]]:
        protocol.data_received(data)
        await asyncio.sleep(0.01)
    while state.tasks:
        await asyncio.wait(state.tasks)
    protocol.connection_lost(None)
    assert b"".join(data for _, data in received) == b"abc"
    assert [kind for kind, _ in received].count("http.disconnect") == 1
    assert received[-1] == ("http.disconnect", b"")


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "messages"])
async def test_a_response_during_a_shutdown_closes_the_connection(complete: bool) -> None:
    app_state: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        app_state["draining"] = True  # the request was in progress
        if complete:
            await Client(send).reply(200, [KIND], b"hello")
        else:
            for message in WHOLE:
                await send(message)

    await protocol_output(Protocol, REQUESTS["1.1"], sends(WHOLE))
    state, transport = ServerState(), RecordingTransport()
    config = Config(app, log_config=None, access_log=False, lifespan="off")
    protocol = Protocol(config=config, server_state=state, app_state=app_state)
    protocol.connection_made(transport)
    protocol.data_received(REQUESTS["1.1"])
    while state.tasks:
        await asyncio.wait(state.tasks)
    assert b"connection: close\r\n" in transport.writes[0]
    assert transport.closed
    protocol.connection_lost(None)


async def test_a_whole_response_needs_no_messages() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"abc"
        sent.append(send.__self__.send_response(200, [KIND], b"hello"))
        assert (await receive())["type"] == "http.disconnect"

    await protocol_output(Protocol, REQUESTS["1.1"], sends(WHOLE))
    post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"
    output, _ = await protocol_output(Protocol, post, app)
    assert sent == [True, True]
    assert output == 2 * (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
    )


async def test_a_complete_response_is_one_write() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(KIND, FIVE))
        await asyncio.sleep(0)
        await send(body(b"hello"))

    state, transport = ServerState(), RecordingTransport()
    config = Config(app, log_config=None, access_log=False, lifespan="off")
    protocol = Protocol(config=config, server_state=state, app_state={})
    protocol.connection_made(transport)
    protocol.data_received(REQUESTS["1.1"])
    while state.tasks:
        await asyncio.wait(state.tasks)
    protocol.connection_lost(None)
    assert len(transport.writes) == 1
    assert transport.writes[0].endswith(b"\r\n\r\nhello")


async def answered_protocol(
    messages: Any, request: bytes, transport: RecordingTransport, **config: Any
) -> Protocol:
    """Return a connection that has had one response."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    state = ServerState()
    settings = Config(app, log_config=None, access_log=False, lifespan="off", **config)
    protocol = Protocol(config=settings, server_state=state, app_state={})
    protocol.connection_made(transport)
    protocol.data_received(request)
    while state.tasks:
        await asyncio.wait(state.tasks)
    return protocol


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    idle, busy = RecordingTransport(), RecordingTransport()
    await answered_protocol(WHOLE, REQUESTS["1.1"], idle, timeout_keep_alive=0.2)
    working = await answered_protocol(WHOLE, REQUESTS["1.1"], busy, timeout_keep_alive=0.2)
    while not idle.closed:
        # A request whose end has not come: nothing is idle.
        working.data_received(
            b"POST / HTTP/1.1\r\n" if working._idle_since is not None else b"a: b\r\n"
        )
        await asyncio.sleep(0.05)
    assert not busy.closed
    working.connection_lost(None)


async def test_a_request_extends_the_keepalive_timeout() -> None:
    transport = RecordingTransport()
    protocol = await answered_protocol(WHOLE, REQUESTS["1.1"], transport, timeout_keep_alive=0.3)
    loop = asyncio.get_running_loop()
    last = start = loop.time()
    while last - start < 0.5:
        await asyncio.sleep(0.1)
        last = loop.time()
        protocol.data_received(REQUESTS["1.1"])
    assert not transport.closed
    while not transport.closed:
        await asyncio.sleep(0.01)
    assert loop.time() - last >= 0.29


async def test_pipelined_requests_are_answered_in_order() -> None:
    transport = RecordingTransport()
    protocol = await answered_protocol(WHOLE, REQUESTS["1.1"] * 3, transport)
    assert b"".join(transport.writes).count(b"hello") == 3
    protocol.connection_lost(None)


_HOSTS: dict[str, tuple[bytes, int]] = {
    "none": (b"", 400),
    "two": (b"host: a\r\nhost: b\r\n", 400),
    "two equal": (b"host: a\r\nhost: a\r\n", 400),
    "a space": (b"host: a b\r\n", 400),
    "a path": (b"host: a/b\r\n", 400),
    "a user": (b"host: me@a\r\n", 400),
    "a list": (b"host: a,\xc3\xa4\r\n", 400),
    "empty": (b"host:\r\n", 200),
    "a name and port": (b"host: my_service-1.example:4000\r\n", 200),
    "an address": (b"host: [::1]:4000\r\n", 200),
}


@pytest.mark.parametrize(("line", "status"), _HOSTS.values(), ids=_HOSTS)
async def test_a_request_needs_one_valid_host(line: bytes, status: int) -> None:
    """RFC 9112, section 3.2; a proxy may take another host from such a request."""
    app = sends([start(KIND, FIVE), body(b"hello")])
    output, closed = await protocol_output(Protocol, b"GET / HTTP/1.1\r\n%b\r\n" % line, app)
    assert output.startswith(b"HTTP/1.1 %d " % status)
    assert closed is (status == 400)
    assert (b"Host" in output) is (status == 400)


@pytest.mark.parametrize(
    ("version", "status"),
    [(b" HTTP/1.0", 200), (b" HTTP/2.0", 505), (b" HTTP/0.9", 505), (b"", 505)],
)
async def test_only_http_1_is_served(version: bytes, status: int) -> None:
    """A request of HTTP/1.0 needs no host (RFC 9110, section 15.6.6)."""
    app = sends([start(KIND, FIVE), body(b"hello")])
    output, closed = await protocol_output(Protocol, b"GET /%b\r\n\r\n" % version, app)
    assert output.startswith(b"HTTP/1.1 %d " % status)
    assert closed
