"""SSE frames are decoded by the standard, however the bytes are split."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.framing.sse import Decoder, Frame, FrameTooLarge, encode

# The bytes that mean something to the format, and some that mean nothing.
ALPHABET = [
    b"data",
    b"event",
    b"id",
    b":",
    b" ",
    b"\n",
    b"\r",
    b"\r\n",
    b"x",
    b"{}",
    b"\xc3",
    b"\xa4",
]
dialect_responses = st.lists(st.sampled_from([*ALPHABET, b"\xef\xbb\xbf"]), max_size=40).map(
    b"".join
)


def frames(*pieces: bytes) -> list[Frame]:
    """Return the frames of a stream of these chunks, including its end."""
    decoder = Decoder()
    events = [frame for piece in pieces for frame in decoder.feed(piece)]
    return events + decoder.close()


def frames_by_standard(wire: bytes) -> list[Frame]:
    """Return the frames by the standard's algorithm, line by line over the whole input."""
    text = wire.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    expected_frames: list[Frame] = []
    event, data = "", None
    for line in [*text.split(b"\n"), b""]:
        if not line:
            if data is not None:
                expected_frames.append(Frame(event, data))
            event, data = "", None
            continue
        if line.startswith(b":"):
            continue
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if name == b"event":
            event = value.decode("utf-8", "replace")
        elif name == b"data":
            data = value if data is None else data + b"\n" + value
    return expected_frames


def split_at(wire: bytes, offsets: list[int]) -> list[bytes]:
    edges = [0, *sorted(position % (len(wire) + 1) for position in offsets), len(wire)]
    return [wire[a:b] for a, b in pairwise(edges)]


@given(dialect_responses)
def test_frames_follow_the_sse_standard(wire: bytes) -> None:
    assert frames(wire) == frames_by_standard(wire)


@given(dialect_responses, st.lists(st.integers(0, 400), max_size=12))
def test_frames_are_independent_of_chunk_boundaries(wire: bytes, offsets: list[int]) -> None:
    assert frames(*split_at(wire, offsets)) == frames(wire)


@given(dialect_responses)
def test_feeding_single_bytes_decodes_the_same_frames(wire: bytes) -> None:
    assert frames(*(wire[i : i + 1] for i in range(len(wire)))) == frames(wire)


@given(dialect_responses, st.lists(st.integers(0, 400), max_size=12), st.integers(1, 30))
@example(b"data:\n\n", [6], 5)
def test_size_limits_apply_at_any_split(wire: bytes, offsets: list[int], limit: int) -> None:
    def fits(pieces: list[bytes]) -> bool:
        decoder = Decoder(limit)
        try:
            for chunk in pieces:
                decoder.feed(chunk)
        except FrameTooLarge:
            return False
        return True

    assert fits(split_at(wire, offsets)) == fits([wire])


