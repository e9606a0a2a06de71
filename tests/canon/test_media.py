"""Media in JSON."""

from __future__ import annotations

import base64

import pytest

from gateway.canon.media import data_url, parse_data_url, resolve_media_type, sniff_base64


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,AAAA", ("image/png", "AAAA")),
        ("DATA:Image/PNG;base64,AAAA", ("image/png", "AAAA")),
        ("data:image/png;name=x.png;base64,AAAA", ("image/png", "AAAA")),
        ("data:image/png;BASE64,AAAA", ("image/png", "AAAA")),
        ("data:;base64,AAAA", (None, "AAAA")),
        ("data:image/png;base64,AA\r\nAA\n", ("image/png", "AAAA")),
        ("data:text/plain,hello", None),
        ("data:image/png;base64", None),
        ("https://example.com/x.png", None),
        ("", None),
    ],
    ids=[
        "plain",
        "capitals",
        "parameters",
        "BASE64",
        "no type",
        "lines",
        "not base64",
        "no data",
        "web",
        "empty",
    ],
)
def test_a_data_url_is_parsed(url: str, expected: object):
    assert parse_data_url(url) == expected


def test_a_data_url_renders_as_it_was_parsed():
    assert parse_data_url(data_url("image/gif", "QUJD")) == ("image/gif", "QUJD")


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"%PDF-1.7", "application/pdf"),
        (b"hello world", None),
        (b"", None),
    ],
    ids=["png", "jpeg", "gif", "webp", "wav", "pdf", "text", "nothing"],
)
def test_the_first_bytes_show_the_kind_of_file(head: bytes, media_type: str | None):
    assert sniff_base64(base64.b64encode(head + b"\0" * 32).decode()) == media_type


@pytest.mark.parametrize("data", ["not base64!", "äöü", "A"], ids=["signs", "letters", "short"])
def test_invalid_base64_is_empty(data: str):
    assert sniff_base64(data) is None


def test_the_media_type_of_the_bytes_precedes_the_declared_one():
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 32).decode()
    assert resolve_media_type(png, "image/jpeg", "image/gif") == "image/png"
    assert resolve_media_type("AAAA", "image/jpeg", "image/gif") == "image/jpeg"
    assert resolve_media_type("AAAA", None, "image/gif") == "image/gif"
