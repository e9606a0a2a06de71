"""WebSockets to upstreams that send many tiny frames."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator

import pytest
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from gateway.relay.upstream import websocket
from gateway.relay.upstream.websocket import SlicedConnection
from tests.servers import listening_port

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPTED = (
    b"HTTP/1.1 101 OK\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "
)


@contextlib.asynccontextmanager
async def connected(frames: bytes) -> AsyncIterator[SlicedConnection]:
    """Yield a connection to an upstream that sends these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        digest = hashlib.sha1(lines[b"Sec-WebSocket-Key"] + _GUID, usedforsecurity=False).digest()
        writer.write(_ACCEPTED + base64.b64encode(digest) + b"\r\n\r\n" + frames)
        await reader.read()

    async with listening_port(serve) as port:
        uri = parse_uri(f"ws://127.0.0.1:{port}")
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: SlicedConnection(ClientProtocol(uri), max_queue=16), "127.0.0.1", port
        )
        await connection.handshake(None, None)
        yield connection
        connection.transport.abort()


async def test_tiny_frames_of_an_upstream_do_not_occupy_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "PARSE_S", 0.0)  # however fast the machine is
    iterations = 0

    async def count_iterations() -> None:
        nonlocal iterations
        while True:
            await asyncio.sleep(0)
            iterations += 1

    counter = asyncio.create_task(count_iterations())
    async with connected(b"\x8a\x00" * 60_000 + b"\x81\x02hi") as connection:
        before = iterations
        assert await asyncio.wait_for(connection.recv(), 60) == "hi"
        assert iterations - before > 40  # of 58 slices, some before the handshake's end
    counter.cancel()


@pytest.mark.parametrize("parse_s", [0.0, 60.0])
async def test_messages_of_an_upstream_arrive_in_order(
    monkeypatch: pytest.MonkeyPatch, parse_s: float
) -> None:
    """Also those that wait for a later iteration, or for a reader."""
    monkeypatch.setattr(websocket, "PARSE_S", parse_s)
    texts = [f"{number:05}" for number in range(20_000)]
    frames = b"".join(b"\x81\x05" + text.encode() for text in texts)
    async with connected(frames) as connection:
        received = [await asyncio.wait_for(connection.recv(), 60) for _ in texts]
    assert received == texts
