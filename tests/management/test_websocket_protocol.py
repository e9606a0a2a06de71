"""WebSocket connections of clients that misuse the protocol, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState

from gateway.management.start import websocket_protocol
from gateway.management.start.protocol import Protocol
from gateway.management.start.websocket_protocol import SocketProtocol
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MASK = bytes(4)
# 125 bytes of payload; the mask does not change them.
PING = b"\x89\xfd" + MASK + b"p" * 125
PONG = b"\x8a\x7d" + b"p" * 125


class WebSocketServer:
    """A server whose application accepts each connection and records its messages."""

    def __init__(self, **options: Any) -> None:
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.protocols: list[SocketProtocol] = []
        self.closed = asyncio.Event()
        # Messages that were parsed and not yet received by the application.
        self.max_queued = 0
        state = ServerState()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                self.messages.put_nowait(message)
                self.max_queued = max(self.max_queued, self.protocols[0].queue.qsize())
            self.closed.set()

        config = Config(app, log_config=None, ws_per_message_deflate=False, **options)

        def connect() -> SocketProtocol:
            protocol = SocketProtocol(config=config, server_state=state, app_state={})
            self.protocols.append(protocol)
            return protocol

        self.connect = connect


@contextlib.asynccontextmanager
async def open_connection(
    **options: Any,
) -> AsyncIterator[tuple[WebSocketServer, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection to a new server with these options, after its handshake."""
    server, loop = WebSocketServer(**options), asyncio.get_running_loop()
    listener = await loop.create_server(server.connect, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    try:
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        yield server, reader, writer
    finally:
        writer.close()
        listener.close()
        await asyncio.wait_for(server.closed.wait(), 60)
        await wait_until_async(lambda: all(it.disconnected for it in server.protocols))


async def test_pongs_wait_until_the_client_reads() -> None:
    """A client that sends pings and does not read would otherwise fill the memory with pongs."""
    pings = 200_000
    async with open_connection() as (server, reader, writer):
        for _ in range(100):
            writer.write(PING * (pings // 100))
            await asyncio.sleep(0.01)
        assert server.protocols[0].transport.get_write_buffer_size() < 1_000_000
        pongs = await asyncio.wait_for(reader.readexactly(len(PONG) * pings), 60)
        assert pongs.count(PONG) == pings


async def test_a_message_between_pings_does_not_lift_the_limit() -> None:
    message = b"\x81\x82" + MASK + b"ab"
    async with open_connection() as (server, reader, writer):
        for _ in range(100):
            writer.write(PING * 2000 + message)
            await asyncio.sleep(0.01)
        assert server.protocols[0].transport.get_write_buffer_size() < 1_000_000
        await asyncio.wait_for(reader.readexactly(len(PONG) * 200_000), 60)
        for _ in range(100):
            await asyncio.wait_for(server.messages.get(), 60)


async def test_a_message_in_tiny_fragments_takes_no_more_memory_than_its_text() -> None:
    fragments = 40_000
    async with open_connection() as (server, reader, writer):
        writer.write(b"\x01\x82" + MASK + b"ab")
        tracemalloc.start()
        for _ in range(100):
            writer.write((b"\x00\x82" + MASK + b"cd") * (fragments // 100))
            await writer.drain()
        writer.write(PING)
        assert await reader.readexactly(len(PONG)) == PONG
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        writer.write(b"\x80\x82" + MASK + b"ef")
        message = await asyncio.wait_for(server.messages.get(), 60)
        assert message["text"] == "ab" + "cd" * fragments + "ef"
        assert memory < 500_000


async def test_a_message_that_stays_incomplete_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its memory would be occupied as long as the client answers pings."""
    monkeypatch.setattr(SocketProtocol, "message_s", 0.3)
    async with open_connection() as (server, reader, writer):
        writer.write(b"\x01\x82" + MASK + b"ab" + b"\x80\x82" + MASK + b"cd")
        assert (await asyncio.wait_for(server.messages.get(), 60))["text"] == "abcd"
        await asyncio.sleep(0.5)
        writer.write(b"\x01\x82" + MASK + b"ab")
        await asyncio.sleep(0.2)
        writer.write(PING + b"\x00\x82" + MASK + b"cd")
        rest = await asyncio.wait_for(reader.read(), 60)
        assert rest.startswith(PONG)
        assert rest[len(PONG) :][2:4] == (1008).to_bytes(2, "big")
    assert server.messages.empty()


@pytest.mark.parametrize("fragmented", [False, True])
async def test_incomplete_messages_of_all_connections_take_bounded_memory(
    monkeypatch: pytest.MonkeyPatch, fragmented: bool
) -> None:
    """A key may have hundreds of connections."""
    monkeypatch.setattr(SocketProtocol, "max_total_bytes", 2_000_000)
    data = b"a" * 800_000
    start = b"\x01\xff" + len(data).to_bytes(8, "big") + MASK
    if not fragmented:
        start = b"\x81\xff" + (len(data) + 1).to_bytes(8, "big") + MASK
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(open_connection()) for _ in range(3)]
        for _, _, writer in opened[:2]:
            writer.write(start + data)
            await writer.drain()
        await wait_until_async(lambda: SocketProtocol.total_bytes >= 1_600_000)
        (*_, (_, reader, writer)) = opened
        writer.write(b"\x81\x82" + MASK + b"ab")  # a small message is received
        assert (await asyncio.wait_for(opened[2][0].messages.get(), 60))["text"] == "ab"
        with contextlib.suppress(ConnectionError):
            writer.write(start + data)
            await writer.drain()
            closing = await asyncio.wait_for(reader.read(), WAIT_TIMEOUT_S)
            assert closing[2:4] == (1013).to_bytes(2, "big")
        await asyncio.wait_for(opened[2][0].closed.wait(), WAIT_TIMEOUT_S)
        end = b"\x80\x80" + MASK if fragmented else b"a"
        opened[0][2].write(end)  # the others go on
        message = await asyncio.wait_for(opened[0][0].messages.get(), 60)
        assert len(message["text"]) >= len(data)
    await wait_until_async(lambda: SocketProtocol.total_bytes == 0)


async def test_a_message_counts_until_the_application_has_handled_it() -> None:
    async with open_connection() as (server, reader, writer):
        for _ in range(3):
            writer.write(b"\x82\xff" + (200_000).to_bytes(8, "big") + MASK + b"a" * 200_000)
            await asyncio.wait_for(server.messages.get(), 60)
        await wait_until_async(lambda: SocketProtocol.total_bytes == 0)


@pytest.mark.parametrize(
    "header",
    [b"x-long: " + b"a" * 9000, b"\r\n".join([b"x-%d: a" % i for i in range(200)])],
    ids=["long", "many"],
)
async def test_an_invalid_handshake_is_answered(header: bytes) -> None:
    state, loop = ServerState(), asyncio.get_running_loop()
    config = Config(no_application, log_config=None)

    def connect() -> SocketProtocol:
        return SocketProtocol(config=config, server_state=state, app_state={})

    listener = await loop.create_server(connect, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    writer.write(HANDSHAKE.removesuffix(b"\r\n") + header + b"\r\n\r\n")
    try:
        response = await asyncio.wait_for(reader.read(), WAIT_TIMEOUT_S)
    finally:
        writer.close()
        listener.close()
    assert response.startswith(b"HTTP/1.1 431 ")


async def test_a_rejected_handshake_is_not_logged_as_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Anyone could fill the log, which leaves out what is less than a warning."""
    caplog.set_level(logging.INFO, "uvicorn.error")
    state, loop = ServerState(), asyncio.get_running_loop()

    async def reject(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    config = Config(reject, log_config=None)

    def connect() -> SocketProtocol:
        return SocketProtocol(config=config, server_state=state, app_state={})

    listener = await loop.create_server(connect, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    writer.write(HANDSHAKE)
    try:
        response = await asyncio.wait_for(reader.read(), WAIT_TIMEOUT_S)
        await wait_until_async(lambda: not state.tasks)
    finally:
        writer.close()
        listener.close()
    assert response.startswith(b"HTTP/1.1 401 ")
    assert response.endswith(b"no")
    assert caplog.records  # uvicorn's messages are captured
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@contextlib.asynccontextmanager
async def upgrading_server(app: Any) -> AsyncIterator[tuple[str, int]]:
    """Serve an application with the HTTP protocol, which upgrades connections to WebSockets."""
    state, loop = ServerState(), asyncio.get_running_loop()
    config = Config(app, ws=SocketProtocol, log_config=None, ws_per_message_deflate=False)
    config.load()

    def connect() -> Protocol:
        return Protocol(config=config, server_state=state, app_state={})

    listener = await loop.create_server(connect, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()
    finally:
        listener.close()
        await wait_until_async(lambda: not state.tasks)


@pytest.mark.parametrize("pause_s", [0.0, 0.1], ids=["one packet", "two packets"])
async def test_messages_before_the_handshake_is_accepted_are_received(pause_s: float) -> None:
    """RFC 6455 (4.1) lets a client send them only later, but they must not be lost silently."""
    accept, texts = asyncio.Event(), asyncio.Queue[str]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await accept.wait()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            texts.put_nowait(message["text"])

    long_text = b"c" * 100_000
    long_message = b"\x81\xff" + len(long_text).to_bytes(8, "big") + MASK + long_text
    early_frames = PING + b"\x81\x82" + MASK + b"ab" + long_message
    async with upgrading_server(app) as address:
        reader, writer = await asyncio.open_connection(*address)
        if pause_s:
            writer.write(HANDSHAKE)
            await asyncio.sleep(pause_s)
            writer.write(early_frames)
        else:
            writer.write(HANDSHAKE + early_frames)
        await asyncio.sleep(0.1)
        accept.set()
        assert (await asyncio.wait_for(reader.readline(), 60)).startswith(b"HTTP/1.1 101 ")
        await reader.readuntil(b"\r\n\r\n")
        assert await asyncio.wait_for(reader.readexactly(len(PONG)), 60) == PONG
        assert await asyncio.wait_for(texts.get(), WAIT_TIMEOUT_S) == "ab"
        assert await asyncio.wait_for(texts.get(), WAIT_TIMEOUT_S) == long_text.decode()
        writer.write(b"\x81\x82" + MASK + b"de")
        assert await asyncio.wait_for(texts.get(), WAIT_TIMEOUT_S) == "de"
        writer.close()


async def test_early_messages_take_bounded_memory() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        while SocketProtocol.total_bytes < 100_000:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert SocketProtocol.total_bytes < 1_000_000
        await send({"type": "websocket.http.response.body", "body": b"no"})

    async with upgrading_server(app) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(HANDSHAKE + b"\x81\xff" + (10_000_000).to_bytes(8, "big") + MASK)
        writer.write(b"a" * 10_000_000)
        response = await asyncio.wait_for(reader.readuntil(b"\r\n\r\nno"), WAIT_TIMEOUT_S)
        writer.transport.abort()
    assert response.startswith(b"HTTP/1.1 401 ")
    assert SocketProtocol.total_bytes == 0


async def no_application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the handshake is invalid")


async def test_tiny_frames_do_not_occupy_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One recv has tens of thousands of them, which take the parser seconds."""
    monkeypatch.setattr(websocket_protocol, "PARSE_S", 0.0)  # however fast the machine is
    frames = (b"\x01\x80" + MASK) + (b"\x00\x80" + MASK) * 30_000 + (b"\x80\x80" + MASK)
    iterations = 0

    async def count_iterations() -> None:
        nonlocal iterations
        while True:
            await asyncio.sleep(0)
            iterations += 1

    async with open_connection() as (server, _, writer):
        counter = asyncio.create_task(count_iterations())
        writer.write(frames)
        before = iterations
        assert (await asyncio.wait_for(server.messages.get(), 60))["text"] == ""
        assert iterations - before >= len(frames) // websocket_protocol.SLICE_BYTES
        counter.cancel()


async def test_messages_are_parsed_only_as_the_application_handles_them() -> None:
    messages = 20_000
    async with open_connection() as (server, _, writer):
        writer.write((b"\x81\x81" + MASK + b"a") * messages)
        for _ in range(messages):
            assert (await asyncio.wait_for(server.messages.get(), 60))["text"] == "a"
        assert server.max_queued < 1000


@pytest.mark.parametrize("fragmented", [False, True])
async def test_a_client_that_goes_on_sending_learns_why_it_is_refused(fragmented: bool) -> None:
    """A connection that is closed before all has been read is reset, and a close frame lost."""
    size = 8_000_000
    async with open_connection(ws_max_size=100_000) as (server, reader, writer):
        opcode = b"\x01" if fragmented else b"\x81"
        writer.write(opcode + b"\xff" + (99_000).to_bytes(8, "big") + MASK + b"a" * 99_000)
        for _ in range(size // 80_000):
            writer.write(b"\x80\xff" + (80_000).to_bytes(8, "big") + MASK + b"a" * 80_000)
            await writer.drain()
        closing = await asyncio.wait_for(reader.read(), WAIT_TIMEOUT_S)
        assert closing[2:4] == (1009 if fragmented else 1002).to_bytes(2, "big")
        # The application learns it at once, and no memory is held.
        await asyncio.wait_for(server.closed.wait(), WAIT_TIMEOUT_S)
        assert SocketProtocol.total_bytes == 0


async def test_a_client_that_never_stops_sending_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket_protocol, "LINGER_S", 1.0)
    async with open_connection(ws_max_size=100) as (server, reader, writer):
        writer.write(b"\x81\xff" + (200).to_bytes(8, "big") + MASK)
        closing = await asyncio.wait_for(reader.readexactly(4), WAIT_TIMEOUT_S)
        assert closing[2:4] == (1009).to_bytes(2, "big")
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"a" * 1000)
                await writer.drain()
                await asyncio.sleep(0.01)


async def test_what_the_application_sends_to_a_refused_client_is_dropped() -> None:
    """Not an error of the application, which has not been told yet."""
    async with open_connection(ws_max_size=100) as (server, reader, writer):
        writer.write(b"\x81\xff" + (200).to_bytes(8, "big") + MASK)
        await asyncio.wait_for(reader.readexactly(4), WAIT_TIMEOUT_S)
        with pytest.raises(ClientDisconnected):
            await server.protocols[0].send({"type": "websocket.send", "text": "late"})
