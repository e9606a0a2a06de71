"""Event stream of one run: numbered events, live followers, compression for the database."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

Json = dict[str, Any]

# Limit for the decompressed size of a stored stream.
MAX_DECOMPRESSED_BYTES = 256 * 1024 * 1024
# Limit for the stored part of a stream; later events are sent but not stored.
MAX_STORED_BYTES = 32 * 1024 * 1024


class EventLog:
    """Events of a run. Ids count from 1, so the id of an event is also its index in the list."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.size = 0
        self.closed = False
        self._append_event = asyncio.Event()

    def add(self, kind: str, data: Json) -> None:
        """Append an event and wake all followers."""
        frame = encode_event(len(self.frames) + 1, kind, data)
        self.frames.append(frame)
        self.size += len(frame)
        self._notify_followers()

    def close(self) -> None:
        """Mark the log as complete."""
        self.closed = True
        self._notify_followers()

    def _notify_followers(self) -> None:
        append_event, self._append_event = self._append_event, asyncio.Event()
        append_event.set()

    async def follow(self, after: int = 0) -> AsyncIterator[bytes]:
        """Yield events after an id as they arrive; available events are joined."""
        position = max(after, 0)
        while True:
            append_event = self._append_event
            if position < len(self.frames):
                ready = self.frames[position:]
                position += len(ready)
                yield b"".join(ready)
            elif self.closed:
                return
            else:
                await append_event.wait()


def encode_event(number: int, kind: str, data: Json) -> bytes:
    """Encode an SSE event; JSON has no raw line breaks, so one `data` line is enough."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), msgspec.json.encode(data))


def compress_frames(frames: list[bytes]) -> bytes:
    """Compress frames to one blob; drops complete events above MAX_STORED_BYTES."""
    size, frame_count = 0, len(frames)
    for index, frame in enumerate(frames):
        size += len(frame)
        if size > MAX_STORED_BYTES:
            frame_count = index
            break
    return zlib.compress(b"".join(frames[:frame_count]), 3)


def decompress_frames(blob: bytes) -> list[bytes]:
    """Frames of a compressed blob. Raises ValueError if it is damaged."""
    if not blob:
        return []
    inflater = zlib.decompressobj()
    try:
        stream = inflater.decompress(blob, MAX_DECOMPRESSED_BYTES)
    except zlib.error as error:
        raise ValueError(f"the stored run cannot be read: {error}") from None
    if not inflater.eof:
        raise ValueError("the stored run is incomplete")
    return [frame + b"\n\n" for frame in stream.split(b"\n\n") if frame]


def decode_events(frames: list[bytes]) -> Iterator[tuple[str, Json]]:
    """Yield name and data of each event."""
    for frame in frames:
        _, name, data = frame.rstrip(b"\n").split(b"\n", 2)
        yield name.removeprefix(b"event: ").decode(), msgspec.json.decode(data[6:])
