"""Fetches one file from the public internet, bounded in bytes and time.

A client chooses the URL, so it must not reach anything that the client could not reach itself:
not this machine, not its network, not a cloud's metadata service. The host's addresses
are resolved once; if one of them is not public, none is used. The connection goes to the
address that was checked, so a name that resolves differently a moment later has no effect.
Each redirect is checked like a new URL. No cookies, no credentials, no reused connections.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import certifi
import httpx
import msgspec

from gateway.canon.media import sniff_bytes
from gateway.relay.upstream.http1 import Connection

# --- allowed addresses ------------------------------------------------------------------

PORT = 443
MAX_URL_CHARS = 8192

# Blocks that are not the public internet, though they may be routed; with their names in the
# registries (iana.org/assignments/iana-ipv4-special-registry and its IPv6 counterpart).
_PRIVATE_4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared by carriers (CGNAT); Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform service, inside its networks only
        "169.254.0.0/16",  # link-local; most clouds' metadata services
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunneling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private use
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Only this part of IPv6 is public: the rest is unspecified, loopback, embedded IPv4
# (mapped, translated by NAT64), local, link-local (Amazon's fd00:ec2::254 too) or multicast.
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_PRIVATE_6 = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: embeds an arbitrary IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the old test network
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in block for block in _PRIVATE_4)
    if ip.scope_id is not None or ip not in _PUBLIC_6:
        return False
    return not any(ip in block for block in _PRIVATE_6)


class MediaFetchError(Exception):
    """Media was not fetched; the message is for the client and contains no address."""


def parse_media_url(url: str) -> httpx.URL:
    """The URL, if it may be fetched. Raises MediaFetchError with the reason if not."""
    if len(url) > MAX_URL_CHARS:
        raise MediaFetchError(f"its URL is longer than {MAX_URL_CHARS} characters")
    try:
        parsed_url = httpx.URL(url)
        host, port = parsed_url.raw_host, parsed_url.port
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise MediaFetchError("its URL cannot be parsed") from None
    if parsed_url.scheme != "https":
        raise MediaFetchError("its URL must begin with https://")
    if not host:
        raise MediaFetchError("its URL has no host")
    if parsed_url.userinfo:
        raise MediaFetchError("its URL must not contain a user name or password")
    if port not in (None, PORT):
        raise MediaFetchError(f"its URL must not use a port other than {PORT}")
    return parsed_url


def without_query(url: str) -> str:
    """The URL for a report: its query may be a signature that grants access to the file."""
    return url.partition("#")[0].partition("?")[0][:200]


MAX_BYTES = 20_000_000
TIMEOUT_S = 10.0
MAX_REDIRECTS = 3
# Maximum concurrent fetches of a process: each may use MAX_BYTES of memory.
MAX_PARALLEL_FETCHES = 8
# Lookups cannot be cancelled. Those of clients' URLs have their own threads, so that hosts whose
# DNS servers do not answer delay no lookup of a provider's host.
_DNS_THREADS = ThreadPoolExecutor(MAX_PARALLEL_FETCHES, thread_name_prefix="media-dns")
# Larger files are encoded as base64 in a thread, to keep the event loop free.
_ENCODE_IN_THREAD_BYTES = 256 * 1024
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_ACCEPT = b"image/*, application/pdf, text/*, */*;q=0.5"
_NO_PUBLIC_ADDRESS = "its host has no public address"

Resolve = Callable[[str], Awaitable[list[str]]]


class FetchedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A fetched file.

    Attributes:
        data: its bytes in base64.
        media_type: detected from its first bytes, else as declared by the server; may be empty.
        size: its size in bytes.
    """

    data: str
    media_type: str
    size: int


async def addresses_of(host: str) -> list[str]:
    """The addresses of a host; empty if it has none."""
    try:
        results = await asyncio.get_running_loop().run_in_executor(
            _DNS_THREADS, partial(socket.getaddrinfo, host, PORT, type=socket.SOCK_STREAM)
        )
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(socket_address[0]) for *_, socket_address in results))


