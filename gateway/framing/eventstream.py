"""AWS event streams: bytes in any split -> frames, with both checksums verified.

A message is: its length, the length of its headers, the CRC-32 of these eight bytes,
headers, payload, and the CRC-32 of everything before. The header `:event-type`, or
`:exception-type` for a failure, becomes the frame's name; the name of a failure ends in
`Exception`. An error of the service itself has its code and message in headers, and no
payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

from gateway.framing.sse import MAX_EVENT_BYTES, Frame, FrameTooLarge

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_MIN_MESSAGE_BYTES = _PRELUDE.size + _CRC.size
_STRING_TYPE, _BYTES_TYPE = 7, 6
# Header value type -> size, for the types without a length prefix.
_FIXED_VALUE_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_MAX_HEADERS_BYTES = 128 * 1024


class CorruptMessage(ValueError):
    """The bytes are not an event stream, or a checksum does not match."""


class Decoder:
    """Buffers bytes and returns complete messages.

    `pending` is true while an incomplete message is buffered.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        # Chunks are joined when the message ends: byte-wise input stays linear.
        self._chunks: list[bytes] = []
        self._size = 0
        # The length of the buffered message; 0 until its prelude is complete.
        self._message_length = 0

    @property
    def pending(self) -> bool:
        """Whether an incomplete message is buffered."""
        return bool(self._chunks)

    @property
    def pending_bytes(self) -> int:
        """The size of the incomplete message."""
        return self._size

    def feed(self, data: bytes) -> list[Frame]:
        """Return the messages that `data` completes. Raises CorruptMessage or FrameTooLarge."""
        if not data:
            return []
        self._chunks.append(data)
        self._size += len(data)
        if self._size < (self._message_length or _PRELUDE.size):
            return []
        buffer = b"".join(self._chunks)
        frames: list[Frame] = []
        offset = 0
        while (remaining_bytes := len(buffer) - offset) >= _PRELUDE.size:
            self._message_length = self._read_message_length(buffer, offset)
            if remaining_bytes < self._message_length:
                break
            frames.append(_parse_frame(buffer[offset : offset + self._message_length]))
            offset += self._message_length
            self._message_length = 0
        remainder = buffer[offset:]
        self._chunks, self._size = (
            ([remainder] if remainder else []),
            len(remainder),
        )
        return frames

    def close(self) -> list[Frame]:
        """Discard an incomplete message, whose checksum cannot be verified."""
        self._chunks, self._size, self._message_length = [], 0, 0
        return []

    def _read_message_length(self, buffer: bytes, offset: int) -> int:
        """Verify the prelude of the message at `offset` and return the message's length."""
        message_length, headers_length, crc = _PRELUDE.unpack_from(buffer, offset)
        if zlib.crc32(buffer[offset : offset + 8]) != crc:
            raise CorruptMessage("the checksum of a message's prelude does not match")
        if message_length > self._max_bytes:
            raise FrameTooLarge(f"a message of more than {self._max_bytes} bytes")
        if (
            headers_length > min(_MAX_HEADERS_BYTES, message_length - _MIN_MESSAGE_BYTES)
            or message_length < _MIN_MESSAGE_BYTES
        ):
            raise CorruptMessage("the lengths in a message's prelude are inconsistent")
        return int(message_length)


def _parse_frame(message: bytes) -> Frame:
    payload_end = len(message) - _CRC.size
    if zlib.crc32(message[:payload_end]) != _CRC.unpack_from(message, payload_end)[0]:
        raise CorruptMessage("the checksum of a message does not match")
    _, headers_length, _ = _PRELUDE.unpack_from(message)
    payload_start = _PRELUDE.size + headers_length
    headers = dict(_parse_headers(message[_PRELUDE.size : payload_start]))
    message_type, payload = (
        headers.get(":message-type", "event"),
        message[payload_start:payload_end],
    )
    if message_type == "exception":
        return Frame(headers.get(":exception-type", "") or "exception", payload)
    if message_type == "error":
        error_payload = msgspec.json.encode({"message": headers.get(":error-message", "")})
        name = headers.get(":error-code", "").removesuffix("Exception")
        return Frame(f"{name}Exception", payload or error_payload)
    return Frame(headers.get(":event-type", ""), payload)


def _parse_headers(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the headers whose value is a string; the others are not needed here."""
    offset = 0
    try:
        while offset < len(data):
            name_length = data[offset]
            name = data[offset + 1 : offset + 1 + name_length].decode("utf-8", "replace")
            offset += 1 + name_length
            value_type = data[offset]
            offset += 1
            if value_type in {_STRING_TYPE, _BYTES_TYPE}:
                (value_length,) = struct.unpack_from(">H", data, offset)
                offset += 2
                if offset + value_length > len(data):
                    raise CorruptMessage("a header of a message is truncated")
                if value_type == _STRING_TYPE:
                    yield name, data[offset : offset + value_length].decode("utf-8", "replace")
                offset += value_length
            else:
                offset += _FIXED_VALUE_SIZES[value_type]
        if offset > len(data):
            raise CorruptMessage("a header of a message is truncated")
    except (IndexError, KeyError, struct.error):
        raise CorruptMessage("the headers of a message cannot be parsed") from None


def find_message(messages: bytes, payload: bytes) -> int:
    """The offset of the first of complete messages that has this payload; 0 if none has."""
    offset = 0
    ending = len(payload) + _CRC.size
    while offset < len(messages):
        message_length, headers_length, _ = _PRELUDE.unpack_from(messages, offset)
        end = offset + message_length
        if message_length == _PRELUDE.size + headers_length + ending and messages.startswith(
            payload, end - ending
        ):
            return offset
        offset = end
    return 0


def encode(data: bytes, event: str, *, exception: bool = False) -> bytes:
    """Return one message as bytes."""
    message_type = "exception" if exception else "event"
    message_headers = {
        f":{message_type}-type": event,
        ":content-type": "application/json",
        ":message-type": message_type,
    }
    headers = b"".join(_encode_header(name, value) for name, value in message_headers.items())
    lengths = struct.pack(">II", _MIN_MESSAGE_BYTES + len(headers) + len(data), len(headers))
    message = lengths + _CRC.pack(zlib.crc32(lengths)) + headers + data
    return message + _CRC.pack(zlib.crc32(message))


def _encode_header(name: str, value: str) -> bytes:
    encoded_value, encoded_name = value.encode(), name.encode()
    type_and_length = struct.pack(">BH", _STRING_TYPE, len(encoded_value))
    return bytes([len(encoded_name)]) + encoded_name + type_and_length + encoded_value
