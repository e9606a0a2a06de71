"""uvicorn's HTTP protocol, with fewer writes, header checks and timers, and with limits.

- uvicorn writes head and body separately, a system call and a packet each (10 us of CPU per
  unary response); here they are collected until the end of the loop iteration
  (`relay.upstream.write_coalescing`).
- uvicorn validates each header by itself (1 us); here they are joined and validated together.
- uvicorn takes two messages for a complete response and one for each chunk, and waits for an event
  for a body that has arrived; `send_response` and `send_chunk` are one call without a message, and
  `receive` returns such a body at once.
- uvicorn sets a keep-alive timer for each request (3 us); here a connection has one timer,
  which checks the current deadline.
- uvicorn's `on_headers_complete` and `on_body` are repeated here for its class of cycles and for
  the byte counts; what no option of `up` can set is left out.

It also limits what uvicorn does not: the bytes and the time of a head, silent connections, and
the number of connections (`ConnectionLimits`).
"""

from __future__ import annotations

import asyncio
import re
import string
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

from gateway.canon.errors import Error
from gateway.edge.admission import CREDENTIAL_HEADERS
from gateway.edge.refusals import send_refusal
from gateway.management.start.connection_deadlines import (
    TimedProtocol,
    configured_limits,
    evict_connections,
)
from gateway.relay.upstream.write_coalescing import coalescer_for

# Up to this size, the head of a response of known length is buffered until its body follows,
# and writes are buffered until the end of the loop iteration.
_SMALL_BYTES = 64 * 1024
# The bytes that a header value may contain.
_VALUE_BYTES = bytes(byte for byte in range(256) if byte == 9 or (byte > 31 and byte != 127))
# The bytes of a host and a port: https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2
_HOST_BYTES = string.ascii_letters.encode() + string.digits.encode() + b"-._~%!$&'()*+,;=:[]"
# Valid header names, seen before, that do not affect the protocol: they need no check.
_HARMLESS_NAMES: set[bytes] = set()
_MAX_HARMLESS_NAMES = 1024
_BODY = "http.response.body"
_PROTOCOL_HEADERS = frozenset({b"connection", b"transfer-encoding"})
_BODILESS = frozenset({204, 304})


# Larger data is parsed in slices: it may be an oversized head, or hundreds of tiny requests.
_SLICE_BYTES = 8 * 1024


class CoalescingTransport:
    """A transport that combines the writes of one loop iteration."""

    __slots__ = ("_buffer", "_outbox", "_queued", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._outbox = coalescer_for(loop)
        self._buffer = b""
        self._queued = False

    def write(self, data: bytes) -> None:
        """Send at the end of the loop iteration; large data immediately, for flow control."""
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) > _SMALL_BYTES:
            self.flush()
        elif not self._queued:
            self._queued = True
            self._outbox.add(self)

    def buffer(self, head: bytes) -> None:
        """Buffer a head until the next write, however long that takes."""
        self._buffer += head

    def flush(self) -> None:
        """Send the buffered data."""
        self._queued = False
        if self._buffer:
            data, self._buffer = self._buffer, b""
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self) -> None:
        """Send the buffered data, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Delegate everything else to the transport."""
        return getattr(self._transport, name)


