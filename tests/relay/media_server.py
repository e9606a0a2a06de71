"""A TLS server on loopback with its own certificate authority, and a fetcher that trusts it."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.relay.upstream.media_fetch import Fetcher

HOSTS = ("media.example", "other.example")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
Write = Callable[[bytes], Awaitable[None]]
Page = bytes | Callable[[Write], Awaitable[None]]


def http_response(body: bytes, kind: str = "image/png", status: int = 200, **headers: str) -> bytes:
    """Return a whole HTTP response."""
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}"]
    lines += [f"content-type: {kind}"] if kind else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def redirect(location: str, status: int = 302) -> bytes:
    """Return a redirect."""
    return http_response(b"", "", status, location=location)


class MediaServer:
    """A server of pages by path, which records the requests it receives."""

    def __init__(self, folder: Path, **pages: Page) -> None:
        self.pages = pages
        self.request_heads: list[str] = []
        self.looked_up: list[str] = []
        self.names: dict[str, list[str]] = {host: ["127.0.0.1"] for host in HOSTS}
        self.permitted = {"127.0.0.1"}
        self.port = 0
        self._certificate, self._key, self.authority = _make_certificate(folder)

    async def lookup(self, host: str) -> list[str]:
        """Return a host's addresses as the test sets them; of a list of lists, one per lookup."""
        self.looked_up.append(host)
        addresses: Any = self.names.get(host, [])
        if addresses and isinstance(addresses[0], list):
            return addresses.pop(0) if len(addresses) > 1 else addresses[0]
        return addresses

    def fetcher(self, **changes: Any) -> Fetcher:
        """Return a fetcher that reaches this server by its host names."""
        trust = ssl.create_default_context(cafile=str(self.authority))
        fields = {"resolve": self.lookup, "permits": self.permitted.__contains__, "context": trust}
        return Fetcher(**{**fields, "port": self.port, **changes})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection with one response."""

        async def write(data: bytes) -> None:
            if writer.is_closing():
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)

        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.request_heads.append(head)
            page = self.pages.get(
                head.split()[1].partition("?")[0].lstrip("/"), http_response(b"", "", 404)
            )
            await (write(page) if isinstance(page, bytes) else page(write))
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    def context(self) -> ssl.SSLContext:
        """Return the server's TLS context."""
        ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ssl_context.load_cert_chain(self._certificate, self._key)
        return ssl_context


@asynccontextmanager
async def media(folder: Path, **pages: Page) -> AsyncIterator[MediaServer]:
    """Run the server."""
    site = MediaServer(folder, **pages)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=site.context())
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()


def _make_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Create a self-signed certificate for the hosts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTS[0])])
    now = dt.datetime.now(dt.UTC)
    created_certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(created_certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, secret, certificate