@given(st.text(alphabet="abc", max_size=5), st.binary(max_size=60))
@settings(max_examples=200)
def test_frames_round_trip(event: str, data: bytes) -> None:
    data = data.replace(b"\n", b"").replace(b"\r", b"")
    assert frames(encode(data, event.encode())) == [Frame(event, data)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_cr_lf_and_crlf_end_a_line(end: bytes) -> None:
    wire = end.join([b"event: a", b"data: 1", b"", b"data: 2", b"", b""])
    assert frames(wire) == [Frame("a", b"1"), Frame("", b"2")]


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (b"data: 1\n\n", [Frame("", b"1")]),
        (b"data:1\n\n", [Frame("", b"1")]),
        (b"data:  1\n\n", [Frame("", b" 1")]),
        (b"data: a: b\n\n", [Frame("", b"a: b")]),
        (b"data: 1\ndata: 2\n\n", [Frame("", b"1\n2")]),
        (b"data: 1\nevent: late\n\n", [Frame("late", b"1")]),
        (b"data\n\n", [Frame("", b"")]),
        (b"data:\ndata:\n\n", [Frame("", b"\n")]),
        (b": hello\n\n", []),
        (b": hello\ndata: 1\n\n", [Frame("", b"1")]),
        (b"event: ping\n\n", []),
        (b"event: ping\n\ndata: 1\n\n", [Frame("", b"1")]),
        (b"id: 7\nretry: 10\nother: x\ndata: 1\n\n", [Frame("", b"1")]),
        (b"datas: 1\n\n", []),
        (b"\n\n\n\ndata: 1\n\n\n\n\n", [Frame("", b"1")]),
        (b"\xef\xbb\xbfdata: 1\n\n", [Frame("", b"1")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\n", []),
        (b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n", [Frame("", b"1")]),
        (b"event: \xff\ndata: \xff\n\n", [Frame("\N{REPLACEMENT CHARACTER}", b"\xff")]),
        (b"data: 1", [Frame("", b"1")]),
        (b"event: a\ndata: 1\n", [Frame("a", b"1")]),
        (b"event: a\n", []),
        (b"", []),
    ],
    ids=repr,
)
def test_a_stream_is_decoded_to_its_frames(wire: bytes, expected: list[Frame]) -> None:
    assert frames(wire) == expected


@pytest.mark.parametrize("position", [1, 2, 3])
def test_a_split_byte_order_mark_is_skipped(position: int) -> None:
    wire = b"\xef\xbb\xbfdata: 1\n\n"
    assert frames(wire[:position], wire[position:]) == [Frame("", b"1")]


def test_a_frame_is_returned_as_soon_as_it_ends() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: 1\r\n\r") == [Frame("", b"1")]
    assert decoder.feed(b"\ndata: 2\n") == []
    assert decoder.feed(b"\n") == [Frame("", b"2")]


def test_only_an_unfinished_event_is_pending() -> None:
    decoder = Decoder()
    pending = []
    for chunk in (b"data", b": 1\n", b"\n", b"data: 2\n\n", b"d"):
        decoder.feed(chunk)
        pending.append(decoder.pending)
    assert pending == [True, True, False, False, True]
    decoder.close()
    assert not decoder.pending


@pytest.mark.parametrize("step", [1, 7, 64, 1000])
def test_an_event_without_end_is_refused_before_it_grows(step: int) -> None:
    decoder = Decoder(256)
    with pytest.raises(FrameTooLarge, match="256"):
        for _ in range(2000):
            decoder.feed(b"x" * step)


def test_an_event_of_the_largest_size_passes() -> None:
    event = b"data: " + b"x" * 250
    assert Decoder(256).feed(event + b"\n\n" + event + b"\n\n") == [Frame("", b"x" * 250)] * 2
    with pytest.raises(FrameTooLarge):
        Decoder(255).feed(event + b"\n\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_decoding_takes_linear_time(end: bytes) -> None:
    def took(lines: int) -> float:
        decoder = Decoder()
        started = time.process_time()
        for _ in range(lines):
            decoder.feed(b"data: x" + end)
        assert decoder.feed(end)[0].data.count(b"\n") == lines - 1
        return time.process_time() - started

    took(1000)
    # Eight times the bytes; a square would take 64 times as long.
    assert min(took(64_000) for _ in range(3)) < 24 * min(took(8_000) for _ in range(3)) + 0.01


@pytest.mark.parametrize("line", [b":\n", b"data:\n", b"x:\n"], ids=["comment", "data", "other"])
def test_an_event_of_very_many_lines_is_refused(line: bytes) -> None:
    """Each line takes time in which the gateway serves nobody else."""
    decoder = Decoder()
    with pytest.raises(FrameTooLarge):
        decoder.feed(line * 1_000_000 + b"\n")
    # In pieces, and without the empty line that ends an event.
    decoder = Decoder()
    with pytest.raises(FrameTooLarge):
        for _ in range(20):
            decoder.feed(line * 10_000)
    assert decoder.close() == []


def test_an_event_of_many_lines_is_decoded() -> None:
    assert frames(b"data: x\n" * 10_000 + b"\n") == [Frame("", b"\n".join([b"x"] * 10_000))]


@pytest.mark.parametrize("value", [b"{},", b"[],"])
def test_an_event_of_very_many_objects_is_refused(value: bytes) -> None:
    """Decoded, they take hundreds of bytes each, and a second in which nobody is served."""
    decoder = Decoder()
    decoder.feed(b"data: [")
    with pytest.raises(FrameTooLarge):
        for _ in range(40):
            decoder.feed(value * 10_000)
    assert not decoder.pending
