"""Reads the wire format of protobuf without decoding messages.

One call of the package `protobuf` holds the GIL: it needs half a second for eight megabytes of
empty messages. A large message is therefore split here into the messages inside it, and each is
decoded separately, after the messages in it were counted.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.client_spans.span import MalformedBody, TooManyValues

_MAX_VARINT_BYTES = 10
_MALFORMED_BODY = "the body is not an ExportTraceServiceRequest in protobuf"

# Numbers of the fields of a message that contain messages -> the schema of those.
Schema = Mapping[int, "Schema"]


def submessages(data: bytes, number: int) -> Iterator[bytes]:
    """The contents of a repeated field of messages, in order. Raises MalformedBody."""
    for field, start, end in _length_delimited(data, 0, len(data)):
        if field == number:
            yield data[start:end]


def merge_submessage(data: bytes, number: int) -> bytes:
    """The content of a single message field; several of them are merged, as protobuf does.

    Raises MalformedBody.
    """
    return b"".join(submessages(data, number))


def check_values(data: bytes, schema: Schema, limit: int) -> None:
    """Raises TooManyValues if the message contains more than `limit` messages.

    Raises MalformedBody.
    """
    count = 0
    pending = [(0, len(data), schema)]
    while pending:
        start, end, inner_schemas = pending.pop()
        for field, inner_start, inner_end in _length_delimited(data, start, end):
            if (inner := inner_schemas.get(field)) is None:
                continue
            count += 1
            if count > limit:
                raise TooManyValues
            if inner and inner_start < inner_end:
                pending.append((inner_start, inner_end, inner))


def _length_delimited(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The number, start and end of each length-delimited field of a message."""
    while start < end:
        tag, start = _read_varint(data, start, end)
        match tag & 7:
            case 0:
                _, start = _read_varint(data, start, end)
            case 1:
                start += 8
            case 2:
                length, start = _read_varint(data, start, end)
                if start + length > end:
                    raise MalformedBody(_MALFORMED_BODY)
                yield tag >> 3, start, start + length
                start += length
            case 5:
                start += 4
            case _:
                raise MalformedBody(_MALFORMED_BODY)
    if start != end:
        raise MalformedBody(_MALFORMED_BODY)


def _read_varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The number at an offset, and the offset after it."""
    value = 0
    for index in range(start, min(end, start + _MAX_VARINT_BYTES)):
        byte = data[index]
        value |= (byte & 0x7F) << (7 * (index - start))
        if byte < 0x80:
            return value, index + 1
    raise MalformedBody(_MALFORMED_BODY)
