"""The events of one run: numbered, kept, followed while they come, packed for the database."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

Json = dict[str, Any]

# What a packed stream may unpack to, whatever it says of itself.
UNPACK_BYTES = 256 * 1024 * 1024
# So much of a stream is kept; what comes later is shown but can not be read again.
KEEP_BYTES = 32 * 1024 * 1024


class Log:
    """A run's events. Their ids count from 1, so that `after` is a place in the list."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.size = 0
        self.closed = False
        self._news = asyncio.Event()

    def add(self, kind: str, data: Json) -> None:
        """One more event, for all who follow."""
        frame = encoded(len(self.frames) + 1, kind, data)
        self.frames.append(frame)
        self.size += len(frame)
        self._wake()

    def close(self) -> None:
        """No event comes after this."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self, after: int = 0) -> AsyncIterator[bytes]:
        """The events after one, as they come, joined where several are ready."""
        place = max(after, 0)
        while True:
            news = self._news
            if place < len(self.frames):
                ready = self.frames[place:]
                place += len(ready)
                yield b"".join(ready)
            elif self.closed:
                return
            else:
                await news.wait()


def encoded(number: int, kind: str, data: Json) -> bytes:
    """An event on the wire; JSON has no raw line breaks, so it is one `data` line."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), msgspec.json.encode(data))


def packed(frames: list[bytes]) -> bytes:
    """The stream as one blob; cut at a whole event where it is larger than is kept."""
    size, kept = 0, len(frames)
    for place, frame in enumerate(frames):
        size += len(frame)
        if size > KEEP_BYTES:
            kept = place
            break
    return zlib.compress(b"".join(frames[:kept]), 3)


def unpacked(blob: bytes) -> list[bytes]:
    """The events of a blob. Raises ValueError for a damaged one."""
    if not blob:
        return []
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(blob, UNPACK_BYTES)
    except zlib.error as error:
        raise ValueError(f"the stored run can not be read: {error}") from None
    if not inflater.eof:
        raise ValueError("the stored run is cut short")
    return [part + b"\n\n" for part in plain.split(b"\n\n") if part]


def decoded(frames: list[bytes]) -> Iterator[tuple[str, Json]]:
    """Name and data of each event."""
    for frame in frames:
        _, name, data = frame.rstrip(b"\n").split(b"\n", 2)
        yield name.removeprefix(b"event: ").decode(), msgspec.json.decode(data[6:])
