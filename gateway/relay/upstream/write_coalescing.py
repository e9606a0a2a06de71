"""Write coalescing: collects the writes of one loop iteration and sends them at its end.

A write to a socket whose reader sleeps wakes the reader, which costs more than the write itself
(9 us on a virtual machine); of several writes only the first one wakes it.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary


class Sender(Protocol):
    """Buffers bytes for a socket."""

    def flush(self) -> None:
        """Send the bytes, if the socket is still open. Never raises."""
        ...


class WriteCoalescer:
    """The senders of one loop that have pending bytes."""

    __slots__ = ("_call_soon", "_pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._call_soon = loop.call_soon
        self._pending: list[Sender] = []

    def add(self, sender: Sender) -> None:
        """Schedule a flush of `sender` for the end of the current loop iteration."""
        if not self._pending:
            self._call_soon(self._flush)
        self._pending.append(sender)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        for sender in pending:
            sender.flush()


_coalescers: WeakKeyDictionary[asyncio.AbstractEventLoop, WriteCoalescer] = WeakKeyDictionary()


def coalescer_for(loop: asyncio.AbstractEventLoop) -> WriteCoalescer:
    """The coalescer of the loop."""
    coalescer = _coalescers.get(loop)
    if coalescer is None:
        coalescer = _coalescers[loop] = WriteCoalescer(loop)
    return coalescer
