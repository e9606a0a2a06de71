"""JSON lines are decoded whole, however the bytes are split."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.ndjson import KEEPALIVE, Decoder, encode
from gateway.framing.sse import Frame, FrameTooLarge

_BOM = b"\xef\xbb\xbf"
# Lines of JSON have no blanks around them and do not begin with a byte order mark.
lines = st.lists(
    st.binary(min_size=1, max_size=9).filter(
        lambda b: b.strip(b" \t\r\n") == b and b"\n" not in b and not b.startswith(_BOM)
    ),
    max_size=6,
)


def frames(*pieces: bytes) -> list[bytes]:
    """Return the frames of a stream of these chunks, including its end."""
    decoder = Decoder()
    events = [frame for piece in pieces for frame in decoder.feed(piece)]
    return [frame.data for frame in (*events, *decoder.close())]


@given(lines, st.integers(1, 9))
def test_encoded_forms_parse_at_any_split(written: list[bytes], size: int) -> None:
    wire = b"".join(map(encode, written))
    assert frames(*(wire[i : i + size] for i in range(0, len(wire), size))) == written


def test_empty_lines_and_blanks_are_ignored() -> None:
    assert frames(b"\r\n\n  \n", KEEPALIVE, b'{"a":1}\r', b"\n", KEEPALIVE) == [b'{"a":1}']


def test_the_last_line_may_lack_a_newline() -> None:
    assert frames(b'{"a":1}\n{"b"', b":2}") == [b'{"a":1}', b'{"b":2}']


def test_an_ndjson_frame_has_no_event_name() -> None:
    assert Decoder().feed(b"{}\n") == [Frame("", b"{}")]


def test_a_decoder_is_pending_within_a_line() -> None:
    decoder = Decoder()
    assert not decoder.pending
    decoder.feed(KEEPALIVE)
    assert not decoder.pending
    decoder.feed(b"{")
    assert decoder.pending
    decoder.feed(b"}\n")
    assert not decoder.pending


@pytest.mark.parametrize("wire", [b"x" * 9, b"x" * 9 + b"\n", b"a\n" + b"x" * 9 + b"\nb"])
def test_a_line_without_an_end_is_too_large(wire: bytes) -> None:
    with pytest.raises(FrameTooLarge):
        Decoder(max_event_bytes=8).feed(wire)


def test_the_content_type_of_each_stream_format_has_its_marker() -> None:
    for cut in STREAM_FORMATS.values():
        assert cut.content_type_marker.encode() in cut.content_type


@pytest.mark.parametrize("end", ["\u0085", "\u2028", "\u2029"])
def test_an_encoded_line_contains_no_unicode_line_separator(end: str) -> None:
    value = {"content": f"one{end}two é 雪"}
    line = encode(msgspec.json.encode(value)).decode()
    assert line.splitlines() == [line.rstrip("\n")]
    assert json.loads(line) == value
