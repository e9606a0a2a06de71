"""The upstream transport on real sockets, with well-behaved and faulty servers."""

from __future__ import annotations

import asyncio
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.relay.upstream.http1 import Connection, SlicedBody, Transport
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        listener.close()


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    return head, await reader.readexactly(length)


def post(url: str, body: bytes = b"{}", headers: dict[str, str] | None = None) -> httpx.Request:
    fixed = {"host": "upstream", **(headers or {})}
    return httpx.Request("POST", url, headers=httpx.Headers(fixed), stream=httpx.ByteStream(body))


def scripted_server(*replies: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await request_of(reader)
            writer.write(reply)
            await writer.drain()

    return serve


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def fetch_response(transport: Transport, request: httpx.Request) -> tuple[int, bytes]:
    response = await transport.handle_async_request(request)
    try:
        return response.status_code, b"".join([part async for part in response.stream])  # type: ignore[union-attr]
    finally:
        await response.aclose()


async def test_an_idle_connection_is_reused_for_the_next_request() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await scripted_server(OK, OK, OK)(reader, writer)

    transport = Transport()
    async with server(serve) as url:
        for _ in range(3):
            assert await fetch_response(transport, post(url)) == (200, b"ok")
        await transport.aclose()
    assert connections == 1


async def test_a_connection_that_was_closed_while_idle_is_replaced() -> None:
    transport = Transport()
    async with server(scripted_server(OK)) as url:
        assert await fetch_response(transport, post(url)) == (200, b"ok")
        (connection,) = (
            idle_connection for many in transport._idle.values() for idle_connection in many
        )
        await wait_until_async(lambda: connection.closed)
        assert await fetch_response(transport, post(url)) == (200, b"ok")
        await transport.aclose()


async def test_the_request_arrives_byte_for_byte() -> None:
    requests: list[tuple[bytes, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await request_of(reader))
        writer.write(OK)

    body = b'{"x": "' + b"y" * 100_000 + b'"}'
    transport = Transport()
    async with server(serve) as url:
        await fetch_response(transport, post(f"{url}/v1/x?beta=true", body, {"x-a": "1"}))
        await transport.aclose()
    head, data = requests[0]
    assert data == body
    assert head.startswith(b"POST /v1/x?beta=true HTTP/1.1\r\n")
    assert b"\r\nx-a: 1\r\n" in head


@pytest.mark.parametrize(
    ("reply", "class_"),
    [
        pytest.param(b"", httpx.ReadError, id="closed without an answer"),
        pytest.param(b"hello there\r\n\r\n", httpx.RemoteProtocolError, id="not http"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            httpx.RemoteProtocolError,
            id="two lengths",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000, httpx.RemoteProtocolError, id="huge header"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", httpx.ReadError, id="cut body"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            httpx.RemoteProtocolError,
            id="bad chunk",
        ),
    ],
)
async def test_a_broken_response_is_an_error(reply: bytes, class_: type[Exception]) -> None:
    transport = Transport()
    async with server(scripted_server(reply)) as url:
        with pytest.raises(class_):
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                await fetch_response(transport, post(url))
        await transport.aclose()


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, id="after a 100"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nok", id="ends with the connection"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            id="chunked",
        ),
    ],
)
async def test_every_legal_framing_is_read(reply: bytes) -> None:
    transport = Transport()
    async with server(scripted_server(reply)) as url:
        assert await fetch_response(transport, post(url)) == (200, b"ok")
        await transport.aclose()


async def test_closing_early_closes_the_upstream() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst")
        await reader.read()
        closed.set()

    transport = Transport()
    async with server(serve) as url:
        response = await transport.handle_async_request(post(url))
        await response.aclose()
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await closed.wait()


