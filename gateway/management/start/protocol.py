"""uvicorn's HTTP protocol, with the head of an answer and its body in one packet.

uvicorn writes both as they come, which is a system call and a packet each (10 us of a
unary answer's CPU); here they wait for the end of the loop's turn (`relay.upstream.http1`).
And it looks at each header by itself (1 us); here they are joined first, and looked at together.
And it sets a timer for each request (3 us) that closes the connection if none follows; here a
connection has one, which looks at whatever deadline it has now.

What uvicorn does not bound is bounded here: the bytes and the time of a head, silent
connections, and connections in all (`Limits`).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.canon.errors import Error
from gateway.edge.auth import CREDENTIAL_HEADERS
from gateway.edge.refusals import send_refusal
from gateway.management.start.connection_deadlines import (
    TimedProtocol,
    configured_limits,
    make_room,
)
from gateway.relay.upstream.http1 import coalescer_for

# Up to here the head of an answer of known length waits for its body, however long that
# takes; and up to here what is written waits for the end of the turn.
_SMALL_BYTES = 64 * 1024
# All that a header's value may hold.
_VALUE_BYTES = bytes(byte for byte in range(256) if byte == 9 or (byte > 31 and byte != 127))
# Names that need no look: those seen that are well-formed and mean nothing to the protocol.
_HARMLESS_NAMES: set[bytes] = set()
_MAX_HARMLESS_NAMES = 1024
_BODY = "http.response.body"
_PROTOCOL_HEADERS = frozenset({b"connection", b"transfer-encoding"})
_BODILESS = frozenset({204, 304})


class CoalescingTransport:
    """A transport that gathers what is written in one turn of the loop into one write."""

    __slots__ = ("_buffer", "_outbox", "_queued", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._outbox = coalescer_for(loop)
        self._buffer = b""
        self._queued = False

    def write(self, data: bytes) -> None:
        """Send at the end of the turn; at once if it is much, so that its reader is waited for."""
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) > _SMALL_BYTES:
            self.flush()
        elif not self._queued:
            self._queued = True
            self._outbox.add(self)

    def buffer(self, head: bytes) -> None:
        """Hold a head back until the next write, however long that takes."""
        self._buffer += head

    def flush(self) -> None:
        """Send what is held."""
        self._queued = False
        if self._buffer:
            data, self._buffer = self._buffer, b""
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self) -> None:
        """Send what is held, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)


class Cycle(RequestResponseCycle):
    """One answer. What is out of the ordinary is left to uvicorn."""

    # Whether the head went from here, and said that the body comes in chunks.
    _chunked = False

    async def send(self, message: Any) -> None:
        """Send the head, or a piece of the body."""
        if not (
            self._try_send_body(message) if self.response_started else self._try_send_head(message)
        ):
            await super().send(message)

    def _try_send_body(self, message: Any) -> bool:
        """Whether a piece of the body was ordinary, and is sent; the last one never is."""
        if not self._chunked or self.response_complete or not message.get("more_body"):
            return False
        if self.disconnected or self.flow.write_paused or message["type"] != _BODY:
            return False
        if body := message.get("body"):
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def _try_send_head(self, message: Any) -> bool:
        """Whether the head was ordinary, and is sent."""
        if message["type"] != "http.response.start" or self.disconnected or self.access_log:
            return False
        headers = [*self.default_headers, *message.get("headers", ())]
        length = None
        for name, value in headers:
            if name not in _HARMLESS_NAMES:
                if name == b"content-length" and length is None and value.isdigit():
                    length = int(value)
                elif not _is_known_harmless(name):
                    return False
        lines = [b"%b: %b\r\n" % header for header in headers]
        if b"".join(lines).translate(None, _VALUE_BYTES) != b"\r\n" * len(lines):
            return False
        status, method = message["status"], self.scope["method"]
        if method == "HEAD":
            return False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if length is None and status not in _BODILESS:
            lines.append(b"transfer-encoding: chunked\r\n")
        self.response_started, self.waiting_for_100_continue = True, False
        self._chunked = length is None and status not in _BODILESS
        self.chunked_encoding = self._chunked
        self.expected_content_length = length or 0
        head = b"".join([STATUS_LINE[status], *lines, b"\r\n"])
        if length is not None and length <= _SMALL_BYTES:
            self.transport.buffer(head)  # type: ignore[attr-defined]
        else:
            self.transport.write(head)
        return True


def _is_known_harmless(name: bytes) -> bool:
    if name in _PROTOCOL_HEADERS or name != name.lower() or HEADER_RE.search(name):
        return False
    if len(_HARMLESS_NAMES) < _MAX_HARMLESS_NAMES and name != b"content-length":
        _HARMLESS_NAMES.add(name)
    return name != b"content-length"


TOO_LARGE = "the request's line and headers are larger than 64 KiB"
_BAD_KEY = "the API key holds characters that no key has; check how it is read and sent"
# What no header's value may hold, but for the ends of lines.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class HeadTooLarge(Exception):
    """A head, or trailers, that are larger than is taken."""


