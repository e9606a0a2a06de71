"""Upstream connections through real proxies, and over TLS with a private authority."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.canon.errors import GatewayError
from gateway.providers.network import Network
from gateway.providers.profile import Secret
from gateway.relay.upstream.client import UpstreamResponse, Upstreams
from tests.certificates import CertificateAuthority, IssuedCertificate, self_signed
from tests.ports import free_port
from tests.proxies import PASSWORD, USER, Tinyproxy, socks_proxy, tinyproxy
from tests.servers import listening_port
from tests.waits import wait_until_async

BODY = b'{"model":"m"}'


class Upstream:
    """A server that responds with the request's head; `/stream` sends without end."""

    def __init__(self, scheme: str, port: int) -> None:
        self.scheme, self.port = scheme, port
        self.heads: list[bytes] = []
        self.connections = 0
        self.left = 0

    def url(self, path: str = "/v1/chat", host: str = "127.0.0.1") -> httpx.URL:
        return httpx.URL(f"{self.scheme}://{host}:{self.port}{path}")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(BODY))
            self.heads.append(head)
            if b"/stream" in head:
                await self._drip(reader, writer)
                return
            length = b"content-length: %d\r\n\r\n" % len(head)
            writer.write(b"HTTP/1.1 200 OK\r\n" + length + head)
            await writer.drain()

    async def _drip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfrom\r\n")
        await writer.drain()
        await reader.read(1)
        self.left += 1


@asynccontextmanager
async def upstream(
    folder: Path, issued: IssuedCertificate | None = None, *, client_ca: str = ""
) -> AsyncIterator[Upstream]:
    context = issued.server_context(folder, client_ca=client_ca) if issued else None
    server = Upstream("http" if context is None else "https", 0)
    async with listening_port(server.serve, context=context) as server.port:
        yield server


@asynccontextmanager
async def upstreams() -> AsyncIterator[Upstreams]:
    created = Upstreams()
    try:
        yield created
    finally:
        await created.close()


async def send(
    client: Upstreams, url: httpx.URL, network: Network | None, *, connect_s: float = 10.0
) -> UpstreamResponse:
    headers = httpx.Headers({"host": url.netloc.decode(), "authorization": "Bearer upstream-key"})
    return await client.send("POST", url, headers, BODY, connect_s, network=network)


async def head_of(client: Upstreams, url: httpx.URL, network: Network | None) -> bytes:
    """Return the head that the upstream received."""
    response = await send(client, url, network)
    try:
        return await response.read_all()
    finally:
        await response.close()


async def failure(url: httpx.URL, network: Network | None = None) -> str:
    """Return the reason of a failed request."""
    async with upstreams() as client:
        with pytest.raises(GatewayError) as error:
            await (await send(client, url, network)).read_all()
    assert error.value.error.kind == "upstream_error"
    assert "127.0.0.1" not in error.value.error.message
    assert PASSWORD not in error.value.error.message
    return error.value.error.message


def network_with_proxy(proxy: str, **settings: str) -> Network:
    return Network(proxy=Secret(proxy), **settings)  # type: ignore[arg-type]


@pytest.fixture
def authority() -> CertificateAuthority:
    return CertificateAuthority()


@pytest.fixture
def proxy(tmp_path: Path) -> Tinyproxy:  # type: ignore[misc]
    with tinyproxy(tmp_path) as running:
        yield running  # type: ignore[misc]


@pytest.fixture
def strict_proxy(tmp_path: Path) -> Tinyproxy:  # type: ignore[misc]
    with tinyproxy(tmp_path, auth=True) as running:
        yield running  # type: ignore[misc]


async def test_https_uses_a_tunnel_that_is_reused(
    proxy: Tinyproxy, authority: CertificateAuthority, tmp_path: Path
) -> None:
    network = network_with_proxy(proxy.url, ca_certificates=authority.pem)
    async with upstream(tmp_path, authority.issue()) as server, upstreams() as client:
        first = await head_of(client, server.url(), network)
        assert first.startswith(b"POST /v1/chat HTTP/1.1\r\n")
        assert await head_of(client, server.url(), network) == first
        assert server.connections == 1
    requests = proxy.lines()
    assert len(requests) == 1
    assert f"CONNECT 127.0.0.1:{server.port} HTTP/1.1" in requests[0]


