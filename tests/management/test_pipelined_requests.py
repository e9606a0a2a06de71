"""Clients that send requests without waiting for the responses, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from gateway.management.start.protocol import Protocol
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class PipelinedServer:
    """A server whose responses wait for `release`."""

    def __init__(self) -> None:
        self.release = asyncio.Semaphore(0)
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.disconnected = asyncio.Event()
        self.protocols: list[Protocol] = []
        self.state = ServerState()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Read the body, wait, and answer."""
        self.paths.append(scope["path"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        release = asyncio.create_task(self.release.acquire())
        leaving = asyncio.create_task(receive())
        done, _ = await asyncio.wait({release, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if release not in done:
            self.disconnected.set()
            release.cancel()
            return
        leaving.cancel()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Serve, and open a connection."""
        config = Config(
            self.app, log_config=None, access_log=False, lifespan="off", interface="asgi3"
        )

        def connect() -> Protocol:
            protocol = Protocol(config=config, server_state=self.state, app_state={})
            self.protocols.append(protocol)
            return protocol

        loop = asyncio.get_running_loop()
        listener = await loop.create_server(connect, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            listener.close()
            for _ in range(1000):  # a connection that is not read notices the end as it writes
                self.release.release()
            await wait_until_async(lambda: not self.state.tasks)

    @property
    def waiting_count(self) -> int:
        """Requests that take memory until their turn."""
        return sum(len(protocol.pipeline) for protocol in self.protocols)


async def test_requests_without_end_take_bounded_memory() -> None:
    """A connection without a key could fill the memory within seconds."""
    server = PipelinedServer()
    async with server.connection() as (reader, writer):
        writer.write(REQUEST * 400_000)  # more than the buffers of the sockets
        for answered in range(40):
            await wait_until_async(lambda: len(server.bodies) > answered)  # noqa: B023
            assert server.waiting_count < 1000
            server.release.release()
        assert await asyncio.wait_for(reader.readexactly(4), WAIT_TIMEOUT_S) == b"HTTP"
        assert writer.transport.get_write_buffer_size() > 1_000_000


async def test_all_pipelined_requests_are_answered_in_order() -> None:
    server = PipelinedServer()
    numbers = range(3000)
    requests = [b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in numbers]
    body = b"b" * 200_000
    requests[1500] = b"POST /1500 HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n" + body
    for _ in numbers:
        server.release.release()
    async with server.connection() as (reader, writer):
        writer.write(b"".join(requests))
        for _ in numbers:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), WAIT_TIMEOUT_S)
        writer.write(REQUEST)
        server.release.release()
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), WAIT_TIMEOUT_S)
    assert server.paths == [*(f"/{n}" for n in numbers), "/"]
    assert server.bodies[1500] == body


async def test_a_request_learns_of_a_disconnect_although_others_wait() -> None:
    """A stream whose client has left would otherwise be paid for to its end."""
    server = PipelinedServer()
    async with server.connection() as (_, writer):
        writer.write(REQUEST + REQUEST)
        await wait_until_async(lambda: server.waiting_count == 1)
        writer.transport.abort()
        await asyncio.wait_for(server.disconnected.wait(), WAIT_TIMEOUT_S)
    assert len(server.paths) == 1
