"""Deadlines of a request: cancels its task on a timeout, a client disconnect or a drain.

One ticker per process checks all open requests: a timer and its cancellation cost 3 us, and
a request would need four. `stop` cancels the request's task; code that catches the
cancellation calls `take_reason`, and re-raises if it returns None.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

from gateway.canon.errors import Error

StopReason = Literal["client_gone", "body", "first_byte", "idle", "total", "drain"]
TICK_S = 0.02
# A disconnect is noticed after at most this time and a tick; faster responses avoid the cost
# of the listening task (20 us).
LISTEN_AFTER_S = 0.02
Receive = Callable[[], Awaitable[dict[str, Any]]]
_NEVER = float("inf")


class DeadlineTicker:
    """Checks the deadlines of all open requests of a process, while there are any."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: set[Deadlines] = set()
        self._ticking = False

    def __iter__(self) -> Iterator[Deadlines]:
        return iter(list(self._open))

    def open(self) -> Deadlines:
        """Deadlines for the current task. The caller must `close` them."""
        deadlines = Deadlines(self._loop, self._open)
        self._open.add(deadlines)
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK_S, self._tick)
        return deadlines

    def _tick(self) -> None:
        now = self._loop.time()
        for deadlines in self:
            if deadlines.next_check_at <= now:
                deadlines.check(now)
        self._ticking = bool(self._open)
        if self._ticking:
            self._loop.call_later(TICK_S, self._tick)


class Deadlines:
    """The deadlines of one request. Each fires at most a tick late."""

    __slots__ = (
        "_disconnect_task",
        "_due",
        "_due_reason",
        "_limit_s",
        "_listen_at",
        "_loop",
        "_open",
        "_receive",
        "_remaining_s",
        "_task",
        "_total_due",
        "next_check_at",
        "reason",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, open_: set[Deadlines]) -> None:
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._loop = loop
        self._open = open_
        self.reason: StopReason | None = None
        self.next_check_at = _NEVER
        self._limit_s = self._remaining_s = 0.0
        self._due = self._total_due = self._listen_at = _NEVER
        self._due_reason: StopReason = "first_byte"
        self._receive: Receive | None = None
        self._disconnect_task: asyncio.Task[None] | None = None

    def listen_for_disconnect(self, receive: Receive) -> None:
        """Stops the request if the client disconnects. The body must have been read."""
        self._receive = receive
        self._listen_at = self._loop.time() + LISTEN_AFTER_S
        if self._listen_at < self.next_check_at:
            self.next_check_at = self._listen_at

    def set_timeout(self, seconds: float, reason: StopReason) -> None:
        """Allows `seconds` until the next `reset` or `set_timeout`."""
        self._limit_s = seconds
        self._due = self._loop.time() + seconds
        self._due_reason = reason
        if self._due < self.next_check_at:
            self.next_check_at = self._due

    def set_total_timeout(self, seconds: float) -> None:
        """Allows `seconds` from now for the whole attempt."""
        self._total_due = self._loop.time() + seconds
        if self._total_due < self.next_check_at:
            self.next_check_at = self._total_due

    def reset(self) -> None:
        """Restarts the current timeout, because data has arrived."""
        # `next_check_at` may now be too early: that check finds no deadline.
        self._due = self._loop.time() + self._limit_s

    def pause(self, *, reset: bool = False) -> None:
        """Suspends the current timeout while waiting for the client; the total timeout still runs.

        `reset`: data has arrived, so that the timeout restarts on `resume`.
        """
        self._remaining_s = self._limit_s if reset else self._due - self._loop.time()
        self._due = _NEVER

    def resume(self) -> None:
        """Resumes the current timeout with the time that remained at `pause`."""
        self._due = due = self._loop.time() + self._remaining_s
        if due < self.next_check_at:  # a check meanwhile has found no deadline
            self.next_check_at = due

    def stop(self, reason: StopReason) -> None:
        """Cancels the request for this reason. The first reason wins."""
        if self.reason is None and self in self._open:
            self.reason = reason
            self._task.cancel()

    def take_reason(self) -> StopReason | None:
        """After a CancelledError: the reason if `stop` caused it (and undoes it), else None."""
        if self.reason is not None:
            self._task.uncancel()
        return self.reason

    def clear(self) -> None:
        """Drops the timeouts and the reason, so that another target can be tried."""
        self.reason = None
        self._due = self._total_due = _NEVER

    def close(self) -> None:
        """Ends the checks."""
        self._open.discard(self)
        if self._disconnect_task is not None and not self._disconnect_task.done():
            self._disconnect_task.cancel()

    def check(self, now: float) -> None:
        """Acts on deadlines that have passed, and sets `next_check_at`."""
        if now >= self._total_due:
            self.stop("total")
        elif now >= self._due:
            self.stop(self._due_reason)
        if now >= self._listen_at and self._receive is not None:
            self._listen_at = _NEVER
            self._disconnect_task = self._loop.create_task(self._listen(self._receive))
        # A stopped request is not stopped again; `set_timeout` sets the next check.
        next_due = _NEVER if self.reason else min(self._due, self._total_due)
        self.next_check_at = min(next_due, self._listen_at)

    async def _listen(self, receive: Receive) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while (await receive())["type"] != "http.disconnect":
                pass
            self.stop("client_gone")


_STOP_MESSAGES = {
    "body": "the request body did not arrive in time",
    "first_byte": "the upstream did not begin to answer in time",
    "idle": "the upstream went silent in the middle of its answer",
    "total": "the upstream did not finish its answer in time",
    "drain": "the gateway is shutting down",
}


def stop_error(reason: str | None) -> Error:
    """The error for a request that was stopped for `reason`."""
    kind = {"drain": "overloaded", "body": "invalid_request"}.get(reason or "", "timeout")
    return Error(kind=kind, message=_STOP_MESSAGES.get(reason or "", "the request was ended"))
