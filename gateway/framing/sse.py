"""Server-sent events: bytes in any split -> frames, and frames -> bytes.

Rules (WHATWG HTML, section 9.2): lines end with LF, CR or CRLF; an empty line
ends an event; several `data:` lines join with LF; a line that begins with a
colon is a comment; an event without data is dropped.
"""

from __future__ import annotations

import msgspec

MAX_EVENT_BYTES = 8 * 1024 * 1024
_MARK = b"\xef\xbb\xbf"


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
        # In pieces, joined when the event ends: byte-wise input stays linear.
        self._held: list[bytes] = []
        self._size = 0
        self._after_cr = False
        # What has come of a byte order mark; None once the first bytes are known.
        self._mark: bytes | None = b""

    @property
    def pending(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Frame]:
        """The events that `data` completes. Raises FrameTooLarge."""
        if not self._held and data.endswith(b"\n\n") and self._plain(data):
            # The usual case: whole events, with nothing before them.
            return [frame for it in data[:-2].split(b"\n\n") if (frame := _frame(it)) is not None]
        data = self._normalise(data)
        if not data:
            return []
        if not self._ends(data):
            self._hold(data)
            return []
        if self._held:
            data = b"".join([*self._held, data])
        *blocks, rest = data.split(b"\n\n")
        if len(data) > self._max and any(len(block) > self._max for block in blocks):
            raise self._too_large()
        self._held, self._size = [], 0
        if rest:
            self._hold(rest)
        return [frame for block in blocks if (frame := _frame(block)) is not None]

    def close(self) -> list[Frame]:
        """The event that the end of the bytes completes, if it has data.

        The standard drops an unfinished event; providers do end streams without
        the last empty line, and its data is whole when it parses.
        """
        block = b"".join(self._held)
        self._held, self._size = [], 0
        frame = _frame(block)
        return [frame] if frame is not None else []

    def _plain(self, data: bytes) -> bool:
        """Whether its line ends are LF, with no mark before it, and it is not too large."""
        ordinary = self._mark is None and not self._after_cr
        return ordinary and len(data) <= self._max and data.find(b"\r") < 0

    def _ends(self, data: bytes) -> bool:
        """Whether an event ends in `data`, or with its first byte."""
        if data.find(b"\n\n") >= 0:
            return True
        return data.startswith(b"\n") and bool(self._held) and self._held[-1].endswith(b"\n")

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size > self._max + 1:  # the line end that may begin the empty line
            raise self._too_large()

    def _too_large(self) -> FrameTooLarge:
        return FrameTooLarge(f"an event of more than {self._max} bytes")

    def _normalise(self, data: bytes) -> bytes:
        """The bytes with LF as the only line end, and without a byte order mark."""
        if self._mark is not None:
            data = self._unmarked(self._mark + data)
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if data.find(b"\r") >= 0:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _unmarked(self, start: bytes) -> bytes:
        if len(start) < len(_MARK) and _MARK.startswith(start):
            self._mark = start
            return b""
        self._mark = None
        return start.removeprefix(_MARK)


def _frame(block: bytes) -> Frame | None:
    # `find`, as `in` tries bytes as a number first, with an exception each.
    if block.startswith(b"data: ") and block.find(b"\n") < 0:
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
