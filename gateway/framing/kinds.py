"""The ways to cut a stream into frames, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.framing import eventstream, ndjson, sse
from gateway.framing.sse import Frame


class FrameDecoder(Protocol):
    """Collects bytes and gives whole frames."""

    @property
    def pending(self) -> bool:
        """Whether a frame has begun and not ended."""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises FrameTooLarge."""

    def close(self) -> list[Frame]:
        """The frames that the end of the bytes completes."""


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """One way to cut a stream.

    Attributes:
        kind: the content type under which it is served.
        mark: the part of a content type by which an upstream's stream is known.
        ends: the bytes after which a frame is over.
        decoder: makes what cuts it.
    """

    kind: bytes
    mark: str
    ends: tuple[bytes, ...]
    decoder: Callable[[], FrameDecoder]


CUTS: dict[str, Cut] = {
    "sse": Cut(
        kind=b"text/event-stream; charset=utf-8",
        mark="event-stream",
        ends=(b"\n\n", b"\r\n\r\n", b"\r\r"),
        decoder=sse.Decoder,
    ),
    "ndjson": Cut(
        kind=b"application/x-ndjson",
        mark="ndjson",
        ends=(b"\n",),
        decoder=ndjson.Decoder,
    ),
    "eventstream": Cut(
        kind=b"application/vnd.amazon.eventstream",
        mark="amazon.eventstream",
        ends=(),
        decoder=eventstream.Decoder,
    ),
}
