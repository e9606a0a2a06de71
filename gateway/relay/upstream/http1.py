"""A pooled HTTP/1.1 transport on httptools, behind httpx's transport interface.

Why not a library's pool: with 64 connections httpx's own costs 8 ms of CPU a
request and aiohttp's 0.13 ms; this one 0.03 ms (measured, see README). It has only
what a relay needs: no redirects, no cookies, no decompression. `connect.py` opens connections,
also through proxies.

    Transport  pools idle connections by origin
    Connection (asyncio.Protocol) carries one exchange at a time
    Body       reads a response body, with back-pressure on the socket

A connection is reused if its response was complete and read to its last byte, the
request was written in full, the socket is neither paused nor closing, and nothing
(bytes, end of stream, reset) is pending in the socket when the next request is written.
Any other connection is closed.

A request is sent again if no byte of it was written to a socket, because the idle
connection turned out to be closed, or had data pending, at the time of writing; or if
the upstream closed the connection before a byte of the request had reached it, according
to its acknowledgments (an idle timeout that crosses the request in flight). In any other
case the upstream may have read the request and begun (paid) work on it, whatever
the socket reports later; so a failure is reported, and only GET and HEAD, which change
nothing, are sent once more on a new connection.

Some servers close a connection after an error without announcing it. After an error status
it is set aside for FAILED_PAUSE_S, in which its end would arrive; after an invalid
response it is closed.

MAX_HEADER_BYTES limits each of: a head, all interim (1xx) heads before it, the extensions
of a chunk, and the trailers. Trailers are dropped.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import copy
import select
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import chain
from typing import Protocol

import httptools
import httpx

from gateway.framing.headers import Header
from gateway.providers.network import Network
from gateway.relay.upstream.connect import Connector, Origin
from gateway.relay.upstream.tls import describe_tls_failure
from gateway.relay.upstream.write_coalescing import coalescer_for

if sys.platform == "linux":
    import fcntl
    import termios

IDLE_S = 55.0
# How long a connection is set aside after a response with an error status.
FAILED_PAUSE_S = 0.25
MAX_IDLE_PER_ORIGIN = 1024
MAX_HEADER_BYTES = 64 * 1024
# Counted per header in addition to its bytes, as in HTTP/2.
HEADER_OVERHEAD = 32
# Safety margin before the upstream's keep-alive timeout of an idle connection.
KEEP_ALIVE_MARGIN_S = 1.0
# Maximum number of cached heads for the headers of one provider: one for each path.
MAX_HEADS = 256
HIGH_WATER = 256 * 1024
# A smaller request is sent at the end of the loop's iteration, together with others.
SMALL_BYTES = 32 * 1024
# A larger body is written in chunks of this size.
WRITE_BYTES = 256 * 1024
# What is read at a time: tiny events in it take 40 ms.
READ_BYTES = 64 * 1024

CONNECT_S = 10.0

# Methods that change nothing at the upstream, so that they may be sent twice.
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class ReplayableBody(Protocol):
    """A body that is read while it is sent; each iteration starts at its beginning."""

    size: int

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its chunks, `size` bytes in total."""
        ...


class SlicedBody:
    """A large body in chunks: to copy or encrypt it in one call would stall the loop."""

    def __init__(self, body: bytes) -> None:
        self.size = len(body)
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for offset in range(0, self.size, WRITE_BYTES):
            yield self._body[offset : offset + WRITE_BYTES]
            await asyncio.sleep(0)


Content = bytes | ReplayableBody


