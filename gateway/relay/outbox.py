"""Holds what is written in one turn of the event loop, and sends it at its end.

A write to a socket whose reader sleeps wakes it, which costs more than the write (9 us on a
virtual machine); of many writes one after the other, only the first does.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary


class Sender(Protocol):
    """What holds bytes back for a socket."""

    def flush(self) -> None:
        """Send them, if the socket is still open. Never raises."""
        ...


class Outbox:
    """The senders of one loop that hold something."""

    __slots__ = ("_call_soon", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon = loop.call_soon
        self._waiting: list[Sender] = []

    def add(self, sender: Sender) -> None:
        """Have it flushed when those that run in this turn have run."""
        if not self._waiting:
            self._call_soon(self._flush)
        self._waiting.append(sender)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for sender in waiting:
            sender.flush()


_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


def outbox_of(loop: asyncio.AbstractEventLoop) -> Outbox:
    """The loop's own."""
    found = _outboxes.get(loop)
    if found is None:
        found = _outboxes[loop] = Outbox(loop)
    return found
