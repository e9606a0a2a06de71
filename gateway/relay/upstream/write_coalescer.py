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


class WriteCoalescer:
    """The senders of one loop that hold something."""

    __slots__ = ("_call_soon", "_pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon = loop.call_soon
        self._pending: list[Sender] = []

    def add(self, sender: Sender) -> None:
        """Have it flushed when those that run in this turn have run."""
        if not self._pending:
            self._call_soon(self._flush)
        self._pending.append(sender)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        for sender in pending:
            sender.flush()


_coalescers: WeakKeyDictionary[asyncio.AbstractEventLoop, WriteCoalescer] = WeakKeyDictionary()


def coalescer_for(loop: asyncio.AbstractEventLoop) -> WriteCoalescer:
    """The loop's own."""
    coalescer = _coalescers.get(loop)
    if coalescer is None:
        coalescer = _coalescers[loop] = WriteCoalescer(loop)
    return coalescer