class Connection(asyncio.Protocol):
    """One socket to an upstream; carries one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.keep_alive_s = IDLE_S
        self.reused = False
        self.closed = False
        self._poll: select.poll | None = None  # of its socket, if the system supports it
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._outbox = coalescer_for(loop)
        self._pending = b""
        self._reset()
        self._paused = False

    def _reset(self) -> None:
        # Whether bytes of the request were written to the socket, and how many.
        self.written = False
        self._written_bytes = 0
        # Whether the upstream closed the connection before a byte of the request reached it.
        self.unreceived = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.complete = False
        self.error: Exception | None = None
        self._header_bytes = 0
        # Bytes received since the last byte of a body: heads, extensions of chunks, trailers.
        self._framing_bytes = 0
        self._sized = False
        self._head_done = False
        self._keep_alive = False
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._full = False
        self._sending = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = transport  # type: ignore[assignment]
        self._poll = _read_poll(transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if not self.written or self.complete:
            self._fail(httpx.RemoteProtocolError("the upstream sent unexpected bytes"))
            return
        self._framing_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(httpx.RemoteProtocolError("the upstream changed the protocol"))
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error.__context__, httpx.HTTPError) else None
            self._fail(cause or httpx.RemoteProtocolError("the upstream's response is not HTTP"))
        if self._framing_bytes > MAX_HEADER_BYTES and not self.complete:
            self._fail(_too_large())
        if self._buffered > HIGH_WATER and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        """Called by the loop."""
        self._full = True

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._full = False
        if self._sending:
            self._wake()

    def eof_received(self) -> bool:
        """Called by the loop."""
        unacknowledged_bytes = (
            _unacknowledged_bytes(self.transport) if self.written and not self.status else -1
        )
        self.unreceived = unacknowledged_bytes >= self._written_bytes
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.closed = True
        if self._head_done and not self._sized and exc is None and not self.complete:
            self.complete = True  # a body without a length ends with the connection
            self._wake()
        elif not self.complete:
            self._fail(_read_error(exc))

    # httptools

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self.complete:
            raise httpx.RemoteProtocolError("the upstream sent an unexpected response")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if not self._head_done:  # else a trailer
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        status = self._parser.get_status_code()
        headers = self.headers
        is_interim = 100 <= status < 200
        overhead = len(headers) * HEADER_OVERHEAD
        # The bytes received include those of the head: most heads need no sum.
        if is_interim or self._header_bytes + self._framing_bytes + overhead > MAX_HEADER_BYTES:
            self._header_bytes += sum(map(len, chain.from_iterable(headers))) + overhead
            if self._header_bytes > MAX_HEADER_BYTES:
                raise _too_large()
        if is_interim:
            headers.clear()
            return
        values = dict(headers)
        self._sized = b"content-length" in values or b"transfer-encoding" in values
        if b"keep-alive" in values:
            self.keep_alive_s = _keep_alive_s(values[b"keep-alive"])
        self.status = status
        self._keep_alive = self._parser.should_keep_alive()
        self._head_done = True
        self._framing_bytes = 0
        self._wake()

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        self._chunks.append(data)
        self._buffered += len(data)
        self._framing_bytes = 0
        self._wake()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self._head_done:  # a 1xx response
            return
        self.complete = True
        self._wake()

    # the exchange

    def send(self, head: bytes, body: bytes) -> None:
        """Write a whole request and reset the state of the response."""
        self._reset()
        if self.transport is None or self.closed:
            raise httpx.ReadError("the connection is closed")
        if len(body) < SMALL_BYTES:
            self._pending = head + body
            self._outbox.add(self)
            return
        self._pending = head
        self.flush()
        if self.written:
            self._written_bytes += len(body)
            self.transport.write(body)

    def flush(self) -> None:
        """Write pending bytes; called at the end of the loop's iteration."""
        pending, self._pending = self._pending, b""
        transport = self.transport
        if not pending or transport is None or self.closed:
            return
        if self.reused and (transport.is_closing() or _has_waiting(self._poll)):
            self._fail(httpx.ReadError("the upstream closed the connection"))
            return
        if transport.is_closing():  # `connection_lost` comes next, with the reason
            return
        self.written = True
        self._written_bytes = len(pending)
        transport.write(pending)

    async def send_pieces(self, head: bytes, body: ReplayableBody) -> None:
        """Write a request in chunks, with back-pressure; stop early if the response begins."""
        self.send(head, b"")
        assert self.transport is not None
        self._sending = True
        async for chunk in body:
            if self._head_done or self.error is not None:
                return
            self.flush()
            if self.error is not None or not self.written:
                return
            self._written_bytes += len(chunk)
            self.transport.write(chunk)
            while self._full and not self._head_done and self.error is None:
                await self._next_wake()
        self._sending = False

    async def wait_head(self) -> None:
        """Wait for status and headers. Raises httpx.TransportError."""
        while not self._head_done:
            if self.error is not None:
                raise self._copy_error(self.error)
            await self._next_wake()

    @staticmethod
    def _copy_error(error: Exception) -> Exception:
        """The error to raise, whose traceback `self.error` does not keep.

        Its frames have the connection and the request's body: such a cycle would stay in memory
        until the next garbage collection.
        """
        copied_error = copy.copy(error)
        copied_error.__cause__ = error.__cause__
        return copied_error

    async def read(self) -> bytes:
        """The bytes received since the last call; empty at the end of the body."""
        while not self._chunks:
            if self.error is not None:
                raise self._copy_error(self.error)
            if self.complete:
                return b""
            await self._next_wake()
        if self._buffered > READ_BYTES:
            await asyncio.sleep(0)  # serves others between two slices
            self._buffered -= READ_BYTES
            return _take_slice(self._chunks)
        chunks = self._chunks
        data = chunks.popleft() if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._buffered = 0
        if self._paused and self.transport is not None and not self.closed:
            self._paused = False
            self.transport.resume_reading()
        return data

    @property
    def at_end(self) -> bool:
        """Whether the whole body was received and read."""
        return self.complete and not self._chunks and self.error is None

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        transport = self.transport
        return (
            self.complete
            and self._keep_alive
            and self.error is None
            and not self._sending
            and not self._paused
            and not self._chunks
            and not self.closed
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        )

    def abort(self) -> None:
        """Close the socket immediately; the upstream notices and stops generating."""
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self._wake()
        if self.transport is not None and not self.closed:
            self.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():  # done: the waiting task was cancelled
            waiter.set_result(None)

    def _next_wake(self) -> asyncio.Future[None]:
        """A future that completes with the next `_wake`."""
        self._waiter = waiter = self.loop.create_future()
        return waiter


