"""A connection's deadlines: for a head, for the next request, for what was refused.

uvicorn has none but for an idle connection. And which connections make room for others where
there are as many as there may be.
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

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
# How long an open connection may still bring a request when the server ends.
GRACE_S = 0.25
# For so long a connection that waits is not one of the first to make room: one that had an
# answer, and one that never had.
FRESH_CALLER_S, FRESH_STRANGER_S = 10.0, 1.0


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may take before its request is the application's. Bytes and seconds.

    Attributes:
        head_bytes: of a request's line and headers together; trailers have as much.
        head_s: for a whole head, from the accept or from the first byte of a later one.
        linger_s: for the rest of a body whose request has been answered already.
        connections: of this process; beyond it, those that wait for a head make room.
    """

    head_bytes: int = 64 * 1024
    head_s: float = 15.0
    linger_s: float = 15.0
    connections: int = 10_000


@functools.cache
def configured_limits() -> ConnectionLimits:
    """The limits of this process."""
    return ConnectionLimits(
        head_s=settings.HEAD_TIMEOUT_S,
        connections=settings.MAX_CONNECTIONS or capacity.connections(),
    )


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for whatever a connection waits for."""

    limits: ConnectionLimits | None = None
    # When a wait for a request's first byte (or for the rest of an answered body) began.
    _idle_since: float | None = None
    # When the first byte of a head that is not whole yet arrived.
    _head_since: float | None = None
    _in_body = False
    _leaving = False
    # When the client stopped to read what it is sent.
    _stalled_since: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _timer_at = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel_timer()
        super().connection_lost(exc)

    def _due(self) -> float | None:
        """When the connection is to be closed as it is now; None while a request is answered."""
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
        """Look at the deadline at this time, or before."""
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
            return  # the end of the answer looks again
        due = self._due()
        if due is None:
            return
        if due > self.loop.time():
            self._set_timer(due)
        elif self._head_since is not None:
            self.refuse_head(408, "the request's headers did not arrive in time")
        else:
            self.transport.close()

    @property
    def cycle_runs(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def eviction_rank(self, now: float) -> tuple[int, float] | None:
        """Its place among those that make room; None for one that does not.

        First those that are closed but for what their client does not read, then those that
        have said nothing or read nothing for a while, and of these those that never had an
        answer. Who is being answered and reads, or just was answered, stays.
        """
        if self.transport.is_closing():
            return 0, 0.0
        if self._stalled_since is not None:
            return (2, self._stalled_since) if now - self._stalled_since >= FRESH_CALLER_S else None
        since = self._head_since if self._head_since is not None else self._idle_since
        if since is None or self.cycle_runs:
            return None
        had_request = self.cycle is not None
        fresh = now - since < (FRESH_CALLER_S if had_request else FRESH_STRANGER_S)
        return None if had_request and fresh else (1 + 2 * fresh + had_request, since)

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        self._stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._stalled_since = None
        super().resume_writing()

    def shutdown(self) -> None:
        """Close after the request that is answered, or that may be on its way here."""
        self._leaving = True
        if self.cycle_runs:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(GRACE_S, self._close_unless_busy)

    def _close_unless_busy(self) -> None:
        if not self.cycle_runs:  # its answer closes the connection
            self.transport.close()

    def refuse_head(self, status: int, message: str, kind: str = "") -> None:
        """Answer without the application and close; in the dialect, if the error has a kind.

        An answer that has begun, or is another request's, is cut and not added to.
        """
        if self.transport.is_closing():
            return
        if not self.cycle_runs or (self._in_body and not self.cycle.response_started):
            self.transport.write(self._refusal(status, message, kind))
        if self.cycle_runs:
            # Whatever the application still sends has nowhere to go.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _refusal(self, status: int, message: str, kind: str) -> bytes:
        path = self.url.partition(b"?")[0].decode("latin-1") if self.headers is not None else ""
        if not kind or not is_edge_path(path):
            return render_response(status, [_TEXT], message.encode("ascii"))
        _, lines, body = render_refusal(path, self.headers, Error(kind=kind, message=message))
        return render_response(status, lines, body)


def make_room(newest: TimedProtocol) -> bool:
    """Close the connections that have waited longest for a request; whether there were any.

    Several at a time, as looking for them takes a step for each connection.
    """
    assert newest.limits is not None
    now = newest.loop.time()
    waiting = [
        (rank, id(connection), connection)
        for connection in newest.connections
        if isinstance(connection, TimedProtocol)
        and connection is not newest
        and (rank := connection.eviction_rank(now)) is not None
    ]
    for _, _, connection in heapq.nsmallest(max(1, newest.limits.connections // 16), waiting):
        connection.transport.abort()
        newest.connections.discard(connection)  # its descriptor is free in the loop's next turn
    return bool(waiting)


def render_response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """An answer that needs no application; it closes the connection."""
    lines = [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    header_lines = [b"%b: %b\r\n" % line for line in lines]
    return b"".join([STATUS_LINE[status], *header_lines, b"\r\n", body])