class Fetcher:
    """Fetches files. The arguments let tests use a server of their own.

    Args:
        resolve: a host -> its addresses.
        permits: whether an address may be contacted.
        context: the trusted certificates; by default those of the usual authorities.
        port: the port of connections; URLs still need port 443.
        seconds: timeout for one file, redirects included.
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

    async def fetch(self, url: str, max_bytes: int = MAX_BYTES) -> FetchedFile:
        """The file at a URL, of at most `max_bytes` bytes. Raises MediaFetchError."""
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_s):
                    content, declared_type = await self._follow_redirects(url, max_bytes)
            except TimeoutError:
                raise MediaFetchError(f"its host took longer than {self._timeout_s:g} s") from None
        if len(content) > _ENCODE_IN_THREAD_BYTES:
            encoded_content = await asyncio.to_thread(base64.b64encode, content)
        else:
            encoded_content = base64.b64encode(content)
        return FetchedFile(
            data=encoded_content.decode("ascii"),
            media_type=detect_media_type(content[:512], declared_type),
            size=len(content),
        )

    async def _follow_redirects(self, url: str, max_bytes: int) -> tuple[bytes, str]:
        """The bytes at the end of the redirects, and the declared type."""
        url_now = parse_media_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            connection = await self._connect(url_now)
            try:
                headers = await _send_request(connection, url_now)
                if connection.status in _REDIRECT_STATUSES and "location" in headers:
                    url_now = _redirect_url(url_now, headers["location"])
                    continue
                if connection.status != 200:
                    raise MediaFetchError(f"its host answered with status {connection.status}")
                declared_type = headers.get("content-type", "").partition(";")[0].strip().lower()
                return await _read_body(connection, headers, max_bytes), declared_type
            except httpx.TransportError:
                raise MediaFetchError("its host sent an incomplete or invalid response") from None
            finally:
                connection.abort()
        raise MediaFetchError(f"it is redirected more than {MAX_REDIRECTS} times")

    async def _connect(self, url: httpx.URL) -> Connection:
        """A connection to one of the host's addresses, all of which are permitted."""
        addresses = await self._resolve(url.host)
        if not addresses or not all(self._is_permitted(address) for address in addresses):
            raise MediaFetchError(_NO_PUBLIC_ADDRESS)
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
        raise MediaFetchError("its host cannot be reached over TLS")

    def _ssl_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=certifi.where())
        return self._context


def detect_media_type(head: bytes, declared_type: str) -> str:
    """The media type of a file by its first bytes, else as declared; empty if unknown.

    Text that is declared as an image is still text: for example, an error page.
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
    """Whether the beginning of a file is UTF-8; its last character may be truncated."""
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
        raise MediaFetchError("it is redirected without a URL") from None


async def _send_request(connection: Connection, url: httpx.URL) -> dict[str, str]:
    """Send the request; return the response headers by lower-case name."""
    request_lines = (
        b"GET " + url.raw_path + b" HTTP/1.1",
        b"host: " + url.netloc,
        b"accept: " + _ACCEPT,
        b"accept-encoding: identity",
        b"user-agent: dragoman",
        b"connection: close",
    )
    if any(b"\r" in line or b"\n" in line for line in request_lines):
        raise MediaFetchError("its URL contains a line break")
    connection.send(b"\r\n".join(request_lines) + b"\r\n\r\n", b"")
    await connection.wait_head()
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in connection.headers}


async def _read_body(connection: Connection, headers: dict[str, str], max_bytes: int) -> bytes:
    if headers.get("content-encoding", "identity") not in {"", "identity"}:
        raise MediaFetchError("its host sends it only compressed")
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes:
        raise MediaFetchError(_too_large(max_bytes))
    parts, size = [], 0
    while data := await connection.read():
        parts.append(data)
        size += len(data)
        if size > max_bytes:
            raise MediaFetchError(_too_large(max_bytes))
    if not size:
        raise MediaFetchError("it is empty")
    return b"".join(parts)


def _too_large(max_bytes: int) -> str:
    return (
        f"it is larger than {max_bytes} bytes"
        if max_bytes < MAX_BYTES
        else "it is larger than 20 MB"
    )
