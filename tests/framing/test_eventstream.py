"""AWS event streams: split at any byte, with flipped bits, and compared with botocore."""

from __future__ import annotations

import itertools
import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing.eventstream import CorruptMessage, Decoder, encode
from gateway.framing.sse import Frame, FrameTooLarge

names = st.sampled_from(["messageStart", "contentBlockDelta", "metadata"])
messages = st.lists(st.tuples(names, st.binary(max_size=40)), max_size=4)


@given(messages, st.lists(st.integers(0, 400), max_size=6))
def test_messages_are_decoded_at_any_split_of_their_bytes(
    error_headers: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    data = b"".join(encode(payload, name) for name, payload in error_headers)
    offsets = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    decoder = Decoder()
    frames: list[Frame] = []
    for start, end in itertools.pairwise(offsets):
        frames += decoder.feed(data[start:end])
    assert frames == [Frame(name, payload) for name, payload in error_headers]
    assert not decoder.pending
    assert decoder.close() == []


@given(messages)
def test_messages_round_trip_through_botocore(
    error_headers: list[tuple[str, bytes]],
) -> None:
    data = b"".join(encode(payload, name) for name, payload in error_headers)
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    theirs = [(m.headers[":event-type"], m.payload) for m in buffer]
    assert theirs == [(frame.event, frame.data) for frame in Decoder().feed(data)]


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_detected(position: int, flip: int) -> None:
    data = bytearray(encode(b'{"delta":{"text":"Hello"}}', "contentBlockDelta"))
    data[position % len(data)] ^= flip
    decoder = Decoder()
    try:
        frames = decoder.feed(bytes(data))
    except (CorruptMessage, FrameTooLarge):
        return
    assert frames == []


def test_an_exception_is_named_by_its_type() -> None:
    data = encode(b'{"message":"slow down"}', "throttlingException", exception=True)
    assert Decoder().feed(data) == [Frame("throttlingException", b'{"message":"slow down"}')]


def test_an_error_of_the_service_has_its_message_in_headers() -> None:
    error_headers = {
        ":message-type": "error",
        ":error-code": "InternalError",
        ":error-message": "oops",
    }
    headers = b"".join(
        bytes([len(name)]) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in error_headers.items()
    )
    assert Decoder().feed(_message(headers, b"")) == [
        Frame("InternalErrorException", b'{"message":"oops"}')
    ]


def test_messages_without_payload_and_with_every_header_type_are_decoded() -> None:
    headers = b"".join(
        bytes([1]) + b"h" + bytes([kind]) + value
        for kind, value in (
            (0, b""),
            (1, b""),
            (2, b"x"),
            (3, b"xx"),
            (4, b"xxxx"),
            (5, b"x" * 8),
            (6, b"\x00\x03abc"),
            (8, b"x" * 8),
            (9, b"x" * 16),
        )
    )
    headers += bytes([11]) + b":event-type" + b"\x07\x00\x04ping"
    assert Decoder().feed(_message(headers, b"")) == [Frame("ping", b"")]


def _message(headers: bytes, payload: bytes) -> bytes:
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


@pytest.mark.parametrize(
    "headers", [b"\x01", b"\x01h\x63", b"\x01h\x07\x00\x09ab", b"\x01h\x04\x00"]
)
def test_unreadable_message_headers_are_refused(headers: bytes) -> None:
    with pytest.raises(CorruptMessage):
        Decoder().feed(_message(headers, b"{}"))


def test_an_invalid_message_length_is_refused() -> None:
    lengths = struct.pack(">II", 8, 0)
    with pytest.raises(CorruptMessage, match="lengths"):
        Decoder().feed(lengths + struct.pack(">I", zlib.crc32(lengths)))


def test_a_too_large_message_is_refused_before_it_is_buffered() -> None:
    with pytest.raises(FrameTooLarge, match="more than 64 bytes"):
        Decoder(64).feed(encode(b"x" * 100, "e")[:12])


def test_html_is_not_parsed_as_an_event_stream() -> None:
    with pytest.raises(CorruptMessage):
        Decoder().feed(b"<html><body>Bad gateway</body></html>")
