"""uvicorn's HTTP protocol, with the head of an answer and its body in one packet.

uvicorn writes both as they come, which is a system call and a packet each (10 us of a
unary answer's CPU); here they wait for the end of the loop's turn (`relay.outbox`). And it
looks at each header by itself (1 us); here they are joined first, and looked at together.
And it sets a timer for each request (3 us) that closes the connection if none follows; here a
connection has one, which looks how long it has been idle.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.relay.outbox import outbox_of

# Up to here the head of an answer of known length waits for its body, however long that
# takes; and up to here what is written waits for the end of the turn.
_SMALL_BYTES = 64 * 1024
# All that a header's value may hold.
_FINE = bytes(byte for byte in range(256) if byte == 9 or (byte > 31 and byte != 127))
# Names that need no look: those seen that are well-formed and mean nothing to the protocol.
_PLAIN: set[bytes] = set()
_MOST_NAMES = 1024
_BODY = "http.response.body"
_MEANT = frozenset({b"connection", b"transfer-encoding"})
_BODILESS = frozenset({204, 304})


class Corked:
    """A transport that gathers what is written in one turn of the loop into one write."""

    __slots__ = ("_held", "_outbox", "_queued", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._outbox = outbox_of(loop)
        self._held = b""
        self._queued = False

    def write(self, data: bytes) -> None:
        """Send at the end of the turn; at once if it is much, so that its reader is waited for."""
        self._held = self._held + data if self._held else data
        if len(self._held) > _SMALL_BYTES:
            self.flush()
        elif not self._queued:
            self._queued = True
            self._outbox.add(self)

    def hold(self, head: bytes) -> None:
        """Hold a head back until the next write, however long that takes."""
        self._held += head

    def flush(self) -> None:
        """Send what is held."""
        self._queued = False
        if self._held:
            data, self._held = self._held, b""
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
        if not (self._went(message) if self.response_started else self._begun(message)):
            await super().send(message)

    def _went(self, message: Any) -> bool:
        """Whether a piece of the body was ordinary, and is sent; the last one never is."""
        if not self._chunked or self.response_complete or not message.get("more_body"):
            return False
        if self.disconnected or self.flow.write_paused or message["type"] != _BODY:
            return False
        if body := message.get("body"):
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def _begun(self, message: Any) -> bool:
        """Whether the head was ordinary, and is sent."""
        if message["type"] != "http.response.start" or self.disconnected or self.access_log:
            return False
        headers = [*self.default_headers, *message.get("headers", ())]
        length = None
        for name, value in headers:
            if name not in _PLAIN:
                if name == b"content-length" and length is None and value.isdigit():
                    length = int(value)
                elif not _is_plain(name):
                    return False
        lines = [b"%b: %b\r\n" % header for header in headers]
        if b"".join(lines).translate(None, _FINE) != b"\r\n" * len(lines):
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
            self.transport.hold(head)  # type: ignore[attr-defined]
        else:
            self.transport.write(head)
        return True


def _is_plain(name: bytes) -> bool:
    if name in _MEANT or name != name.lower() or HEADER_RE.search(name):
        return False
    if len(_PLAIN) < _MOST_NAMES and name != b"content-length":
        _PLAIN.add(name)
    return name != b"content-length"


class Protocol(HttpToolsProtocol):
    """What `up` serves with."""

    _idle_at: float | None = None
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Put the cork between uvicorn and the socket."""
        super().connection_made(Corked(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in some of a request."""
        self._idle_at = None
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Begin the next request that is here already; else wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_at = self.loop.time()
        if self._look is None:
            self._look = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self._look = None
        if self._idle_at is None:
            return
        left = self._idle_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look = self.loop.call_later(left, self._close_if_idle)
        else:
            self.timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Cycle
        super()._start_asgi_task(cycle, app)


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, but for the end: what is under way is let finish."""

    def shutdown(self) -> None:
        """Leave the connection open: the application closes it when its last turn is over."""
        if not self.handshake_complete:
            super().shutdown()
