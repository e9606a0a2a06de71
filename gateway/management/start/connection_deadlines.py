"""Deadlines of a connection: for a head, the next request, the unread body after a response.

uvicorn has only a keep-alive timeout. This module also selects the connections to close when
a process reaches its connection limit.
"""

from __future__ import annotations

import asyncio
import functools
import heapq

import msgspec
from django.conf import settings
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.canon.errors import Error
from gateway.config import capacity
from gateway.edge.endpoints import is_edge_path
from gateway.edge.refusals import render_refusal

_TEXT_CONTENT_TYPE = (b"content-type", b"text/plain; charset=utf-8")
# How long an open connection may still deliver a request when the server shuts down, and in how
# many timers: a stalled uvloop calls a due timer before it reads what has arrived meanwhile.
GRACE_S = 0.25
_GRACE_TIMERS = 5
# Idle for less than this, a connection is not evicted (if it had a response), or evicted last
# (if it had no request yet).
MIN_IDLE_SERVED_S, MIN_IDLE_NEW_S = 10.0, 1.0


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on a client before its request reaches the application. Bytes and seconds.

    Attributes:
        head_bytes: of a request's line and headers together; the same for trailers.
        head_s: for a whole head, from the accept or from the first byte of a later one.
        linger_s: for the remainder of a body after the response has been sent.
        connections: of this process; beyond it, waiting connections are evicted.
    """

    head_bytes: int = 64 * 1024
    head_s: float = 15.0
    linger_s: float = 15.0
    connections: int = 10_000


@functools.cache
def configured_limits() -> ConnectionLimits:
    """Return the limits of this process."""
    return ConnectionLimits(
        head_s=settings.HEAD_TIMEOUT_S,
        connections=settings.MAX_CONNECTIONS or capacity.connections(),
    )


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for every state in which a connection waits."""

    limits: ConnectionLimits | None = None
    # Start of a wait for a request's first byte (or for the rest of an answered body).
    _idle_since: float | None = None
    # Arrival of the first byte of an incomplete head.
    _head_since: float | None = None
    _in_body = False
    _leaving = False
    # When the client stopped reading the response.
    _stalled_since: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _timer_at = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer."""
        self._cancel_timer()
        super().connection_lost(exc)

    def _close_time(self) -> float | None:
        """Return when to close the connection in this state; None while a request is handled."""
        assert self.limits is not None
        if self._head_since is not None:
            return self._head_since + self.limits.head_s
        if self._idle_since is None:
            return None
        if self._in_body:
            return self._idle_since + self.limits.linger_s
        wait = self.limits.head_s if self.cycle is None else self.timeout_keep_alive
        return self._idle_since + wait

    def _set_timer(self, deadline: float) -> None:
        """Schedule a check of the deadline at this time or earlier."""
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self.loop.call_at(deadline, self._close_if_due)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_if_due(self) -> None:
        self._timer = None
        if self.transport.is_closing() or self.cycle_runs:
            return  # the end of the response checks the deadline
        close_at = self._close_time()
        if close_at is None:
            return
        if close_at > self.loop.time():
            self._set_timer(close_at)
        elif self._head_since is not None:
            self.refuse_head(408, "the request's headers did not arrive in time")
        else:
            self.transport.close()

    @property
    def cycle_runs(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def eviction_rank(self, now: float) -> tuple[int, float] | None:
        """Return the connection's rank for eviction; None if it must not be evicted.

        First, closed connections whose client does not read; then those that have sent or read
        nothing for a while, of these first the ones without a response so far. A connection with a
        response that the client reads, or one that just ended, is never evicted.
        """
        if self.transport.is_closing():
            return 0, 0.0
        if self._stalled_since is not None:
            return (
                (2, self._stalled_since) if now - self._stalled_since >= MIN_IDLE_SERVED_S else None
            )
        since = self._head_since if self._head_since is not None else self._idle_since
        if since is None or self.cycle_runs:
            return None
        has_served_request = self.cycle is not None
        is_recent = now - since < (MIN_IDLE_SERVED_S if has_served_request else MIN_IDLE_NEW_S)
        if has_served_request and is_recent:
            return None
        return 1 + 2 * is_recent + has_served_request, since

    def pause_writing(self) -> None:
        """Record that the client reads too slowly."""
        self._stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Record that the client reads again."""
        self._stalled_since = None
        super().resume_writing()

    def shutdown(self) -> None:
        """Close after the current request, or after one that may be in transit."""
        self._leaving = True
        if self.cycle_runs:
            self.cycle.keep_alive = False
        else:
            self._close_unless_busy(_GRACE_TIMERS)

    def _close_unless_busy(self, timers: int) -> None:
        """Close after this many more timers, unless a request has begun by then."""
        if self.cycle_runs:
            return  # the end of the response closes the connection
        if timers:
            self.loop.call_later(GRACE_S / _GRACE_TIMERS, self._close_unless_busy, timers - 1)
        else:
            self.transport.close()

    def refuse_head(self, status: int, message: str, kind: str = "") -> None:
        """Send an error without the application and close; in the dialect if the error has a kind.

        Close without an error if a response has begun, or belongs to another request.
        """
        if self.transport.is_closing():
            return
        if not self.cycle_runs or (self._in_body and not self.cycle.response_started):
            self.transport.write(self._refusal_response(status, message, kind))
        if self.cycle_runs:
            # The application's remaining output is discarded.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _refusal_response(self, status: int, message: str, kind: str) -> bytes:
        path = self.url.partition(b"?")[0].decode("latin-1") if self.headers is not None else ""
        if not kind or not is_edge_path(path):
            return render_response(status, [_TEXT_CONTENT_TYPE], message.encode("ascii"))
        _, lines, body = render_refusal(path, self.headers, Error(kind=kind, message=message))
        return render_response(status, lines, body)


def evict_connections(newest: TimedProtocol) -> bool:
    """Close the connections that have waited longest for a request; return whether any did.

    Close several at a time, since the search visits every connection.
    """
    assert newest.limits is not None
    now = newest.loop.time()
    waiting_connections = [
        (rank, id(connection), connection)
        for connection in newest.connections
        if isinstance(connection, TimedProtocol)
        and connection is not newest
        and (rank := connection.eviction_rank(now)) is not None
    ]
    for _, _, connection in heapq.nsmallest(
        max(1, newest.limits.connections // 16), waiting_connections
    ):
        connection.transport.abort()
        newest.connections.discard(
            connection
        )  # the next iteration of the loop frees its descriptor
    return bool(waiting_connections)


def render_response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return the bytes of a response that closes the connection."""
    lines = [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    header_lines = [b"%b: %b\r\n" % line for line in lines]
    return b"".join([STATUS_LINE[status], *header_lines, b"\r\n", body])
