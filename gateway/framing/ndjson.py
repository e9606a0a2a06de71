"""JSON lines: bytes in any split -> lines, and lines -> bytes.

A line ends with LF, or CR and LF; an empty one says nothing. Blanks before a line are
part of no value, so that a relay may keep a quiet connection open with one of them.
"""

from __future__ import annotations

from gateway.framing.sse import MAX_EVENT_BYTES, Frame, FrameTooLarge

BLANK = b" "
_BLANKS = b" \t\r\n"


class Decoder:
    """Collects bytes and gives whole lines, each as a frame without a name.

    `pending` tells whether bytes of an unfinished line are held.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        # In pieces, joined when the line ends: byte-wise input stays linear.
        self._held: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Frame]:
        """The lines that `data` completes. Raises FrameTooLarge."""
        first, end, rest = data.partition(b"\n")
        self._hold(first)
        if not end:
            return []
        lines = [b"".join(self._held)]
        self._held, self._size = [], 0
        *more, last = rest.split(b"\n")
        if any(len(line) > self._max for line in more):
            raise self._too_large()
        self._hold(last)
        return _frames([*lines, *more])

    def close(self) -> list[Frame]:
        """The line that the end of the bytes completes."""
        line = b"".join(self._held)
        self._held, self._size = [], 0
        return _frames([line])

    def _hold(self, data: bytes) -> None:
        if not self._held:
            data = data.lstrip(_BLANKS)
        if not data:
            return
        self._held.append(data)
        self._size += len(data)
        if self._size > self._max:
            raise self._too_large()

    def _too_large(self) -> FrameTooLarge:
        return FrameTooLarge(f"a line of more than {self._max} bytes")


def _frames(lines: list[bytes]) -> list[Frame]:
    return [Frame("", line) for text in lines if (line := text.strip(_BLANKS))]


def encode(data: bytes) -> bytes:
    """One line as bytes; `data` must hold no line break (JSON does not)."""
    return data + b"\n"
