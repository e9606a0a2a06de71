"""AWS event streams: bytes in any split -> frames, checked by both of their checksums.

A message is: its length, the length of its headers, the CRC-32 of these eight bytes,
headers, payload, and the CRC-32 of all before. What kind of event it is stands in the
headers `:event-type`, or `:exception-type` for a failure, which both become a frame's
name; a failure's name ends in `Exception`. One of the service itself has its code and
its words in headers, and no payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

from gateway.framing.sse import MAX_EVENT_BYTES, Frame, FrameTooLarge

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LEAST = _PRELUDE.size + _CRC.size
_STRING, _BYTES = 7, 6
# The kinds of header values whose size does not stand before them.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_MOST_HEADERS = 128 * 1024


class Corrupt(FrameTooLarge):
    """The bytes are no event stream, or were changed on their way."""


class Decoder:
    """Collects bytes and gives whole messages.

    `pending` tells whether bytes of an unfinished message are held.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        # In pieces, joined when the message ends: byte-wise input stays linear.
        self._held: list[bytes] = []
        self._size = 0
        # How long the message is that has begun; 0 until its prelude is known.
        self._wanted = 0

    @property
    def pending(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that `data` completes. Raises Corrupt or FrameTooLarge."""
        if not data:
            return []
        self._held.append(data)
        self._size += len(data)
        if self._size < (self._wanted or _PRELUDE.size):
            return []
        held = b"".join(self._held)
        frames: list[Frame] = []
        at = 0
        while (left := len(held) - at) >= _PRELUDE.size:
            self._wanted = self._length(held, at)
            if left < self._wanted:
                break
            frames.append(_frame(held[at : at + self._wanted]))
            at += self._wanted
            self._wanted = 0
        rest = held[at:]
        self._held, self._size = ([rest] if rest else []), len(rest)
        return frames

    def close(self) -> list[Frame]:
        """Nothing: a message that is not whole can not be trusted."""
        self._held, self._size, self._wanted = [], 0, 0
        return []

    def _length(self, held: bytes, at: int) -> int:
        """The length of the message at a place, once its prelude has proved right."""
        total, headers, crc = _PRELUDE.unpack_from(held, at)
        if zlib.crc32(held[at : at + 8]) != crc:
            raise Corrupt("the checksum of a message's prelude is wrong")
        if total > self._max:
            raise FrameTooLarge(f"a message of more than {self._max} bytes")
        if headers > min(_MOST_HEADERS, total - _LEAST) or total < _LEAST:
            raise Corrupt("the lengths in a message's prelude do not fit")
        return int(total)


def _frame(message: bytes) -> Frame:
    end = len(message) - _CRC.size
    if zlib.crc32(message[:end]) != _CRC.unpack_from(message, end)[0]:
        raise Corrupt("the checksum of a message is wrong")
    _, length, _ = _PRELUDE.unpack_from(message)
    start = _PRELUDE.size + length
    headers = dict(_headers(message[_PRELUDE.size : start]))
    kind, payload = headers.get(":message-type", "event"), message[start:end]
    if kind == "exception":
        return Frame(headers.get(":exception-type", "") or "exception", payload)
    if kind == "error":
        told = msgspec.json.encode({"message": headers.get(":error-message", "")})
        name = headers.get(":error-code", "").removesuffix("Exception")
        return Frame(f"{name}Exception", payload or told)
    return Frame(headers.get(":event-type", ""), payload)


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """The headers whose value is a string; others say nothing that is asked here."""
    at = 0
    try:
        while at < len(data):
            size = data[at]
            name = data[at + 1 : at + 1 + size].decode("utf-8", "replace")
            at += 1 + size
            kind = data[at]
            at += 1
            if kind in {_STRING, _BYTES}:
                (length,) = struct.unpack_from(">H", data, at)
                at += 2
                if at + length > len(data):
                    raise Corrupt("a header of a message is cut off")
                if kind == _STRING:
                    yield name, data[at : at + length].decode("utf-8", "replace")
                at += length
            else:
                at += _SIZES[kind]
        if at > len(data):
            raise Corrupt("a header of a message is cut off")
    except (IndexError, KeyError, struct.error):
        raise Corrupt("the headers of a message can not be read") from None


def encode(data: bytes, event: str, *, exception: bool = False) -> bytes:
    """One message as bytes."""
    kind = "exception" if exception else "event"
    told = {
        f":{kind}-type": event,
        ":content-type": "application/json",
        ":message-type": kind,
    }
    headers = b"".join(_header(name, value) for name, value in told.items())
    lengths = struct.pack(">II", _LEAST + len(headers) + len(data), len(headers))
    message = lengths + _CRC.pack(zlib.crc32(lengths)) + headers + data
    return message + _CRC.pack(zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    told, encoded = value.encode(), name.encode()
    size = struct.pack(">BH", _STRING, len(told))
    return bytes([len(encoded)]) + encoded + size + told