def _take_slice(chunks: deque[bytes]) -> bytes:
    """Remove and return the first READ_BYTES of the chunks, which have more."""
    parts, remaining_bytes = [], READ_BYTES
    while remaining_bytes:
        chunk = chunks.popleft()
        if len(chunk) > remaining_bytes:
            chunks.appendleft(chunk[remaining_bytes:])
            chunk = chunk[:remaining_bytes]
        parts.append(chunk)
        remaining_bytes -= len(chunk)
    return b"".join(parts)


class Body(httpx.AsyncByteStream):
    """One response: its head, and its body to read.

    Always close it: that releases or closes the connection.
    """

    def __init__(self, connection: Connection, transport: Transport, origin: Origin) -> None:
        # Returns the bytes received since the last call; empty at the end.
        self.read = connection.read
        self.status = connection.status
        self.headers = connection.headers
        self._connection = connection
        self._transport = transport
        self._origin = origin
        self._open = True

    @property
    def at_end(self) -> bool:
        """Whether the whole body has been read."""
        return self._connection.at_end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in chunks as they arrive."""
        while data := await self._connection.read():
            yield data

    def close(self, *, sound: bool = True) -> None:
        """Release the connection; close it after an unread or invalid response."""
        if self._open:
            self._open = False
            if sound or self.status >= 400:
                self._transport.release(self._connection, self._origin)
            else:
                self._connection.abort()

    async def aclose(self) -> None:
        """httpx's name for `close`."""
        self.close()