async def test_a_reader_that_stops_stops_the_upstream() -> None:
    sent_bytes = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        for _ in range(1600):
            writer.write(b"x" * 62_500)
            await writer.drain()
            sent_bytes += 62_500

    transport = Transport()
    async with server(serve) as url:
        response = await transport.handle_async_request(post(url))
        await asyncio.sleep(0.5)
        # The transport buffers little; the rest lies in the kernel's socket buffers.
        assert sent_bytes < 50_000_000
        await response.aclose()


async def test_a_refused_connection_is_a_connect_error() -> None:
    transport = Transport()
    with pytest.raises(httpx.ConnectError):
        await fetch_response(transport, post("http://127.0.0.1:9"))


async def test_a_line_break_in_a_header_is_refused() -> None:
    transport = Transport()
    async with server(scripted_server(OK)) as url:
        with pytest.raises((httpx.LocalProtocolError, ValueError)):
            await fetch_response(transport, post(url, headers={"x-a": "1\r\nx-b: 2"}))
        await transport.aclose()


class CountingBody:
    """A body of `count` chunks; `taken` counts the chunks read by all attempts."""

    def __init__(self, count: int, chunk: bytes = b"x" * 65536) -> None:
        self.size = count * len(chunk)
        self.taken = 0
        self._count, self._piece = count, chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._count):
            self.taken += 1
            yield self._piece


URL = httpx.URL
HOST = httpx.Headers({"host": "upstream"})


