"""Server-sent events: bytes in any split -> frames, and frames -> bytes.

Rules (WHATWG HTML, section 9.2): lines end with LF, CR or CRLF; an empty line
ends an event; several `data:` lines join with LF; a line that begins with a
colon is a comment; an event without data is dropped.
"""

from __future__ import annotations

import msgspec

MAX_EVENT_BYTES = 8 * 1024 * 1024


class Frame(msgspec.Struct, frozen=True):
    """One event: its name (empty if unnamed) and its data."""

    event: str
    data: bytes


class FrameTooLarge(ValueError):
    """An event passed MAX_EVENT_BYTES without an end."""


class Decoder:
    """Collects bytes and gives whole events.

    `pending` tells whether bytes of an unfinished event are held: between events
    a relay may put a comment of its own into a stream that it passes through.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._held = b""
        self._after_cr = False
        self._first = True

    @property
    def pending(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Frame]:
        """The events that `data` completes. Raises FrameTooLarge."""
        data = self._normalise(data)
        held = self._held + data if self._held else data
        # An event can only end in what is new: this keeps byte-wise input linear.
        start = max(0, len(self._held) - 1)
        if held.find(b"\n\n", start) < 0:
            self._held = held
            if len(held) > self._max:
                raise FrameTooLarge(f"an event of more than {self._max} bytes")
            return []
        *blocks, self._held = held.split(b"\n\n")
        return [frame for block in blocks if (frame := _frame(block)) is not None]

    def close(self) -> list[Frame]:
        """The event that the end of the bytes completes, if it has data.

        The standard drops an unfinished event; providers do end streams without
        the last empty line, and its data is whole when it parses.
        """
        block, self._held = self._held, b""
        frame = _frame(block)
        return [frame] if frame is not None else []

    def _normalise(self, data: bytes) -> bytes:
        if self._first and data:
            self._first = False
            data = data.removeprefix(b"\xef\xbb\xbf")
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


def _frame(block: bytes) -> Frame | None:
    if block.startswith(b"data: ") and b"\n" not in block:
        return Frame("", block[6:])
    event = ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return Frame(event, b"\n".join(data)) if data else None


def encode(data: bytes, event: bytes = b"") -> bytes:
    """One event as bytes; `data` must hold no line break (JSON does not)."""
    if event:
        return b"event: " + event + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
