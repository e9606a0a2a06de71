"""Multipart forms: parsing and encoding are inverse."""

from __future__ import annotations

import email
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing.multipart import (
    MAX_HEAD_BYTES,
    MAX_PARTS,
    ByteRange,
    Decoder,
    MalformedForm,
    Part,
    encode,
    parse_boundary,
)

names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0", exclude_categories=["C"]))
plain = names.filter(lambda name: name and "\\" not in name and '"' not in name and "%" not in name)
HEAD = b'content-disposition: form-data; name="a"\r\n\r\n'
parts = st.lists(
    st.builds(
        Part,
        name=plain,
        data=st.binary(max_size=200).filter(lambda data: b"--bound" not in data),
        filename=st.none() | plain,
        content_type=st.sampled_from(["", "image/png", "text/plain; charset=utf-8"]),
    ),
    max_size=6,
)


def parse(body: bytes, boundary: str, *, step: int = 1 << 30) -> list[Part]:
    """Return the parts of a body that arrives in chunks of `step` bytes."""
    decoder = Decoder(boundary)
    rows: list[Any] = []
    for start in range(0, len(body), step):
        for item in decoder.feed(body[start : start + step]):
            if isinstance(item, Part):
                rows.append((item, bytearray()))
            else:
                rows[-1][1].extend(item)
    decoder.close()
    return [Part(p.name, bytes(data), p.filename, p.content_type) for p, data in rows]


def encode_form(parts: list[Part], boundary: str) -> bytes:
    """Return the body of complete parts."""
    (body,) = encode(parts, boundary)
    assert isinstance(body, bytes)
    return body


def same_parts(content_parts: list[Part], expected_parts: list[Part]) -> bool:
    rows = [(p.name, bytes(p.data), p.filename, p.content_type) for p in content_parts]
    return rows == [(p.name, p.data, p.filename, p.content_type) for p in expected_parts]


@given(parts)
def test_form_parts_round_trip(content_parts: list[Part]) -> None:
    assert same_parts(parse(encode_form(content_parts, "bound"), "bound"), content_parts)


@given(parts.filter(bool))
def test_the_standard_library_parses_the_same_parts(content_parts: list[Part]) -> None:
    head = b'content-type: multipart/form-data; boundary="bound"\r\n\r\n'
    message: Any = email.message_from_bytes(head + encode_form(content_parts, "bound"))
    assert len(message.get_payload()) == len(content_parts)


@given(parts, st.integers(1, 40))
def test_parts_are_parsed_at_any_split_of_their_bytes(content_parts: list[Part], step: int) -> None:
    assert same_parts(parse(encode_form(content_parts, "bound"), "bound", step=step), content_parts)


@given(st.binary(max_size=300), st.integers(1, 9))
def test_forms_parse_the_same_at_any_split(body: bytes, step: int) -> None:
    """Line ends and boundaries are where parsers most often fail."""
    for code, mark in ((b"\0", b"\r\n"), (b"\1", b"--b"), (b"\2", b"\r\n--b"), (b"\3", HEAD)):
        body = body.replace(code, mark)
    results: list[Any] = []
    for size in (step, 1 << 30):
        try:
            results.append(parse(b"--b\r\n" + HEAD + body + b"\r\n--b--", "b", step=size))
        except MalformedForm as error:
            results.append(str(error))
    assert results[0] == results[1]


def test_a_stored_part_is_a_byte_range_in_the_encoded_body() -> None:
    byte_range = ByteRange(5, 3)
    data = encode(
        [Part("a", b"v"), Part("f", filename="x", stored_range=byte_range), Part("b", b"w")], "b"
    )
    assert data[1] == byte_range
    body = b"".join(piece if isinstance(piece, bytes) else b"XYZ" for piece in data)
    assert [bytes(part.data) for part in parse(body, "b")] == [b"v", b"XYZ", b"w"]