async def test_a_chunked_body_of_known_length_is_sent_with_content_length() -> None:
    requests: list[tuple[bytes, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            requests.append(await request_of(reader))
            writer.write(OK)

    transport = Transport()
    async with server(serve) as url:
        for _ in range(2):
            response = await transport.exchange("POST", URL(url), HOST, CountingBody(40))
            assert (response.status, await response.read()) == (200, b"ok")
            response.close()
    assert [len(body) for _, body in requests] == [40 * 65536] * 2
    await transport.aclose()


async def test_a_slow_upstream_applies_backpressure() -> None:
    came, may_continue = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await may_continue.wait()
        await request_of(reader)
        writer.write(OK)

    transport, body = Transport(), CountingBody(2000)
    async with server(serve) as url:
        sending = asyncio.ensure_future(transport.exchange("POST", URL(url), HOST, body))
        await came.wait()
        for _ in range(4000):  # turns in which all of it could be taken
            await asyncio.sleep(0)
        assert body.taken < 1000
        may_continue.set()
        response = await sending
        assert response.status == 200
        response.close()
    assert body.taken == 2000
    await transport.aclose()


async def test_an_early_response_ends_the_sending() -> None:
    early_response = b"HTTP/1.1 413 Large\r\ncontent-length: 2\r\n\r\nno"
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(early_response)
        await writer.drain()
        await reader.read()

    transport, body = Transport(), CountingBody(4000)
    async with server(serve) as url:
        for _ in range(2):
            response = await transport.exchange("POST", URL(url), HOST, body)
            assert (response.status, await response.read()) == (413, b"no")
            response.close()
    assert body.taken < 4000
    assert connections == 2, "what has half a request on it carries no other"
    await transport.aclose()


async def test_no_body_chunk_is_lost_when_an_idle_connection_was_closed() -> None:
    counts: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counts.append(len((await request_of(reader))[1]))
        writer.write(OK)

    transport = Transport()
    async with server(serve) as url:
        for _ in range(2):
            response = await transport.exchange("POST", URL(url), HOST, CountingBody(3))
            assert await response.read() == b"ok"
            response.close()
    assert counts == [3 * 65536] * 2
    await transport.aclose()


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
# What an upstream may send without end: how it begins, and what follows again and again.
FLOODS = {
    "trailers": (CHUNKED + b"2\r\nok\r\n0\r\n", b"x-trailer: " + b"v" * 1000 + b"\r\n"),
    "one trailer": (CHUNKED + b"2\r\nok\r\n0\r\nx-trailer: ", b"v" * 1000),
    "small trailers": (CHUNKED + b"0\r\n", b"a:\r\n"),
    "an extension of a chunk": (CHUNKED + b"2;", b"x" * 1000),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x-header: " + b"v" * 1000 + b"\r\n"),
    "small headers": (b"HTTP/1.1 200 OK\r\n", b"a:\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nx-header: ", b"v" * 1000),
    "a name of a header": (b"HTTP/1.1 200 OK\r\n", b"n" * 1000),
    "interim answers": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    "a reason": (b"HTTP/1.1 200 ", b"r" * 1000),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_framing_beside_a_body_is_bounded(flood: str) -> None:
    head, more = FLOODS[flood]
    pieces = more * (64_000 // len(more))
    most_bytes = 100_000_000
    sent_bytes = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        await request_of(reader)
        writer.write(head)
        while sent_bytes < most_bytes:
            writer.write(pieces)
            await writer.drain()
            sent_bytes += len(pieces)

    transport = Transport()
    async with server(serve) as url:
        tracemalloc.start()
        try:
            with pytest.raises(httpx.RemoteProtocolError, match="too large|not HTTP"):
                async with asyncio.timeout(WAIT_TIMEOUT_S):
                    await fetch_response(transport, post(url))
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await transport.aclose()
    assert sent_bytes < most_bytes
    assert peak_bytes < 4_000_000


async def test_response_trailers_are_not_headers() -> None:
    reply = CHUNKED + b"2\r\nok\r\n0\r\nset-cookie: late\r\n\r\n"
    transport = Transport()
    async with server(scripted_server(reply, reply)) as url:
        for _ in range(2):
            response = await transport.exchange("POST", URL(url), HOST, b"{}")
            assert await response.read() == b"ok"
            assert await response.read() == b""
            assert [name for name, _ in response.headers] == [b"transfer-encoding"]
            response.close()
        await transport.aclose()


async def test_a_connection_is_not_used_when_its_upstream_is_about_to_close_it() -> None:
    connections = 0
    reply = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1, max=9\r\ncontent-length: 2\r\n\r\nok"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await scripted_server(reply, reply)(reader, writer)

    transport = Transport()
    async with server(serve) as url:
        for _ in range(2):
            assert await fetch_response(transport, post(url)) == (200, b"ok")
        await transport.aclose()
    assert connections == 2


@pytest.mark.parametrize("size", [2, 200_000, None], ids=["small", "large", "pieces"])
async def test_a_connection_refused_before_the_request_is_written_says_why(
    size: int | None,
) -> None:
    """In TLS 1.3 a server reports a missing certificate when the connection is open already."""

    class ClosingTransport(asyncio.Transport):
        def is_closing(self) -> bool:
            return True

    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(ClosingTransport())
    if size is None:
        await connection.send_pieces(b"head", SlicedBody(b"x" * 200_000))
    else:
        connection.send(b"head", b"x" * size)
        connection.flush()
    alert = ssl.SSLError()
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    connection.connection_lost(alert)
    with pytest.raises(httpx.ReadError, match="TLS failed: it requires a client certificate"):
        await connection.wait_head()
    assert not connection.written


@pytest.mark.parametrize("chunk_bytes", [1000, 300_000], ids=["small chunks", "large chunks"])
async def test_a_large_buffer_is_read_in_slices(chunk_bytes: int) -> None:
    """It may contain 100,000 events; others are served between two slices."""
    content = bytes(range(256)) * 1200
    chunks = [content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes)]
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    reply += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    transport = Transport()
    async with server(scripted_server(reply)) as url:
        request = post(url)
        body = await transport.exchange("POST", request.url, request.headers, b"{}")
        await wait_until_async(lambda: body._connection._buffered > 200_000)
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.create_task(count_turns())
        parts = [part async for part in body]
        counter.cancel()
        body.close()
        assert b"".join(parts) == content
        assert max(map(len, parts)) <= 64 * 1024
        assert turns >= 3
        # The connection can be reused.
        assert transport._idle
        await transport.aclose()
