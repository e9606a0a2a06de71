"""JSON lines: bytes in any split -> lines, and lines -> bytes.

A line ends with LF or CRLF; empty lines are skipped. Leading white space is not part of a
value, so a relay can send a space to keep an idle connection open.
"""

from __future__ import annotations

from gateway.framing.sse import MAX_EVENT_BYTES, Frame, FrameTooLarge

KEEPALIVE = b" "
_BOM = b"\xef\xbb\xbf"
_WHITESPACE = b" \t\r\n"
_ESCAPED_LINE_SEPARATORS = tuple((c.encode(), b"\\u%04x" % ord(c)) for c in "\u0085\u2028\u2029")


def detect_stream(head: bytes) -> bool | None:
    """Whether a body that begins like this has JSON lines; None if that is unknown."""
    line, line_end, _ = head.removeprefix(_BOM).lstrip().partition(b"\n")
    is_object = line.startswith(b"{") and line.rstrip().endswith(b"}")
    return True if is_object and line_end else None


class Decoder:
    """Buffers bytes and returns complete lines, each as a frame without a name.

    `pending` is true while an incomplete line is buffered.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        # Chunks are joined when the line ends: byte-wise input stays linear.
        self._chunks: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether an incomplete line is buffered."""
        return bool(self._chunks)

    def feed(self, data: bytes) -> list[Frame]:
        """Return the lines that `data` completes. Raises FrameTooLarge."""
        first_line_end, terminator, remainder = data.partition(b"\n")
        self._buffer_chunk(first_line_end)
        if not terminator:
            return []
        lines = [b"".join(self._chunks)]
        self._chunks, self._size = [], 0
        *complete_lines, unfinished_line = remainder.split(b"\n")
        if any(len(line) > self._max_bytes for line in complete_lines):
            raise self._too_large()
        self._buffer_chunk(unfinished_line)
        return _decode_lines([*lines, *complete_lines])

    def close(self) -> list[Frame]:
        """Return the line that the end of the stream completes."""
        line = b"".join(self._chunks)
        self._chunks, self._size = [], 0
        return _decode_lines([line])

    def _buffer_chunk(self, data: bytes) -> None:
        if not self._chunks:
            data = data.lstrip(_WHITESPACE)
        if not data:
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> FrameTooLarge:
        return FrameTooLarge(f"a line of more than {self._max_bytes} bytes")


def _decode_lines(lines: list[bytes]) -> list[Frame]:
    stripped_lines = (text.strip(_WHITESPACE).removeprefix(_BOM) for text in lines)
    return [Frame("", line) for line in stripped_lines if line]


def encode(data: bytes) -> bytes:
    """Return one line as bytes; `data` is JSON without line breaks.

    Characters that Python's `splitlines` treats as line breaks are escaped, because the
    ollama SDK uses it. In JSON they can only occur inside a string.
    """
    if not data.isascii():
        for separator, escaped in _ESCAPED_LINE_SEPARATORS:
            data = data.replace(separator, escaped)
    return data + b"\n"