async def test_plain_http_is_proxied_with_the_absolute_url(
    strict_proxy: Tinyproxy, tmp_path: Path
) -> None:
    network = network_with_proxy(strict_proxy.url_with_credentials)
    async with upstream(tmp_path) as server, upstreams() as client:
        head = await head_of(client, server.url(), network)
    assert f"POST http://127.0.0.1:{server.port}/v1/chat HTTP/1.1" in strict_proxy.lines()[0]
    assert b"Bearer upstream-key" in head
    assert b"proxy-authorization" not in head.lower()


async def test_credentials_open_a_tunnel(
    strict_proxy: Tinyproxy, authority: CertificateAuthority, tmp_path: Path
) -> None:
    network = network_with_proxy(strict_proxy.url_with_credentials, ca_certificates=authority.pem)
    async with upstream(tmp_path, authority.issue()) as server, upstreams() as client:
        head = await head_of(client, server.url(), network)
    assert b"proxy-authorization" not in head.lower()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_error_names_a_proxy_that_requires_credentials(
    strict_proxy: Tinyproxy, scheme: str
) -> None:
    url = httpx.URL(f"{scheme}://127.0.0.1:{free_port()}/")
    reason = "the proxy requires a user name and password (HTTP 407)"
    assert await failure(url, network_with_proxy(strict_proxy.url)) == reason


async def test_credentials_that_the_proxy_refuses_are_not_shown(strict_proxy: Tinyproxy) -> None:
    wrong_url = f"http://{USER}:wrongPassword@127.0.0.1:{strict_proxy.port}"
    message = await failure(httpx.URL("https://provider.test/"), network_with_proxy(wrong_url))
    # tinyproxy answers wrong credentials with 401.
    assert message == "the proxy does not permit connections to this host (HTTP 401)"


async def test_a_host_that_the_proxy_does_not_permit_is_named(tmp_path: Path) -> None:
    with tinyproxy(tmp_path, refused_host="forbidden") as running:
        message = await failure(
            httpx.URL("https://forbidden.test/"), network_with_proxy(running.url)
        )
    assert message == "the proxy does not permit connections to this host (HTTP 403)"


async def test_an_upstream_behind_the_proxy_that_is_down_is_named(proxy: Tinyproxy) -> None:
    message = await failure(
        httpx.URL(f"https://127.0.0.1:{free_port()}/"), network_with_proxy(proxy.url)
    )
    assert message == "the proxy could not connect to the upstream (HTTP 500)"


async def test_a_proxy_that_is_down_is_named() -> None:
    url = httpx.URL("https://provider.test/")
    down = f"http://{USER}:{PASSWORD}@127.0.0.1:{free_port()}"
    assert await failure(url, network_with_proxy(down)) == (
        "the proxy could not be reached: connection refused"
    )
    assert await failure(url, network_with_proxy("http://proxy.invalid:3128")) == (
        "the proxy could not be reached: its host name cannot be resolved"
    )


async def test_a_client_that_disconnects_ends_the_stream_behind_the_proxy(
    proxy: Tinyproxy, authority: CertificateAuthority, tmp_path: Path
) -> None:
    network = network_with_proxy(proxy.url, ca_certificates=authority.pem)
    async with upstream(tmp_path, authority.issue()) as server, upstreams() as client:
        response = await send(client, server.url("/stream"), network)
        assert await response.read() == b"from"
        await response.close()
        await wait_until_async(lambda: server.left == 1)


