"""Fetching a file: over real TLS, never from private addresses, bounded in size and time."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.relay.upstream.media_fetch import (
    MediaFetchError,
    addresses_of,
    detect_media_type,
    is_public,
)
from tests.relay.media_server import PNG, Write, http_response, media, redirect
from tests.waits import WAIT_TIMEOUT_S

URL = "https://media.example/a"


async def test_a_file_is_fetched_with_its_type(tmp_path: Path) -> None:
    async with media(tmp_path, a=http_response(PNG)) as site:
        fetched = await site.fetcher().fetch(f"{URL}?sig=1#part")
    assert base64.b64decode(fetched.data) == PNG
    assert (fetched.media_type, fetched.size) == ("image/png", len(PNG))
    (text,) = site.request_heads
    lines = text.strip().split("\r\n")
    assert lines[:2] == ["GET /a?sig=1 HTTP/1.1", "host: media.example"]
    names = {line.partition(":")[0] for line in lines[1:]}
    assert names == {"host", "accept", "accept-encoding", "user-agent", "connection"}


async def test_a_body_in_chunks_and_one_without_a_length_are_read(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    chunked = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(PNG), PNG)
    bare = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + PNG
    async with media(tmp_path, a=chunked, b=bare) as site:
        fetcher = site.fetcher()
        assert (await fetcher.fetch(URL)).size == len(PNG)
        assert (await fetcher.fetch("https://media.example/b")).size == len(PNG)


@pytest.mark.parametrize(
    ("body", "text", "kind"),
    [
        (PNG, "", "image/png"),
        (PNG, "text/html", "image/png"),
        (PNG, "image/jpeg", "image/png"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 9, "application/octet-stream", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "", "image/webp"),
        (b"\0\0\0\x18ftypavif\0\0", "", "image/avif"),
        (b"%PDF-1.7 x", "text/plain", "application/pdf"),
        (b"<html>no</html>", "image/png", "text/plain"),
        (b"<html>no</html>", "text/html", "text/html"),
        (b"words", "", "text/plain"),
        ("wört".encode() * 127 + "ö".encode()[:1], "text/plain", "text/plain"),
        (b"\xff\xfe\0w", "text/plain", ""),
        (b"\0\1\2", "application/octet-stream", ""),
        (b"PK\3\4\0", "application/zip", "application/zip"),
    ],
)
def test_the_media_type_is_detected_from_the_bytes(body: bytes, text: str, kind: str) -> None:
    assert detect_media_type(body, text) == kind


@pytest.mark.parametrize(
    "addresses",
    [
        [],
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["1.1.1.1", "127.0.0.1"],
        ["2606:4700:4700::1111", "fd00::1"],
    ],
)
async def test_a_host_with_a_private_address_is_not_requested(
    tmp_path: Path, addresses: list[str]
) -> None:
    async with media(tmp_path, a=http_response(PNG)) as site:
        site.names["media.example"] = addresses
        with pytest.raises(MediaFetchError, match="no public address") as error:
            await site.fetcher(permits=is_public).fetch(URL)
        assert not any(address in str(error.value) for address in addresses)
    assert not site.request_heads


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a",
        "https://127.1/a",
        "https://2130706433/a",
        "https://0x7f000001/a",
        "https://0177.0.0.1/a",
        "https://[::1]/a",
        "https://[::ffff:127.0.0.1]/a",
        "https://0.0.0.0/a",
        "https://localhost/a",
        "https://169.254.169.254/latest/meta-data/",
    ],
)
async def test_no_spelling_of_localhost_passes_the_real_resolver(tmp_path: Path, url: str) -> None:
    async with media(tmp_path, a=http_response(PNG)) as site:
        with pytest.raises(MediaFetchError):
            await site.fetcher(permits=is_public, resolve=addresses_of).fetch(url)
    assert not site.request_heads


async def test_the_connection_uses_the_checked_address(tmp_path: Path) -> None:
    """There is no second lookup, which could return a private address."""
    async with media(tmp_path, a=http_response(PNG)) as site:
        site.names["media.example"] = [["127.0.0.1"], ["127.0.0.2"]]  # type: ignore[list-item]
        assert (await site.fetcher().fetch(URL)).size == len(PNG)
        assert site.looked_up == ["media.example"]
        with pytest.raises(MediaFetchError, match="no public address"):
            await site.fetcher().fetch(URL)
    assert len(site.request_heads) == 1


async def test_each_redirect_is_checked_again(tmp_path: Path) -> None:
    """The name may resolve differently later, and another host may be private."""
    async with media(tmp_path, a=redirect("/b"), b=http_response(PNG)) as site:
        site.names["media.example"] = [["127.0.0.1"], ["127.0.0.2"]]  # type: ignore[list-item]
        with pytest.raises(MediaFetchError, match="no public address"):
            await site.fetcher().fetch(URL)
    assert len(site.request_heads) == 1


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("https://inside.example/x", "no public address"),
        ("http://other.example/x", "must begin with https://"),
        ("//inside.example/x", "no public address"),
        ("https://u:p@other.example/x", "user name or password"),
        ("https://other.example:8443/x", "a port other than"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https://[::1", "without a URL|cannot be parsed"),
    ],
)
async def test_a_redirect_to_a_disallowed_address_is_not_followed(
    tmp_path: Path, location: str, reason: str
) -> None:
    async with media(tmp_path, a=redirect(location)) as site:
        site.names["inside.example"] = ["127.0.0.2"]
        with pytest.raises(MediaFetchError, match=reason):
            await site.fetcher().fetch(URL)
    assert len(site.request_heads) == 1


async def test_three_redirects_are_followed_and_no_more(tmp_path: Path) -> None:
    pages = {
        "a": redirect("/b"),
        "b": redirect("c", 307),
        "c": redirect("https://other.example/d", 301),
    }
    async with media(tmp_path, **pages, d=http_response(PNG)) as site:
        assert (await site.fetcher().fetch(URL)).size == len(PNG)
        site.pages["d"] = redirect("/e")
        site.pages["e"] = http_response(PNG)
        with pytest.raises(MediaFetchError, match="more than 3 times"):
            await site.fetcher().fetch(URL)


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (http_response(b"", "", 404), "status 404"),
        (http_response(b"no", "text/plain", 403), "status 403"),
        (http_response(b"", "", 302), "status 302"),
        (http_response(b""), "empty"),
        (http_response(PNG, content_encoding="gzip"), "compressed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort", "incomplete or invalid"),
        (b"not HTTP at all\r\n\r\n", "incomplete or invalid"),
        (b"", "incomplete or invalid"),
    ],
    ids=["gone", "forbidden", "nowhere", "empty", "compressed", "cut", "no http", "nothing"],
)
async def test_a_response_that_is_no_file_raises_not_fetched(
    tmp_path: Path, page: bytes, reason: str
) -> None:
    async with media(tmp_path, a=page) as site:
        with pytest.raises(MediaFetchError, match=reason):
            await site.fetcher().fetch(URL)


async def test_a_file_with_a_too_large_declared_size_is_not_read(tmp_path: Path) -> None:
    huge = b"HTTP/1.1 200 OK\r\ncontent-length: 20000001\r\n\r\n"
    async with media(tmp_path, a=huge) as site:
        with pytest.raises(MediaFetchError, match="larger than 20 MB"):
            await site.fetcher().fetch(URL)


async def test_a_file_that_hides_its_size_is_cut_off(tmp_path: Path) -> None:
    async def long(write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(64):
            await write(b"x" * 65536)

    async with media(tmp_path, a=long) as site:
        with pytest.raises(MediaFetchError, match="larger than 1000000 bytes"):
            await site.fetcher().fetch(URL, 1_000_000)


async def test_a_slow_host_times_out(tmp_path: Path) -> None:
    async def slowly(write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            await write(b"x")
            await asyncio.sleep(0.05)

    async with media(tmp_path, a=slowly) as site:
        with pytest.raises(MediaFetchError, match=r"longer than 0.3 s"):
            await site.fetcher(seconds=0.3).fetch(URL)


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    async with media(tmp_path, a=http_response(PNG)) as site:
        site.names["third.example"] = ["127.0.0.1"]
        with pytest.raises(MediaFetchError, match="over TLS"):
            await site.fetcher().fetch("https://third.example/a")
        with pytest.raises(MediaFetchError, match="over TLS"):
            await site.fetcher(context=None).fetch(URL)
    assert not site.request_heads


async def test_hosts_whose_names_resolve_slowly_do_not_delay_other_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client chooses these names; providers' names are resolved in the loop's own threads."""
    release = threading.Event()
    resolve = socket.getaddrinfo

    def slow_getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if host == "slow.example":
            release.wait(WAIT_TIMEOUT_S)
            raise socket.gaierror
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow_getaddrinfo)
    lookups = [asyncio.create_task(addresses_of("slow.example")) for _ in range(40)]
    try:
        await asyncio.sleep(0.05)
        async with asyncio.timeout(WAIT_TIMEOUT_S / 2):
            await asyncio.get_running_loop().getaddrinfo("localhost", 443)
    finally:
        release.set()
        assert await asyncio.gather(*lookups) == [[]] * 40
