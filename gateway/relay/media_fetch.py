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

from gateway.canon.media import sniffed_bytes
from gateway.relay.http1 import Connection
from gateway.relay.media_address import PORT, Unfetched, is_public, parsed

MAX_BYTES = 20_000_000
SECONDS = 10.0
MAX_REDIRECTS = 3
# Fetches of a process at a time: each may hold MAX_BYTES.
AT_ONCE = 8
# Larger files are written as base64 in a thread: it takes the event loop too long.
_IN_THREAD = 256 * 1024
_MOVED = frozenset({301, 302, 303, 307, 308})
_ACCEPT = b"image/*, application/pdf, text/*, */*;q=0.5"
_NOWHERE = "its host has no public address"

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
        found = await asyncio.get_running_loop().getaddrinfo(host, PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


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
        seconds: float = SECONDS,
    ) -> None:
        self._resolve, self._permits = resolve, permits
        self._context = context
        self._port, self._seconds = port, seconds
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, url: str, most: int = MAX_BYTES) -> Fetched:
        """The file at a URL, of at most `most` bytes. Raises Unfetched."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._seconds):
                    content, told = await self._followed(url, most)
            except TimeoutError:
                raise Unfetched(f"its host took longer than {self._seconds:g} s") from None
        if len(content) > _IN_THREAD:
            encoded = await asyncio.to_thread(base64.b64encode, content)
        else:
            encoded = base64.b64encode(content)
        return Fetched(
            data=encoded.decode("ascii"),
            media_type=kind_of(content[:512], told),
            size=len(content),
        )

    async def _followed(self, url: str, most: int) -> tuple[bytes, str]:
        """The bytes at the end of the redirects, and the type that was told."""
        place = parsed(url)
        for _ in range(MAX_REDIRECTS + 1):
            connection = await self._connected(place)
            try:
                headers = await _asked(connection, place)
                if connection.status in _MOVED and "location" in headers:
                    place = _moved(place, headers["location"])
                    continue
                if connection.status != 200:
                    raise Unfetched(f"its host answered with status {connection.status}")
                told = headers.get("content-type", "").partition(";")[0].strip().lower()
                return await _body(connection, headers, most), told
            except httpx.TransportError:
                raise Unfetched("its host broke off") from None
            finally:
                connection.abort()
        raise Unfetched(f"it is redirected more than {MAX_REDIRECTS} times")

    async def _connected(self, place: httpx.URL) -> Connection:
        """A connection to one of the host's addresses, all of which are permitted."""
        addresses = await self._resolve(place.host)
        if not addresses or not all(self._permits(address) for address in addresses):
            raise Unfetched(_NOWHERE)
        loop = asyncio.get_running_loop()
        for address in addresses[:4]:
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(loop),
                    address,
                    self._port,
                    ssl=self._trusted(),
                    server_hostname=place.raw_host.decode("ascii"),
                )
            except (OSError, ssl.SSLError):
                continue
            return connection
        raise Unfetched("its host can not be reached over TLS")

    def _trusted(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=certifi.where())
        return self._context


def kind_of(head: bytes, told: str) -> str:
    """The media type of a file by its first bytes, else as told; empty where unknown.

    Words that are called a picture are words: an error page under a picture's name.
    """
    shown = sniffed_bytes(head)
    if shown is not None:
        return shown
    words = _is_text(head)
    if words and not told.startswith("text/"):
        return "text/plain"
    if not words and told.startswith("text/"):
        return ""
    return "" if told == "application/octet-stream" else told


def _is_text(head: bytes) -> bool:
    """Whether the beginning of a file is UTF-8; its last character may be cut."""
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) - error.start < 4 and error.reason == "unexpected end of data"
    return bool(head)


def _moved(place: httpx.URL, to: str) -> httpx.URL:
    try:
        return parsed(str(place.join(to)))
    except (httpx.InvalidURL, ValueError):
        raise Unfetched("it is redirected to no URL") from None


async def _asked(connection: Connection, place: httpx.URL) -> dict[str, str]:
    """Send the request; the answer's headers by lower-case name."""
    lines = (
        b"GET " + place.raw_path + b" HTTP/1.1",
        b"host: " + place.netloc,
        b"accept: " + _ACCEPT,
        b"accept-encoding: identity",
        b"user-agent: dragoman",
        b"connection: close",
    )
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise Unfetched("its URL holds a line break")
    connection.send(b"\r\n".join(lines) + b"\r\n\r\n", b"")
    await connection.wait_head()
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in connection.headers}


async def _body(connection: Connection, headers: dict[str, str], most: int) -> bytes:
    if headers.get("content-encoding", "identity") not in {"", "identity"}:
        raise Unfetched("its host sends it compressed only")
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > most:
        raise Unfetched(_too_large(most))
    parts, size = [], 0
    while data := await connection.read():
        parts.append(data)
        size += len(data)
        if size > most:
            raise Unfetched(_too_large(most))
    if not size:
        raise Unfetched("it is empty")
    return b"".join(parts)


def _too_large(most: int) -> str:
    return f"it is larger than {most} bytes" if most < MAX_BYTES else "it is larger than 20 MB"
