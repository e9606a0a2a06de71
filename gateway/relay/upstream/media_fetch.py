"""One file from the public internet: bounded in bytes and time, and never from inside.

The host's addresses are looked up once; if one of them is not public, none is asked. The
connection goes to the address that was judged, so a name that points elsewhere a moment
later changes nothing. Each redirect is a new URL and is judged afresh. No cookies, no
credentials, no kept connections.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Awaitable, Callable

import certifi
import httpx
import msgspec

from gateway.canon.media import sniff_bytes
from gateway.relay.upstream.http1 import Connection
from gateway.relay.upstream.media_address import PORT, NotFetched, is_public, parse_media_url

MAX_BYTES = 20_000_000
TIMEOUT_S = 10.0
MAX_REDIRECTS = 3
# Fetches of a process at a time: each may hold MAX_BYTES.
MAX_PARALLEL_FETCHES = 8
# Larger files are written as base64 in a thread: it takes the event loop too long.
_ENCODE_IN_THREAD_BYTES = 256 * 1024
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_ACCEPT = b"image/*, application/pdf, text/*, */*;q=0.5"
_NO_PUBLIC_ADDRESS = "its host has no public address"

Resolve = Callable[[str], Awaitable[list[str]]]


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A fetched file.

    Attributes:
        data: its bytes in base64.
        media_type: what its first bytes show, else what the server said; empty if neither.
        size: how many bytes it has.
    """

    data: str
    media_type: str
    size: int


async def addresses_of(host: str) -> list[str]:
    """The addresses of a host; empty where it has none."""
    try:
        results = await asyncio.get_running_loop().getaddrinfo(host, PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(socket_address[0]) for *_, socket_address in results))


class Fetcher:
    """Fetches files. The arguments are the tests' way to a server of their own.

    Args:
        resolve: a host -> its addresses.
        permits: whether an address may be asked.
        context: whose certificates are believed; the usual authorities' by default.
        port: where connections go to; URLs name 443 all the same.
        seconds: for one file, redirects included.
    """

    def __init__(
        self,
        *,
        resolve: Resolve = addresses_of,
        permits: Callable[[str], bool] = is_public,
        context: ssl.SSLContext | None = None,
        port: int = PORT,
        seconds: float = TIMEOUT_S,
    ) -> None:
        self._resolve, self._is_permitted = resolve, permits
        self._context = context
        self._port, self._timeout_s = port, seconds
        self._slots = asyncio.Semaphore(MAX_PARALLEL_FETCHES)

    async def fetch(self, url: str, max_bytes: int = MAX_BYTES) -> Fetched:
        """The file at a URL, of at most `max_bytes` bytes. Raises Unfetched."""
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_s):
                    content, declared_type = await self._follow_redirects(url, max_bytes)
            except TimeoutError:
                raise NotFetched(f"its host took longer than {self._timeout_s:g} s") from None
        if len(content) > _ENCODE_IN_THREAD_BYTES:
            encoded = await asyncio.to_thread(base64.b64encode, content)
        else:
            encoded = base64.b64encode(content)
        return Fetched(
            data=encoded.decode("ascii"),
            media_type=detect_media_type(content[:512], declared_type),
            size=len(content),
        )

    async def _follow_redirects(self, url: str, max_bytes: int) -> tuple[bytes, str]:
        """The bytes at the end of the redirects, and the type that was told."""
        url_now = parse_media_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            connection = await self._connect(url_now)
            try:
                headers = await _send_request(connection, url_now)
                if connection.status in _REDIRECT_STATUSES and "location" in headers:
                    url_now = _redirect_url(url_now, headers["location"])
                    continue
                if connection.status != 200:
                    raise NotFetched(f"its host answered with status {connection.status}")
                declared_type = headers.get("content-type", "").partition(";")[0].strip().lower()
                return await _body(connection, headers, max_bytes), declared_type
            except httpx.TransportError:
                raise NotFetched("its host broke off") from None
            finally:
                connection.abort()
        raise NotFetched(f"it is redirected more than {MAX_REDIRECTS} times")

    async def _connect(self, url: httpx.URL) -> Connection:
        """A connection to one of the host's addresses, all of which are permitted."""
        addresses = await self._resolve(url.host)
        if not addresses or not all(self._is_permitted(address) for address in addresses):
            raise NotFetched(_NO_PUBLIC_ADDRESS)
        loop = asyncio.get_running_loop()
        for address in addresses[:4]:
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(loop),
                    address,
                    self._port,
                    ssl=self._ssl_context(),
                    server_hostname=url.raw_host.decode("ascii"),
                )
            except (OSError, ssl.SSLError):
                continue
            return connection
        raise NotFetched("its host cannot be reached over TLS")

    def _ssl_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=certifi.where())
        return self._context


def detect_media_type(head: bytes, declared_type: str) -> str:
    """The media type of a file by its first bytes, else as told; empty where unknown.

    Words that are called a picture are words: an error page under a picture's name.
    """
    sniffed_type = sniff_bytes(head)
    if sniffed_type is not None:
        return sniffed_type
    is_text = _is_text(head)
    if is_text and not declared_type.startswith("text/"):
        return "text/plain"
    if not is_text and declared_type.startswith("text/"):
        return ""
    return "" if declared_type == "application/octet-stream" else declared_type


def _is_text(head: bytes) -> bool:
    """Whether the beginning of a file is UTF-8; its last character may be cut."""
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) - error.start < 4 and error.reason == "unexpected end of data"
    return bool(head)


def _redirect_url(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return parse_media_url(str(url.join(location)))
    except (httpx.InvalidURL, ValueError):
        raise NotFetched("it is redirected to no URL") from None


async def _send_request(connection: Connection, url: httpx.URL) -> dict[str, str]:
    """Send the request; the answer's headers by lower-case name."""
    request_lines = (
        b"GET " + url.raw_path + b" HTTP/1.1",
        b"host: " + url.netloc,
        b"accept: " + _ACCEPT,
        b"accept-encoding: identity",
        b"user-agent: dragoman",
        b"connection: close",
    )
    if any(b"\r" in line or b"\n" in line for line in request_lines):
        raise NotFetched("its URL holds a line break")
    connection.send(b"\r\n".join(request_lines) + b"\r\n\r\n", b"")
    await connection.wait_head()
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in connection.headers}


async def _body(connection: Connection, headers: dict[str, str], max_bytes: int) -> bytes:
    if headers.get("content-encoding", "identity") not in {"", "identity"}:
        raise NotFetched("its host sends it compressed only")
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes:
        raise NotFetched(_too_large(max_bytes))
    parts, size = [], 0
    while data := await connection.read():
        parts.append(data)
        size += len(data)
        if size > max_bytes:
            raise NotFetched(_too_large(max_bytes))
    if not size:
        raise NotFetched("it is empty")
    return b"".join(parts)


def _too_large(max_bytes: int) -> str:
    return (
        f"it is larger than {max_bytes} bytes"
        if max_bytes < MAX_BYTES
        else "it is larger than 20 MB"
    )