async def test_a_cancelled_handshake_leaves_no_connection_to_the_proxy() -> None:
    """A proxy that accepts and never responds: the connect timeout ends the attempt."""
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read(1)
        ended.set()

    async with listening_port(silent) as port, upstreams() as client:
        with pytest.raises(GatewayError, match="the proxy did not accept") as error:
            network = network_with_proxy(f"http://127.0.0.1:{port}")
            await send(client, httpx.URL("https://provider.test/"), network, connect_s=0.2)
        assert error.value.error.kind == "timeout"
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_socks_proxy_resolves_the_name(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    names = {"provider.test": "127.0.0.1"}
    async with (
        socks_proxy(auth=True, names=names) as socks,
        upstream(tmp_path, authority.issue("provider.test")) as server,
        upstreams() as client,
    ):
        url = f"socks5://{USER}:{PASSWORD}@127.0.0.1:{socks.port}"
        network = network_with_proxy(url, ca_certificates=authority.pem)
        await head_of(client, server.url(host="provider.test"), network)
        await head_of(client, server.url(host="provider.test"), network)
        assert socks.requests == [(3, "provider.test", server.port)]
        assert socks.open_tunnels == 1


async def test_plain_http_uses_a_socks_proxy_and_closes_with_its_client(
    tmp_path: Path,
) -> None:
    async with socks_proxy() as socks, upstream(tmp_path) as server, upstreams() as client:
        response = await send(
            client, server.url("/stream"), network_with_proxy(f"socks5h://127.0.0.1:{socks.port}")
        )
        assert await response.read() == b"from"
        assert server.heads[0].startswith(b"POST /stream HTTP/1.1")
        assert socks.requests == [(1, "127.0.0.1", server.port)]
        await response.close()
        await wait_until_async(lambda: server.left == 1 and socks.open_tunnels == 0)


@pytest.mark.parametrize(
    ("auth", "reply", "userinfo", "reason"),
    [
        (True, 0, "", "the proxy requires a user name and password"),
        (True, 0, "relay:wrong@", "the proxy rejects the user name and password"),
        (False, 2, "", "the proxy does not permit connections to this host"),
        (False, 5, "", "the upstream rejected the proxy's connection"),
        (False, 99, "", "the proxy could not connect (SOCKS reply 99)"),
    ],
    ids=["no-credentials", "wrong-credentials", "forbidden", "refused", "unknown"],
)
async def test_a_socks_refusal_is_reported(
    auth: bool, reply: int, userinfo: str, reason: str
) -> None:
    async with socks_proxy(auth=auth, reply=reply) as socks:
        url = f"socks5://{userinfo}127.0.0.1:{socks.port}"
        assert await failure(httpx.URL("https://provider.test/"), network_with_proxy(url)) == reason


async def test_a_proxy_over_tls_carries_tls(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    """TLS to the proxy, and TLS to the provider inside it."""
    opened: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        opened.append(head)
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    (tmp_path / "proxy").mkdir()
    context = authority.issue().server_context(tmp_path / "proxy")
    async with (
        listening_port(serve, context=context) as port,
        upstream(tmp_path, authority.issue()) as server,
        upstreams() as client,
    ):
        network = network_with_proxy(f"https://127.0.0.1:{port}", ca_certificates=authority.pem)
        head = await head_of(client, server.url(), network)
    assert head.startswith(b"POST /v1/chat HTTP/1.1")
    assert opened[0].startswith(b"CONNECT 127.0.0.1:")


async def test_the_environment_names_a_proxy_and_hosts_without(
    proxy: Tinyproxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
    # 0.0.0.0 is this machine too, and no loopback address by name.
    async with upstream(tmp_path) as server, upstreams() as client:
        await head_of(client, server.url(host="0.0.0.0"), None)
        assert len(proxy.lines()) == 1
        await head_of(client, server.url(), None)  # loopback
        await head_of(client, server.url(host="0.0.0.0"), network_with_proxy("direct"))
        assert len(proxy.lines()) == 1
    monkeypatch.setenv("NO_PROXY", "0.0.0.0/32")
    async with upstream(tmp_path) as server, upstreams() as client:
        await head_of(client, server.url(host="0.0.0.0"), None)
    assert len(proxy.lines()) == 1


async def test_changed_settings_get_new_connections(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    async with upstream(tmp_path, authority.issue()) as server, upstreams() as client:
        trusting = Network(ca_certificates=authority.pem)
        await head_of(client, server.url(), trusting)
        # An equal value of another snapshot goes on with the same connection.
        await head_of(client, server.url(), Network(ca_certificates=str(authority.pem)))
        assert server.connections == 1
        await head_of(client, server.url(), Network(ssl_verify=False))
        assert server.connections == 2
        client.retire_unused({None})
        await head_of(client, server.url(), trusting)
        assert server.connections == 3
        with pytest.raises(GatewayError, match="not trusted"):
            await send(client, server.url(), None)


def _expired(authority: CertificateAuthority) -> IssuedCertificate:
    return authority.issue(valid_days=-3)


def _for_another_host(authority: CertificateAuthority) -> IssuedCertificate:
    return authority.issue("other.test")


def _of_another_authority(_: CertificateAuthority) -> IssuedCertificate:
    return CertificateAuthority("Other").issue()


def _self_signed(_: CertificateAuthority) -> IssuedCertificate:
    return self_signed()


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (_expired, "its certificate has expired"),
        (_for_another_host, "its certificate is for another address"),
        (_of_another_authority, "its certificate is from an authority that is not trusted"),
        (_self_signed, "its certificate is self-signed"),
    ],
)
async def test_why_tls_failed_is_named(
    authority: CertificateAuthority, tmp_path: Path, issue: type, reason: str
) -> None:
    trusting = Network(ca_certificates=authority.pem)
    async with upstream(tmp_path, issue(authority)) as server, upstreams() as client:
        message = await failure(server.url(), trusting)
        assert message == f"the upstream could not be reached: TLS failed: {reason}"
        await head_of(client, server.url(), Network(ssl_verify=False))


async def test_a_plain_server_is_no_tls_server() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with listening_port(serve) as port:
        message = await failure(httpx.URL(f"https://127.0.0.1:{port}/"))
    assert message.endswith("TLS failed: it does not speak TLS on this port")


async def test_a_client_certificate_is_shown_to_a_server_that_requires_one(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    client_issued = authority.issue("gateway")
    requiring = {"client_ca": authority.pem}
    network = Network(
        ca_certificates=authority.pem,
        client_certificate=client_issued.certificate,
        client_key=Secret(client_issued.key),
    )
    async with upstream(tmp_path, authority.issue(), **requiring) as server, upstreams() as client:
        await head_of(client, server.url(), network)


async def test_a_missing_client_certificate_is_named(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    """In TLS 1.3 the server reports it after the handshake, in response to the request."""
    context = authority.issue().server_context(tmp_path, client_ca=authority.pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            # Not asyncio's server, which closes without the alert.
            with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
                context.wrap_socket(connection.dup(), server_side=True)
            # Closing with the request unread would send a reset, and the client lose the alert.
            while connection.recv(65536):
                pass

    server_task = asyncio.create_task(asyncio.to_thread(serve))
    url = httpx.URL(f"https://127.0.0.1:{listener.getsockname()[1]}/")
    message = await failure(url, Network(ca_certificates=authority.pem))
    await server_task
    listener.close()
    assert message.endswith("TLS failed: it requires a client certificate")


async def test_a_name_that_does_not_resolve_and_a_closed_port_are_named() -> None:
    assert await failure(httpx.URL("https://provider.invalid/")) == (
        "the upstream could not be reached: its host name cannot be resolved"
    )
    for host in ("127.0.0.1", "localhost"):
        assert await failure(httpx.URL(f"http://{host}:{free_port()}/")) == (
            "the upstream could not be reached: connection refused"
        )


def give_addresses(monkeypatch: pytest.MonkeyPatch, host: str, *addresses: str) -> None:
    """Have this host name resolve to these addresses."""
    resolve = socket.getaddrinfo

    def getaddrinfo(name: str, port: int, *args: int, **options: int) -> list[Any]:
        names = addresses if name == host else [name]
        return [row for each in names for row in resolve(each, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@contextmanager
def silent_address(host: str, port: int) -> Iterator[None]:
    """Listen at an address that answers no connection, because its queue is full."""
    with ExitStack() as sockets, socket.socket() as listener:
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            connection = sockets.enter_context(socket.socket())
            connection.settimeout(0)
            connection.connect_ex((host, port))
        yield


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_address_that_does_not_answer_is_passed_over(
    tmp_path: Path, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    give_addresses(monkeypatch, "two.test", "127.0.0.2", "127.0.0.3", "127.0.0.1")
    issued = authority.issue("two.test") if tls else None
    network = Network(ca_certificates=authority.pem)
    async with upstream(tmp_path, issued) as server, upstreams() as client:
        with silent_address("127.0.0.2", server.port), silent_address("127.0.0.3", server.port):
            url = server.url(host="two.test")
            response = await send(client, url, network, connect_s=5.0)
            assert b"host: two.test" in await response.read_all()
            await response.close()


async def test_the_reason_names_why_no_address_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    give_addresses(monkeypatch, "two.test", "127.0.0.2", "127.0.0.1")
    assert await failure(httpx.URL(f"http://two.test:{free_port()}/")) == (
        "the upstream could not be reached: connection refused"
    )


async def test_the_environment_names_the_authorities(
    authority: CertificateAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "authorities.pem"
    path.write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with upstream(tmp_path, authority.issue()) as server, upstreams() as client:
        await head_of(client, server.url(), None)
    assert ssl.create_default_context(cafile=str(path)).cert_store_stats()["x509_ca"] == 1