class Protocol(TimedProtocol):
    """What `up` serves with."""

    # Bytes received since the parser last found the end of a head or a piece of a body.
    _unparsed = 0
    # Whether all connections were busy when this one came: it is refused as soon as it asks.
    _over_limit = False
    # Whether another protocol has the connection.
    _upgraded = False

    def connection_made(self, transport: Any) -> None:
        """Put the cork between uvicorn and the socket, and allow a time for the first head."""
        super().connection_made(CoalescingTransport(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]
        if self.limits is None:
            self.limits = configured_limits()
        self._idle_since = self.loop.time()
        self._set_timer(self._idle_since + self.limits.head_s)
        if len(self.connections) > self.limits.connections:
            self._over_limit = not make_room(self)

    def data_received(self, data: bytes) -> None:
        """Take in some of a request."""
        if len(data) <= _SMALL_BYTES:
            self._feed(data)
            return
        # Much at once may be a head that is far too large: it is not parsed to its end.
        for start in range(0, len(data), _SMALL_BYTES):
            if self._upgraded or self.parser is None or self.transport.is_closing():
                return
            self._feed(data[start : start + _SMALL_BYTES])

    def _feed(self, data: bytes) -> None:
        self._unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()
        except httptools.HttpParserError as error:
            self._refuse(error, data)
        else:
            if self._unparsed and not self.transport.is_closing():
                self._check_unparsed()

    def _check_unparsed(self) -> None:
        """Bound what the parser holds back: a head, the size of a chunk, or trailers."""
        assert self.limits is not None
        if self._unparsed > self.limits.head_bytes:
            self.refuse_head(431, TOO_LARGE, "too_large")
        elif not self._in_body and self._head_since is None:
            self._idle_since, self._head_since = None, self.loop.time()
            self._set_timer(self._head_since + self.limits.head_s)

    def _upgrade(self) -> None:
        if self._should_upgrade():
            self._upgraded = True
            self._cancel_timer()
            self.handle_websocket_upgrade()
        # Any other upgrade is not made, and the request is answered as it is (RFC 9110, 7.8).

    def on_headers_complete(self) -> None:
        """Begin the request."""
        assert self.limits is not None
        if self._unparsed > self.limits.head_bytes:
            self._check_size(len(self.url))
        self._unparsed, self._in_body = 0, True
        self._idle_since = self._head_since = None
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self.headers = []  # of the trailers: they are no part of the request's headers

    def on_body(self, body: bytes) -> None:
        """Have a piece of the body. As uvicorn has it, but for the count."""
        self._unparsed = 0
        cycle = self.cycle
        if (self.parser.should_upgrade() and self._should_upgrade()) or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Have the whole request."""
        upgrade = self.parser.should_upgrade()
        if self.headers and not upgrade:  # trailers
            self._check_size(0)
        self._unparsed, self._in_body = 0, False
        cycle = self.cycle
        if (upgrade and self._should_upgrade()) or cycle.response_complete:
            return
        cycle.more_body = False
        cycle.message_event.set()

    def _check_size(self, size: int) -> None:
        """Raise HeadTooLarge if the headers that came in one piece are too large."""
        assert self.limits is not None
        size += sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.head_bytes:
            raise HeadTooLarge

    def _refuse(self, error: httptools.HttpParserError, data: bytes) -> None:
        """Answer what is no HTTP, and close."""
        if isinstance(error.__context__, HeadTooLarge):
            self.refuse_head(431, TOO_LARGE, "too_large")
        elif not self._in_body and faulty_header(data) in CREDENTIAL_HEADERS:
            self.refuse_head(401, _BAD_KEY, "gateway_auth")
        else:
            self.refuse_head(400, "Invalid HTTP request received.")

    def on_response_complete(self) -> None:
        """Begin the next request that is here already; else wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = now = self.loop.time()
        if self._head_since is not None:  # the next one's, which had to wait for this answer
            self._head_since = now
        due = now + self.timeout_keep_alive
        if self._in_body or self._head_since is not None:
            due = self._due() or now
        if self._timer is None or self._timer_at > due:
            self._set_timer(due)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Cycle
        # The application says in the lifespan's state that it is about to end.
        if self._leaving or "draining" in self.app_state:
            cycle.keep_alive = False
        if self._over_limit:
            cycle.keep_alive = False
            app = refuse_connection
        super()._start_asgi_task(cycle, app)


async def refuse_connection(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a request for which there is no connection to spare, in its dialect."""
    error = Error(
        kind="overloaded",
        message="all connections of the gateway are in use; try again shortly",
        retry_after_s=1,
    )
    await send_refusal(scope, send, error)


def faulty_header(data: bytes) -> bytes:
    """The name of the first header with a character that none may hold; empty if there is none."""
    match = _CONTROL.search(data)
    if match is None:
        return b""
    line = data[data.rfind(b"\n", 0, match.start()) + 1 : match.start()]
    name, colon, _ = line.partition(b":")
    return name.lower() if colon else b""


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, but for the end: what is under way is let finish."""

    def shutdown(self) -> None:
        """Leave the connection open: the application closes it when its last turn is over."""
        if not self.handshake_complete:
            super().shutdown()
