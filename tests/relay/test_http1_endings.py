"""How upstreams end connections: which requests are sent again, and which data is kept."""

from __future__ import annotations

import asyncio
import socket
import sys

import httpx
import pytest

from gateway.relay.upstream import http1
from gateway.relay.upstream.http1 import Transport
from tests.relay.test_http1 import OK, fetch_response, post, scripted_server, server

FAILED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno"


@pytest.mark.skipif(sys.platform != "linux", reason="needs the send queue's length (SIOCOUTQ)")
async def test_a_request_that_never_reached_the_upstream_is_retried() -> None:
    """The idle timeout crosses the request on its way: the receive window is closed here."""
    loop = asyncio.get_running_loop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        transport = Transport()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        first = asyncio.ensure_future(fetch_response(transport, post(url, b"x" * 20_000)))
        connection, _ = await loop.sock_accept(listener)
        await loop.sock_recv(connection, 1)
        await loop.sock_sendall(connection, OK)
        assert await first == (200, b"ok")

        second = asyncio.ensure_future(fetch_response(transport, post(url, b"y" * 100)))
        await asyncio.sleep(0.05)  # it is in the sender's queue, behind the rest of the first
        connection.shutdown(socket.SHUT_WR)
        repeated, _ = await loop.sock_accept(listener)
        assert b"y" * 100 in await loop.sock_recv(repeated, 4096)
        await loop.sock_sendall(repeated, OK)
        assert await second == (200, b"ok")
        await transport.aclose()
        for accepted in (connection, repeated):
            accepted.close()


async def test_a_connection_is_not_reused_directly_after_a_failing_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some servers close after an error without notice, as the next request is written."""
    monkeypatch.setattr(http1, "FAILED_PAUSE_S", 0.05)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await scripted_server(FAILED, OK, OK)(reader, writer)

    transport = Transport()
    async with server(serve) as url:
        assert (await fetch_response(transport, post(url)))[0] == 503
        assert (await fetch_response(transport, post(url)))[0] == 503
        assert connections == 2
        await asyncio.sleep(0.1)
        assert (await fetch_response(transport, post(url)))[0] == 200
        assert connections == 2
        await transport.aclose()


async def test_a_connection_is_closed_after_an_invalid_response() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await scripted_server(OK)(reader, writer)
        assert await reader.read() == b""
        ended.set()

    transport = Transport()
    async with server(serve) as url:
        body = await transport.exchange("POST", httpx.URL(url), httpx.Headers({"host": "x"}), b"{}")
        while await body.read():
            pass
        body.close(sound=False)
        await asyncio.wait_for(ended.wait(), 5)
        await transport.aclose()
