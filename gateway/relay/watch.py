"""Ends a request in time: the client left, a deadline passed, the drain is over.

One timer a request, re-armed only when it fires: a stream's `touch` per chunk
costs a clock reading. `stop` cancels the request's task; whoever catches the
cancellation asks `reason` what it was, and re-raises if there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Literal

Reason = Literal["client_gone", "body", "first_byte", "idle", "total", "drain"]
# A client that leaves is noticed this late at worst; answers that are faster never
# pay for the task that listens (20 us).
LISTEN_AFTER_S = 0.02
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Watch:
    """The deadlines of one request. `close` it in any case."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = task.get_loop()
        self.reason: Reason | None = None
        self._limit_s = 0.0
        self._due = 0.0
        self._due_reason: Reason = "first_byte"
        self._total_due = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._gone: asyncio.Task[None] | None = None
        self._start: asyncio.TimerHandle | None = None

    def listen(self, receive: Receive) -> None:
        """From now on notice when the client leaves; the body must have been read."""
        self._start = self._loop.call_later(LISTEN_AFTER_S, self._begin_listening, receive)

    def _begin_listening(self, receive: Receive) -> None:
        if not self._closed:
            self._gone = self._loop.create_task(self._listen(receive))

    def expect(self, seconds: float, reason: Reason) -> None:
        """Allow `seconds` until the next `touch` or `expect`."""
        now = self._loop.time()
        self._limit_s = seconds
        self._due = now + seconds
        self._due_reason = reason
        if self._timer is None or self._timer.when() > self._due:
            self._arm(min(self._due, self._total_due))

    def limit(self, seconds: float) -> None:
        """Allow `seconds` from now for the whole attempt."""
        self._total_due = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._total_due:
            self._arm(self._total_due)

    def touch(self) -> None:
        """Something came: the present allowance starts again."""
        self._due = self._loop.time() + self._limit_s

    def hold(self) -> None:
        """The wait is the client's, not the upstream's: only the total limit runs."""
        self._due = float("inf")

    def stop(self, reason: Reason) -> None:
        """End the request now, for this reason. The first reason stays."""
        if self.reason is None and not self._closed:
            self.reason = reason
            self._task.cancel()

    def absorb(self) -> Reason | None:
        """After a CancelledError: the reason if it was ours (and undo it), else None."""
        if self.reason is not None:
            self._task.uncancel()
        return self.reason

    def clear(self) -> None:
        """Forget a deadline's stop, so that another target can be tried."""
        self.reason = None
        self._total_due = float("inf")
        self._due = float("inf")

    def close(self) -> None:
        """Free the timer and the listener."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._start is not None:
            self._start.cancel()
        if self._gone is not None and not self._gone.done():
            self._gone.cancel()

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._closed:
            return
        now = self._loop.time()
        if now >= self._total_due:
            self.stop("total")
        elif now >= self._due:
            self.stop(self._due_reason)
        else:
            due = min(self._due, self._total_due)
            if due < float("inf"):
                self._arm(due)
            else:  # held: look again when the present allowance could have passed
                self._arm(now + max(self._limit_s, 1.0))

    async def _listen(self, receive: Receive) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while (await receive())["type"] != "http.disconnect":
                pass
            self.stop("client_gone")
