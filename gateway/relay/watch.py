"""Ends a request in time: the client left, a deadline passed, the drain is over.

No timer of its own: one ticker looks at all watches (a timer and its cancelling cost 3 us,
and a request has four of them). `stop` cancels the request's task; whoever catches the
cancellation asks `reason` what it was, and re-raises if there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

Reason = Literal["client_gone", "body", "first_byte", "idle", "total", "drain"]
TICK_S = 0.02
# A client that leaves is noticed this late at worst, and a tick; answers that are faster
# never pay for the task that listens (20 us).
LISTEN_AFTER_S = 0.02
Receive = Callable[[], Awaitable[dict[str, Any]]]
_NEVER = float("inf")


class Watches:
    """All open watches of a process, and the ticker while there are any."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: set[Watch] = set()
        self._ticking = False

    def __iter__(self) -> Iterator[Watch]:
        return iter(list(self._open))

    def open(self) -> Watch:
        """A watch on the current task. `close` it in any case."""
        watch = Watch(self._loop, self._open)
        self._open.add(watch)
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK_S, self._tick)
        return watch

    def _tick(self) -> None:
        now = self._loop.time()
        for watch in self:
            if watch.next_at <= now:
                watch.look(now)
        self._ticking = bool(self._open)
        if self._ticking:
            self._loop.call_later(TICK_S, self._tick)


class Watch:
    """The deadlines of one request. All are at most a tick late."""

    __slots__ = (
        "_due",
        "_due_reason",
        "_gone",
        "_left_s",
        "_limit_s",
        "_listen_at",
        "_loop",
        "_open",
        "_receive",
        "_task",
        "_total_due",
        "next_at",
        "reason",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, open_: set[Watch]) -> None:
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._loop = loop
        self._open = open_
        self.reason: Reason | None = None
        self.next_at = _NEVER
        self._limit_s = self._left_s = 0.0
        self._due = self._total_due = self._listen_at = _NEVER
        self._due_reason: Reason = "first_byte"
        self._receive: Receive | None = None
        self._gone: asyncio.Task[None] | None = None

    def listen(self, receive: Receive) -> None:
        """From now on notice when the client leaves; the body must have been read."""
        self._receive = receive
        self._listen_at = self._loop.time() + LISTEN_AFTER_S
        self._sooner(self._listen_at)

    def expect(self, seconds: float, reason: Reason) -> None:
        """Allow `seconds` until the next `touch` or `expect`."""
        self._limit_s = seconds
        self._due = self._loop.time() + seconds
        self._due_reason = reason
        self._sooner(self._due)

    def limit(self, seconds: float) -> None:
        """Allow `seconds` from now for the whole attempt."""
        self._total_due = self._loop.time() + seconds
        self._sooner(self._total_due)

    def touch(self) -> None:
        """Something came: the present allowance starts again."""
        # `next_at` may stay behind: an early look finds that nothing is due.
        self._due = self._loop.time() + self._limit_s

    def hold(self, *, touched: bool = False) -> None:
        """The wait is the client's, not the upstream's: only the total limit runs.

        `touched`: something has come, and the allowance starts again after it.
        """
        self._left_s = self._limit_s if touched else self._due - self._loop.time()
        self._due = _NEVER

    def resume(self) -> None:
        """The wait is the upstream's again, and as long as it was before `hold`."""
        self._due = due = self._loop.time() + self._left_s
        if due < self.next_at:  # a look meanwhile has found nothing to wait for
            self.next_at = due

    def stop(self, reason: Reason) -> None:
        """End the request now, for this reason. The first reason stays."""
        if self.reason is None and self in self._open:
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
        self._due = self._total_due = _NEVER

    def close(self) -> None:
        """End nothing from here on."""
        self._open.discard(self)
        if self._gone is not None and not self._gone.done():
            self._gone.cancel()

    def look(self, now: float) -> None:
        """Do what is due, and say when to look again."""
        if now >= self._total_due:
            self.stop("total")
        elif now >= self._due:
            self.stop(self._due_reason)
        if now >= self._listen_at and self._receive is not None:
            self._listen_at = _NEVER
            self._gone = self._loop.create_task(self._listen(self._receive))
        # What has been stopped is not stopped again; `expect` sets the next look.
        deadlines = _NEVER if self.reason else min(self._due, self._total_due)
        self.next_at = min(deadlines, self._listen_at)

    def _sooner(self, when: float) -> None:
        if when < self.next_at:
            self.next_at = when

    async def _listen(self, receive: Receive) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while (await receive())["type"] != "http.disconnect":
                pass
            self.stop("client_gone")