@given(st.binary(max_size=400))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    for data in (
        body,
        b"--b\r\n" + body,
        b'--b\r\ncontent-disposition: form-data; name="a"' + body,
    ):
        try:
            parsed = parse(data, "b")
        except MalformedForm:
            continue
        assert same_parts(
            parse(encode_form(parsed, "b"), "b"),
            [Part(p.name, bytes(p.data), p.filename, p.content_type) for p in parsed],
        ) or any('"' in p.name + (p.filename or "") for p in parsed)


def test_forms_of_http_clients_are_parsed() -> None:
    files = {"file": ("a name.wav", b"\r\n--x\r\n\0", "audio/wav")}
    request = httpx.Request("POST", "http://x", data={"model": "m", "n": "2"}, files=files)
    boundary = parse_boundary(request.headers["content-type"])
    assert boundary is not None
    parts_by_name = {part.name: part for part in parse(request.read(), boundary)}
    assert (parts_by_name["model"].text, parts_by_name["n"].text) == ("m", "2")
    assert bytes(parts_by_name["file"].data) == b"\r\n--x\r\n\0"
    assert (parts_by_name["file"].filename, parts_by_name["file"].content_type) == (
        "a name.wav",
        "audio/wav",
    )


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b"', None),
        ('multipart/form-data; boundary="a:b"', "a:b"),
        ("multipart/form-data", None),
        ("multipart/mixed; boundary=abc", None),
        ("multipart/form-data; boundary=" + "x" * 71, None),
        ("application/json", None),
    ],
)
def test_the_boundary_is_found(kind: str, boundary: str | None) -> None:
    assert parse_boundary(kind) == boundary


def field(head: bytes, value: bytes = b"v") -> bytes:
    return b"--b\r\n" + head + b"\r\n\r\n" + value + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b--",
        b"--b\r\n\r\n",
        field(b"content-type: text/plain"),
        field(b"content-disposition: form-data"),
        field(b'content-disposition: attachment; name="a"'),
        field(b'content-disposition: form-data; name="a"; name="model"'),
        field(
            b'content-disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="b"'
        ),
        field(b'content-disposition : form-data; name="a"'),
        field(b'content-disposition: form-data; name="a"\r\n folded'),
        field(b'content-disposition: form-data; name="a"\r\ncontent-transfer-encoding: base64'),
        field(b'content-disposition: form-data; name="a"\r\ncontent-type: a\tb'),
        field(b'content-disposition: form-data; name="' + b"x" * MAX_HEAD_BYTES + b'"'),
        field(b'content-disposition: form-data; name="a"').removesuffix(b"--\r\n"),
        b"--b\r\n" + b'content-disposition: form-data; name="a"\r\n\r\nv\r\n--bx\r\n--b--',
        b"--b\r\n" + HEAD + b"--b--",
    ],
)
def test_an_ambiguous_form_is_refused(body: bytes) -> None:
    """Two parsers must not find different meanings in a form."""
    for step in (1, 1 << 30):
        if body == b"--b--":
            assert parse(body, "b", step=step) == []
            continue
        with pytest.raises(MalformedForm):
            parse(body, "b", step=step)


def test_the_number_of_form_fields_is_bounded() -> None:
    part = Part("a", b"v")
    assert len(parse(encode_form([part] * MAX_PARTS, "b"), "b")) == MAX_PARTS
    with pytest.raises(MalformedForm, match="more than"):
        parse(encode_form([part] * (MAX_PARTS + 1), "b"), "b")


def test_a_field_name_cannot_inject_a_part_header() -> None:
    sneaky = Part('a"\r\ncontent-type: x', b"v", 'b"\r\n\r\n--bound')
    (part,) = parse(encode_form([sneaky], "bound"), "bound")
    assert part.name == "a%22%0D%0Acontent-type: x"


def test_an_extended_filename_parameter_marks_a_file() -> None:
    head = b"content-disposition: form-data; name=\"file\"; filename*=UTF-8''%C3%A9.png"
    assert parse(field(head), "b")[0].filename == "é.png"