class Transport(httpx.AsyncBaseTransport):
    """The pool: idle connections by origin, the most recently used first."""

    def __init__(
        self, ssl_context: ssl.SSLContext | None = None, network: Network | None = None
    ) -> None:
        self.connector = Connector(network, context=ssl_context)
        self._idle: dict[Origin, deque[Connection]] = {}
        self._set_aside: set[Connection] = set()
        self._retired = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return at the head of the response. Raises httpx.TransportError.

        `request.extensions["timeout"]["connect"]` limits the connect, in seconds.
        """
        connect_s = request.extensions.get("timeout", {}).get("connect", CONNECT_S)
        body = await self.exchange(
            request.method, request.url, request.headers, await request.aread(), connect_s
        )
        return httpx.Response(body.status, headers=body.headers, stream=body)

    async def exchange(
        self,
        method: str,
        url: httpx.URL,
        headers: httpx.Headers,
        content: Content,
        connect_s: float = CONNECT_S,
        extra: tuple[Header, ...] = (),
    ) -> Body:
        """Like `handle_async_request` without httpx's request and response, a tenth of the cost."""
        origin, head = _origin_and_head(method, url, headers)
        size = len(content) if isinstance(content, bytes) else content.size
        if extra:
            head += _encode_headers(extra)
        head += b"content-length: %d\r\n\r\n" % size
        if self.connector.has_proxy:
            head = self.connector.absolute_head(head, origin)
        while (connection := self._take_idle(origin)) is not None:
            try:
                return await self._send_request(connection, origin, head, content)
            except httpx.TransportError:
                if connection.written and not connection.unreceived:
                    if method in _SAFE_METHODS and not connection.status:
                        break
                    raise
        connection = await self._open(origin, connect_s)
        return await self._send_request(connection, origin, head, content)

    async def _send_request(
        self, connection: Connection, origin: Origin, head: bytes, content: Content
    ) -> Body:
        try:
            if not isinstance(content, bytes):
                await connection.send_pieces(head, content)
            elif len(content) > WRITE_BYTES:
                await connection.send_pieces(head, SlicedBody(content))
            else:
                connection.send(head, content)
            await connection.wait_head()
            if self.connector.has_proxy:
                self.connector.check_status(connection.status, origin)
        except BaseException:
            connection.abort()
            raise
        return Body(connection, self, origin)

    def _take_idle(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a new loop (tests): connections of the old one are unusable
            self._loop = loop
            self._idle.clear()
            self._set_aside.clear()
            return None
        while idle:
            connection = idle.pop()
            if connection.closed:
                continue
            if loop.time() - connection.idle_since > connection.keep_alive_s:
                connection.abort()
                continue
            connection.reused = True
            return connection
        return None

    async def _open(self, origin: Origin, connect_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        return await self.connector.open(origin, lambda: Connection(loop), connect_s)

    def release(self, connection: Connection, origin: Origin) -> None:
        """Pool a connection whose response was read to its end, close any other."""
        if connection.status >= 400 and connection.reusable:
            self._set_aside.add(connection)
            connection.loop.call_later(FAILED_PAUSE_S, self._release, connection, origin)
        else:
            self._keep_idle(connection, origin)

    def _release(self, connection: Connection, origin: Origin) -> None:
        if connection in self._set_aside:
            self._set_aside.discard(connection)
            self._keep_idle(connection, origin)

    def _keep_idle(self, connection: Connection, origin: Origin) -> None:
        if not connection.reusable or self._retired:
            connection.abort()
            return
        idle = self._idle.setdefault(origin, deque())
        if len(idle) >= MAX_IDLE_PER_ORIGIN:
            connection.abort()
            return
        connection.idle_since = connection.loop.time()
        idle.append(connection)

    def retire(self) -> None:
        """Close every idle connection, and from now on each other one after its exchange."""
        self._retired = True
        self._close_idle()

    async def aclose(self) -> None:
        """Close every idle connection."""
        self._close_idle()

    def _close_idle(self) -> None:
        for connection in (*chain(*self._idle.values()), *self._set_aside):
            with contextlib.suppress(RuntimeError):
                connection.abort()
        self._idle.clear()
        self._set_aside.clear()


def _read_poll(transport: asyncio.BaseTransport) -> select.poll | None:
    """A poll object for reads from a socket; None on Windows."""
    connection = transport.get_extra_info("socket")
    if connection is None or not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return poll


def _has_waiting(poll: select.poll | None) -> bool:
    """Whether bytes, an end or an error are pending in the socket, unread by the loop."""
    return poll is not None and bool(poll.poll(0))


def _unacknowledged_bytes(transport: asyncio.Transport | None) -> int:
    """How many written bytes the peer's system has not acknowledged; -1 if unknown.

    The end of a stream acknowledges all that arrived before it; bytes still in the socket's
    send queue were not received (SIOCOUTQ, tcp(7)). TLS makes the number larger, never smaller.
    """
    if sys.platform != "linux" or transport is None:
        return -1
    count = array.array("i", [0])
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, count)
    except (OSError, AttributeError):
        return -1
    return count[0] + transport.get_write_buffer_size()


def _read_error(exc: Exception | None) -> httpx.ReadError:
    """The error for a connection that ended; TLS 1.3 reports a refused certificate only then."""
    if isinstance(exc, ssl.SSLError):
        return httpx.ReadError(f"the upstream closed the connection: {describe_tls_failure(exc)}")
    return httpx.ReadError("the upstream closed the connection")


def _too_large() -> httpx.RemoteProtocolError:
    return httpx.RemoteProtocolError("the upstream's headers are too large")


def _keep_alive_s(value: bytes) -> float:
    """How long an idle connection may be used, from the response's `Keep-Alive: timeout=5`."""
    for item in value[:64].split(b","):
        name, _, seconds = item.strip().partition(b"=")
        if name.lower() == b"timeout" and seconds.isdigit():
            return max(0.0, min(IDLE_S, int(seconds) - KEEP_ALIVE_MARGIN_S))
    return IDLE_S


class FixedHeaders(httpx.Headers):
    """Headers that are shared by many requests, with a cache of the heads built from them."""

    def __init__(self, headers: list[Header]) -> None:
        super().__init__(headers)
        self.heads: dict[tuple[str, int], tuple[httpx.URL, Origin, bytes]] = {}


def _origin_and_head(method: str, url: httpx.URL, headers: httpx.Headers) -> tuple[Origin, bytes]:
    """The origin of a request, and its head except for the length of its body."""
    if not isinstance(headers, FixedHeaders):
        return _origin_of(url), _encode_head(method, url, headers.raw)
    key = (method, id(url))
    cached_head = headers.heads.get(key)
    if cached_head is None or cached_head[0] is not url:
        if len(headers.heads) >= MAX_HEADS:
            headers.heads.clear()
        cached_head = headers.heads[key] = (
            url,
            _origin_of(url),
            _encode_head(method, url, headers.raw),
        )
    return cached_head[1], cached_head[2]


def _origin_of(url: httpx.URL) -> Origin:
    return (url.raw_scheme, url.raw_host, url.port)


def _encode_head(method: str, url: httpx.URL, headers: list[Header]) -> bytes:
    """The request line and headers as bytes; rejects line breaks in any of them."""
    line = b"".join((method.encode("ascii"), b" ", url.raw_path, b" HTTP/1.1\r\n"))
    if line.count(b"\n") != 1 or line.count(b"\r") != 1:
        raise httpx.LocalProtocolError("a URL contains a line break")
    return line + _encode_headers(headers)


def _encode_headers(headers: Sequence[Header]) -> bytes:
    """Headers as bytes; rejects line breaks in any of them."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
        raise httpx.LocalProtocolError("a header contains a line break")
    return lines
