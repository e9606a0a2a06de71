"""Server-sent events: bytes in any split -> frames, and frames -> bytes.

Rules (WHATWG HTML, section 9.2): lines end with LF, CR or CRLF; an empty line
ends an event; several `data:` lines join with LF; a line that begins with a
colon is a comment; an event without data is dropped.
"""

from __future__ import annotations

import msgspec

MAX_EVENT_BYTES = 8 * 1024 * 1024
# Lines of one event: each takes 0.3 us, also those that are ignored.
MAX_EVENT_LINES = 100_000
# Braces and brackets in a large event: each may become an object of hundreds of bytes.
MAX_EVENT_CONTAINERS = 300_000
_BOM = b"\xef\xbb\xbf"


class Frame(msgspec.Struct, frozen=True):
    """One event: its name (empty if it has none) and its data."""

    event: str
    data: bytes


class FrameTooLarge(ValueError):
    """An event has more bytes, lines, or objects and lists than the limit."""


_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


def detect_stream(head: bytes) -> bool | None:
    """Whether a body that begins like this is an event stream; None if that is unknown."""
    head = head.removeprefix(_BOM).lstrip()
    if head.startswith(_FIELDS):
        return True
    return False if head.startswith((b"{", b"[", b"<")) else None


class Decoder:
    """Buffers bytes and returns complete events.

    `pending` is true while an incomplete event is buffered. Between events, a relay
    may insert its own comment into a stream that it passes through.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        # Chunks are joined when the event ends: byte-wise input stays linear.
        self._chunks: list[bytes] = []
        self._size = self._line_ends = self._containers = 0
        self._after_cr = False
        # The received prefix of a byte order mark; None after the first bytes.
        self._bom_prefix: bytes | None = b""

    @property
    def pending(self) -> bool:
        """Whether an incomplete event is buffered."""
        return bool(self._chunks)

    def feed(self, data: bytes) -> list[Frame]:
        """Return the events that `data` completes. Raises FrameTooLarge."""
        if not self._chunks and data.endswith(b"\n\n") and self._is_normalized(data):
            # Fast path: complete events and an empty buffer.
            return [
                frame for it in data[:-2].split(b"\n\n") if (frame := _parse_frame(it)) is not None
            ]
        data = self._normalize_line_ends(data)
        if not data:
            return []
        if not self._completes_event(data):
            self._buffer_chunk(data)
            return []
        if self._chunks:
            data = b"".join([*self._chunks, data])
        *blocks, remainder = data.split(b"\n\n")
        if len(data) > self._max_bytes and any(len(block) > self._max_bytes for block in blocks):
            raise self._too_large()
        self._clear()
        if remainder:
            self._buffer_chunk(remainder)
        return [frame for block in blocks if (frame := _parse_frame(block)) is not None]

    def close(self) -> list[Frame]:
        """Return the event that the end of the stream completes, if it has data.

        The standard drops an incomplete event, but some providers end a stream
        without the last empty line.
        """
        block = b"".join(self._chunks)
        self._clear()
        frame = _parse_frame(block)
        return [frame] if frame is not None else []

    def _is_normalized(self, data: bytes) -> bool:
        """Whether `data` is within the limit and needs no line end or BOM handling."""
        is_mid_stream = self._bom_prefix is None and not self._after_cr
        return is_mid_stream and len(data) <= self._max_bytes and data.find(b"\r") < 0

    def _completes_event(self, data: bytes) -> bool:
        """Whether `data` contains or begins with the end of an event."""
        if data.find(b"\n\n") >= 0:
            return True
        return data.startswith(b"\n") and bool(self._chunks) and self._chunks[-1].endswith(b"\n")

    def _buffer_chunk(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        self._line_ends += data.count(b"\n")
        self._containers += data.count(b"{") + data.count(b"[")
        if self._size > self._max_bytes + 1:  # the line end may be half of the empty line
            self._clear()
            raise self._too_large()
        if self._line_ends > MAX_EVENT_LINES:
            self._clear()
            raise _too_many_lines()
        if self._containers > MAX_EVENT_CONTAINERS:
            self._clear()
            raise FrameTooLarge(f"an event of more than {MAX_EVENT_CONTAINERS} objects and lists")

    def _clear(self) -> None:
        self._chunks = []
        self._size = self._line_ends = self._containers = 0

    def _too_large(self) -> FrameTooLarge:
        return FrameTooLarge(f"an event of more than {self._max_bytes} bytes")

    def _normalize_line_ends(self, data: bytes) -> bytes:
        """Return the bytes with LF line ends only and without a byte order mark."""
        if self._bom_prefix is not None:
            data = self._strip_bom(self._bom_prefix + data)
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if data.find(b"\r") >= 0:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _strip_bom(self, start: bytes) -> bytes:
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._bom_prefix = start
            return b""
        self._bom_prefix = None
        return start.removeprefix(_BOM)


def _parse_frame(block: bytes) -> Frame | None:
    if not block:
        return None
    # `find` is faster than `in`, which first tries to read bytes as an integer.
    if block.startswith(b"data: ") and block.find(b"\n") < 0:
        return Frame("", block[6:])
    if block.startswith(b"event: ") and block.count(b"\n") == 1:
        name, _, data = block.partition(b"\ndata: ")
        if data:
            return Frame(name[7:].decode("utf-8", "replace"), data)
    if len(block) > MAX_EVENT_LINES and block.count(b"\n") >= MAX_EVENT_LINES:
        raise _too_many_lines()
    event = ""
    values: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            values.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return Frame(event, b"\n".join(values)) if values else None


def _too_many_lines() -> FrameTooLarge:
    return FrameTooLarge(f"an event of more than {MAX_EVENT_LINES} lines")


def encode(data: bytes, event: bytes = b"") -> bytes:
    """Return one event as bytes; `data` must not contain a line break (JSON does not)."""
    if event:
        return b"event: " + event + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