class RequestCycle(RequestResponseCycle):
    """One response, with a fast path for the common messages; uvicorn handles the others."""

    def __init__(self, protocol: Protocol, *, keep_alive: bool) -> None:
        super().__init__(
            protocol.scope,
            protocol.transport,
            protocol.flow,
            protocol.logger,
            protocol.access_logger,
            protocol.access_log,
            protocol.server_state.default_headers,
            asyncio.Event(),
            protocol.expect_100_continue,
            keep_alive,
            protocol.on_response_complete,
        )
        # Whether the fast path sent the head, and with chunked transfer encoding.
        self._fast = self._chunked = False
        self._body_read = False
        self._app_state = protocol.app_state

    async def receive(self) -> Any:
        """Return the body at once if all of it has arrived; uvicorn handles everything else."""
        if self.more_body or self._body_read or self.disconnected or self.waiting_for_100_continue:
            message = await super().receive()
            if not message.get("more_body"):
                self._body_read = True
            return message
        self._body_read = True
        self.flow.resume_reading()
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}

    def send_response(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole response in one step, without ASGI messages.

        `headers` are without `content-length`, which is added. Return False, with nothing sent,
        if the response must be sent as messages.
        """
        headers = [*self.default_headers, *headers]
        self._check_draining()
        if (
            self.response_started
            or self.disconnected
            or self.access_log
            or self.flow.write_paused
            or not self.keep_alive
            or status in _BODILESS
            or self.scope["method"] == "HEAD"
            or not _HARMLESS_NAMES.issuperset(dict(headers))
        ):
            return False
        head = _encode_head(status, headers)
        if not head:
            return False
        self.response_started, self.waiting_for_100_continue = True, False
        head += b"content-length: %d\r\n\r\n" % len(body)
        if len(body) <= _SMALL_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        self._end_response()
        return True

    def send_chunk(self, body: bytes) -> bool:
        """Send a chunk of a streamed response without an ASGI message.

        Return False, with nothing sent, if it must be sent as a message.
        """
        if self.disconnected or not self._chunked or self.flow.write_paused or not body:
            return False
        if self.response_complete:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    async def send(self, message: Any) -> None:
        """Send the head, or a chunk of the body."""
        if not self.response_started:
            self._check_draining()
        if not (
            self._try_send_body(message) if self.response_started else self._try_send_head(message)
        ):
            await super().send(message)

    def _check_draining(self) -> None:
        """Announce the connection's end once a shutdown has begun, also during the request.

        The application sets the key in the lifespan's state before it shuts down. A proxy that
        sent its next request on the connection would get no response.
        """
        if "draining" in self._app_state:
            self.keep_alive = False

    def _try_send_body(self, message: Any) -> bool:
        """Send a chunk of the body; return False if uvicorn must send it."""
        if not self._fast or self.response_complete or message["type"] != _BODY:
            return False
        if self.disconnected or self.flow.write_paused:
            return False
        body, is_last = message.get("body", b""), not message.get("more_body")
        if self._chunked:
            if body:
                self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
            if is_last:
                self.transport.write(b"0\r\n\r\n")
        elif is_last and len(body) == self.expected_content_length:
            self.transport.write(body)
        else:
            return False
        if is_last:
            self._end_response()
        return True

    def _end_response(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _try_send_head(self, message: Any) -> bool:
        """Send the head if the fast path applies; return whether it was sent."""
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
        status = message["status"]
        head = _encode_head(status, headers)
        if not head or self.scope["method"] == "HEAD":
            return False
        if not self.keep_alive:
            head += b"connection: close\r\n"
        if length is None and status not in _BODILESS:
            head += b"transfer-encoding: chunked\r\n"
        self.response_started, self.waiting_for_100_continue = True, False
        self._fast = True
        self._chunked = length is None and status not in _BODILESS
        self.chunked_encoding = self._chunked
        self.expected_content_length = length or 0
        head += b"\r\n"
        if length is not None and length <= _SMALL_BYTES:
            self.transport.buffer(head)  # type: ignore[attr-defined]
        else:
            self.transport.write(head)
        return True


def _encode_head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return a response's head without the empty line at its end; empty if a value is invalid."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.translate(None, _VALUE_BYTES) != b"\r\n" * len(headers):
        return b""
    return STATUS_LINE[status] + lines


def _is_known_harmless(name: bytes) -> bool:
    if name in _PROTOCOL_HEADERS or name != name.lower() or HEADER_RE.search(name):
        return False
    if len(_HARMLESS_NAMES) < _MAX_HARMLESS_NAMES and name != b"content-length":
        _HARMLESS_NAMES.add(name)
    return name != b"content-length"


TOO_LARGE = "the request line and headers are larger than 64 KiB"
_BAD_HOST = "a request needs one valid Host header"
_BAD_KEY = "the API key contains invalid characters; check how it is read and sent"
# Bytes that no header value may contain, except line ends.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class HeadTooLarge(Exception):
    """A head, or trailers, larger than allowed."""


class InvalidHost(Exception):
    """A missing, repeated or invalid Host: a proxy may use another one (RFC 9112, 3.2)."""


class UnsupportedVersion(Exception):
    """A version of HTTP other than 1.0 and 1.1."""


def _check_host(headers: list[tuple[bytes, bytes]], http_version: str) -> None:
    """Raises InvalidHost. HTTP/1.0 has no Host header."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or any(host.translate(None, _HOST_BYTES) for host in hosts):
        raise InvalidHost
    if not hosts and http_version != "1.0":
        raise InvalidHost


class RequestFlow(FlowControl):
    """Flow control that stops reading while much waits to be parsed.

    Little is read while requests wait for their turn, so that a disconnect is noticed.
    """

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol.transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        """Read again, unless much waits to be parsed."""
        if self.read_paused and len(self._protocol.unread) < _SMALL_BYTES:
            self.read_paused = False
            self._transport.resume_reading()


class Protocol(TimedProtocol):
    """The HTTP protocol that `up` serves with."""

    # Received after pipelined requests, and not parsed before their turn: once it is parsed, a
    # request takes many times its size.
    unread = b""
    # The request that is being answered; `cycle` is the last one that has arrived.
    _running_cycle: RequestResponseCycle | None = None
    # Bytes received since the parser last reached the end of a head or a chunk of a body.
    _unparsed = 0
    # Whether all connections were busy when this one was accepted: its request is refused.
    _over_limit = False
    # Whether another protocol has taken over the connection.
    _upgraded = False

    def connection_made(self, transport: Any) -> None:
        """Wrap the transport in a CoalescingTransport, and set the deadline of the first head."""
        super().connection_made(CoalescingTransport(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]
        self.flow = RequestFlow(self)
        if self.limits is None:
            self.limits = configured_limits()
        self._idle_since = self.loop.time()
        self._set_timer(self._idle_since + self.limits.head_s)
        if len(self.connections) > self.limits.connections:
            self._over_limit = not evict_connections(self)

    def data_received(self, data: bytes) -> None:
        """Parse received data; not beyond a request that waits for its turn."""
        if self.pipeline or self.unread:
            self.unread += data
            if len(self.unread) >= _SMALL_BYTES:
                self.flow.pause_reading()
        elif len(data) <= _SLICE_BYTES:
            self._feed_parser(data)
        else:
            self._parse_slices(data)

    def _parse_slices(self, data: bytes) -> None:
        start = 0
        while start < len(data):
            if self.parser is None or self.transport.is_closing():
                return
            if self._upgraded:
                self._pass_to_websocket(data[start:])
                return
            if self.pipeline:
                self.unread = data[start:]
                return
            end = start + (_SMALL_BYTES if self._in_body else _SLICE_BYTES)
            self._feed_parser(data[start:end])
            start = end

    def _parse_unread(self) -> None:
        """Parse what was received after the last pipelined request, which has its turn now."""
        data, self.unread = self.unread, b""
        if self.parser is None or self.transport.is_closing():
            return
        self.data_received(data)
        self.flow.resume_reading()

    def _feed_parser(self, data: bytes) -> None:
        self._unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(error, data)
        else:
            if self._unparsed and not self.transport.is_closing():
                self._check_unparsed()

    def _check_unparsed(self) -> None:
        """Limit what the parser buffers: a head, a chunk size, or trailers."""
        assert self.limits is not None
        if self._unparsed > self.limits.head_bytes:
            self.refuse_head(431, TOO_LARGE, "too_large")
        elif not self._in_body and self._head_since is None:
            self._idle_since, self._head_since = None, self.loop.time()
            self._set_timer(self._head_since + self.limits.head_s)

    def _upgrade(self, remaining_bytes: bytes) -> None:
        """Upgrade to a WebSocket, or parse the request again as one without an upgrade.

        Other upgrades are ignored, and the request is answered normally (RFC 9110, 7.8). The parser
        has ended such a request at its head, and would take its body for the next request.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.refuse_head(400, "Invalid HTTP request received.")
        elif self._should_upgrade():
            self._upgraded = True
            self._cancel_timer()
            self.handle_websocket_upgrade()
            self._pass_to_websocket(remaining_bytes)
        else:
            version = self.parser.get_http_version().encode()
            lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            # As uvicorn's parser: data after the last request of a connection is ignored.
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._feed_parser(b"\r\n".join([*lines, b"", remaining_bytes]))

    def _pass_to_websocket(self, data: bytes) -> None:
        """Pass data that arrived with the handshake to the WebSocket protocol."""
        if data and not self.transport.is_closing():
            cast("asyncio.Protocol", self.transport.get_protocol()).data_received(data)

    def _should_upgrade(self) -> bool:
        """Whether the request opens a WebSocket: it has no body."""
        return (
            self.parser.get_method() == b"GET"
            and super()._should_upgrade()
            and not any(
                name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
                for name, value in self.headers
            )
        )

    def on_headers_complete(self) -> None:
        """Start the request."""
        assert self.limits is not None
        if self._unparsed > self.limits.head_bytes:
            self._check_size(len(self.url))
        self._unparsed, self._in_body = 0, True
        self._idle_since = self._head_since = None
        parser, scope = self.parser, self.scope
        scope["method"] = parser.get_method().decode("ascii")
        http_version = parser.get_http_version()
        if http_version != "1.1":
            if http_version != "1.0":
                raise UnsupportedVersion
            scope["http_version"] = http_version
        # A fast check for most requests, which have a valid host and no repeated header.
        headers = dict(self.headers)
        if len(headers) != len(self.headers) or headers.get(b"host", b" ").translate(
            None, _HOST_BYTES
        ):
            _check_host(self.headers, http_version)
        if parser.should_upgrade():
            return  # `_upgrade` follows
        self.headers = []  # for the trailers, which are not part of the request's headers
        url = httptools.parse_url(self.url)
        scope["raw_path"] = raw_path = url.path
        path = raw_path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["query_string"] = url.query or b""
        previous_cycle = self.cycle
        keep_alive = http_version != "1.0" and parser.should_keep_alive()
        # A subclass of uvicorn's: a later change of its class would slow down its attributes.
        self.cycle = RequestCycle(self, keep_alive=keep_alive)
        if previous_cycle is None or previous_cycle.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # a pipelined request waits for its turn
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """Add a chunk of the body. As in uvicorn, except for the byte count."""
        self._unparsed = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Complete the request."""
        if self.parser.should_upgrade():
            self._in_body = False
            return
        if self.headers:  # trailers
            self._check_size(0)
        self._unparsed, self._in_body = 0, False
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.more_body = False
        cycle.message_event.set()

    def _check_size(self, size: int) -> None:
        """Raise HeadTooLarge if headers received in one chunk are too large."""
        assert self.limits is not None
        size += sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.head_bytes:
            raise HeadTooLarge

    def _refuse(self, error: httptools.HttpParserError, data: bytes) -> None:
        """Send an error for invalid HTTP, and close."""
        cause = error.__context__
        if isinstance(cause, HeadTooLarge):
            self.refuse_head(431, TOO_LARGE, "too_large")
        elif isinstance(cause, InvalidHost):
            self.refuse_head(400, _BAD_HOST)
        elif isinstance(cause, UnsupportedVersion):
            self.refuse_head(505, "only HTTP/1.1 and HTTP/1.0 are supported")
        elif not self._in_body and faulty_header(data) in CREDENTIAL_HEADERS:
            self.refuse_head(401, _BAD_KEY, "gateway_auth")
        else:
            self.refuse_head(400, "Invalid HTTP request received.")

    def on_response_complete(self) -> None:
        """Start the next pipelined request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            if self.unread and not self.pipeline:  # it may have the body of the request
                self.loop.call_soon(self._parse_unread)
            return
        self.flow.resume_reading()
        self._idle_since = now = self.loop.time()
        if (
            self._head_since is not None
        ):  # the deadline of the next request, which waited for this response
            self._head_since = now
        close_at = now + self.timeout_keep_alive
        if self._in_body or self._head_since is not None:
            close_at = self._close_time() or now
        if self._timer is None or self._timer_at > close_at:
            self._set_timer(close_at)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._leaving:
            cycle.keep_alive = False
        if self._over_limit:
            cycle.keep_alive = False
            app = refuse_connection
        self._running_cycle = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the running request, even if others are queued behind it."""
        self.unread = b""
        self.pipeline.clear()
        cycle = self._running_cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)


async def refuse_connection(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a request for which there is no connection to spare, in its dialect."""
    error = Error(
        kind="overloaded",
        message="all connections of the gateway are in use; try again shortly",
        retry_after_s=1,
    )
    await send_refusal(scope, send, error)


def faulty_header(data: bytes) -> bytes:
    """Return the name of the first header with a control character; empty if there is none."""
    match = _CONTROL.search(data)
    if match is None:
        return b""
    line = data[data.rfind(b"\n", 0, match.start()) + 1 : match.start()]
    name, colon, _ = line.partition(b":")
    return name.lower() if colon else b""
