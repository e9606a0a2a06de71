"""uvicorn's WebSocket protocol with bounded memory and bounded work per loop iteration.

A recv can contain tens of thousands of tiny frames, which take the parser seconds: they are parsed
in slices, and other connections are served in between. No further frame is parsed while the
application handles a message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, ClassVar

from django.conf import settings
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.config import capacity
from gateway.management.start.connection_deadlines import render_response
from gateway.relay.upstream.websocket import PARSE_S, SLICE_BYTES

# Close codes of a WebSocket.
_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013
# A connection that was closed early stays open until the client has sent nothing for QUIET_S, at
# most LINGER_S. If it was closed with unread data, it would be reset, and the client might miss
# the close frame.
QUIET_S, LINGER_S = 0.5, 5.0
# Frames that arrive before the handshake is accepted, and a connection that holds little memory.
_SMALL_BYTES = 64 * 1024


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket connection; a shutdown lets running turns finish.

    Attributes:
        message_s: the time for all fragments of a message, which pings do not prolong.
        max_total_bytes: the limit of `total_bytes`; None for that of large bodies.
        total_bytes: messages on all connections that are incomplete, or that the application
            has not handled yet.
    """

    message_s: float | None = None
    max_total_bytes: ClassVar[int | None] = None
    total_bytes: ClassVar[int] = 0
    _message_timer: asyncio.TimerHandle | None = None
    # What this connection contributes to `total_bytes`.
    _held_bytes = 0
    # Whether the connection was closed early, and what arrives is dropped.
    _is_discarding = False
    # When data was last dropped, and until when it is.
    _discarded_at = _discard_until = 0.0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        # Received, but not parsed yet.
        self._unparsed = b""
        # Of the complete messages, the oldest first; that of the message being handled.
        self._message_sizes: deque[int] = deque()
        self._handled_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse received data, after the data that is buffered.

        Frames are buffered until the handshake is accepted: the parser fails on them before.
        """
        if self._is_discarding:
            self._discarded_at = self.loop.time()
            return
        if self._unparsed or self._is_handshaking:
            self._unparsed += data
            if not self._is_handshaking or len(self._unparsed) > _SMALL_BYTES:
                self.transport.pause_reading()
            self._count_memory()
            return
        self._parse(data)

    @property
    def _is_handshaking(self) -> bool:
        return self.handshake_initiated and not self.handshake_complete

    @property
    def _may_parse(self) -> bool:
        """Whether no message waits for the application, and no pong for the client."""
        return not self.read_paused and self.writable.is_set()

    def _parse(self, data: bytes) -> None:
        """Parse data until its end, a message, or the end of this iteration's time."""
        deadline = self.loop.time() + PARSE_S
        for end in range(SLICE_BYTES, len(data) + SLICE_BYTES, SLICE_BYTES):
            super().data_received(data[end - SLICE_BYTES : end])
            if end >= len(data) or self._is_discarding or self.transport.is_closing():
                break
            if not self._may_parse or self.loop.time() > deadline:
                self._unparsed = data[end:]
                self.transport.pause_reading()
                if self._may_parse:
                    self.loop.call_soon(self._parse_buffered)
                break
        self._count_memory()
        self._watch_message()
        self._answer_invalid_handshake()

    def _parse_buffered(self) -> None:
        """Parse the buffered data; drop it if the connection is closed."""
        if not (self._unparsed and self._may_parse) or self._is_handshaking:
            return
        data, self._unparsed = self._unparsed, b""
        if self.transport.is_closing():
            return
        self._parse(data)
        if not self._unparsed and self._may_parse:
            self.transport.resume_reading()

    def _watch_message(self) -> None:
        """Set the deadline of a message that is incomplete."""
        if self.frames and self._message_timer is None:
            seconds = settings.BODY_TIMEOUT_S if self.message_s is None else self.message_s
            self._message_timer = self.loop.call_later(seconds, self._close_incomplete)

    def _answer_invalid_handshake(self) -> None:
        """Answer an invalid handshake and close, which uvicorn leaves open for ever."""
        if self.conn.handshake_exc is None or self.handshake_initiated:
            return
        if not self.transport.is_closing():
            response = b"".join(self.conn.data_to_send())
            self.transport.write(
                response or render_response(400, [], b"Invalid HTTP request received.")
            )
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Pass on a message that is complete."""
        self._stop_message_timer()
        if not self.close_sent:
            self._message_sizes.append(sum(map(len, self.frames)))
        super().send_receive_event_to_app()

    def _count_memory(self) -> None:
        """Update `total_bytes`; close a connection that holds much when it exceeds its limit."""
        self._set_held_bytes(
            len(self._unparsed)
            + len(self.conn.reader.buffer)
            + sum(map(len, self.frames))
            + sum(self._message_sizes)
            + self._handled_bytes
        )
        if self._held_bytes <= _SMALL_BYTES:
            return
        limit = self.max_total_bytes
        if limit is None:
            limit = capacity.large_body_bytes(settings.MAX_BODY_BYTES)
            SocketProtocol.max_total_bytes = limit
        if SocketProtocol.total_bytes > limit:
            self._close_early(_TRY_AGAIN_LATER, "too many large messages at the moment")

    def _set_held_bytes(self, held_bytes: int) -> None:
        SocketProtocol.total_bytes += held_bytes - self._held_bytes
        self._held_bytes = held_bytes

    def _stop_message_timer(self) -> None:
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None

    def _close_incomplete(self) -> None:
        """Close a connection whose message is still incomplete."""
        self._close_early(_POLICY_VIOLATION, "the message did not arrive in time")

    def _close_early(self, code: int, reason: str) -> None:
        """Close the connection, and drop the incomplete message."""
        self._stop_message_timer()
        self.frames, self._unparsed = [], b""
        self.conn.reader.buffer.clear()
        if not (self.close_sent or self.transport.is_closing()):
            self.conn.send_close(code, reason)
            self._end_early(code, reason)

    def handle_parser_exception(self) -> None:
        """Close the connection after an invalid frame, or one of a message that is too large."""
        frame = self.conn.close_sent
        assert frame is not None
        self._stop_message_timer()
        self.frames, self._unparsed = [], b""
        self._end_early(frame.code, frame.reason)

    def _end_early(self, code: int, reason: str) -> None:
        """Send the close frame, and drop what the client still sends until it closes."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close_sent = self._is_discarding = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.resume_reading()
        self._discarded_at = self.loop.time()
        self._discard_until = self._discarded_at + LINGER_S
        self.close_timer = self.loop.call_later(QUIET_S, self._close_if_quiet)

    def _close_if_quiet(self) -> None:
        now = self.loop.time()
        if now < self._discard_until and now < self._discarded_at + QUIET_S:
            self.close_timer = self.loop.call_later(QUIET_S, self._close_if_quiet)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a message that will never be complete."""
        self._stop_message_timer()
        self._set_held_bytes(0)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Leave the connection open: the application closes it after its last turn."""
        if not self.handshake_complete:
            super().shutdown()

    def pause_writing(self) -> None:
        """Read no more pings while the client does not read the pongs."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again, unless a message waits for the application."""
        super().resume_writing()
        if self._unparsed:
            self.loop.call_soon(self._parse_buffered)
        elif not self.read_paused:
            self.transport.resume_reading()

    async def send(self, message: Any) -> None:
        """Send an event. A rejected handshake is complete; uvicorn logs an error for each."""
        if self._is_discarding:
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
        if self._unparsed:  # the handshake was accepted, or the application reads no more
            self.transport.pause_reading()
            self.loop.call_soon(self._parse_buffered)

    async def receive(self) -> Any:
        """Return the next event; uvicorn then reads again, which waits for the client here."""
        if self._handled_bytes and not self.disconnected:
            self._set_held_bytes(self._held_bytes - self._handled_bytes)
        self._handled_bytes = 0
        message = await super().receive()
        if message["type"] == "websocket.receive":
            self._handled_bytes = self._message_sizes.popleft()
        if self._unparsed:
            self.loop.call_soon(self._parse_buffered)
        if self._unparsed or not self.writable.is_set():
            self.transport.pause_reading()
        return message

    def handle_cont(self, event: Any) -> None:
        """Append a fragment to one buffer: a list of tiny ones takes many times their size."""
        buffer: Any = self.frames[0]
        if isinstance(buffer, bytes):
            buffer = bytearray(buffer)
        buffer += event.data
        self.frames = [bytes(buffer) if event.fin else buffer]
        if event.fin:
            self.send_receive_event_to_app()
