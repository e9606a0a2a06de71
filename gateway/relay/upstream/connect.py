"""Opens connections to upstreams: directly or through a proxy, with or without TLS.

A proxy for an `https` upstream is asked for a tunnel (CONNECT, RFC 9110 section 9.3.6), a SOCKS5
proxy (RFC 1928, RFC 1929) always. Requests to `http` upstreams are sent to the proxy itself, with
the whole URL in the request line (`absolute_head`): many permit CONNECT for TLS only.

Errors say what failed and contain neither addresses nor credentials: clients see them.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from gateway.providers.network import (
    DIRECT,
    EnvironmentProxies,
    Network,
    Proxy,
    environment_proxies,
    parse_proxy,
)
from gateway.relay.upstream.addresses import open_connection
from gateway.relay.upstream.tls import create_context, describe_tls_failure

Origin = tuple[bytes, bytes, int | None]
ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)

# Maximum size of a proxy's response to CONNECT.
MAX_HEAD_BYTES = 64 * 1024
PROXY_AUTH_REQUIRED = 407
_NEEDS_CREDENTIALS = "the proxy requires a user name and password (HTTP 407)"
_REFUSES_CREDENTIALS = "the proxy rejects the user name and password (HTTP 407)"


class Connector:
    """Opens connections with the settings of one provider; None for those of the process."""

    def __init__(
        self, network: Network | None = None, *, context: ssl.SSLContext | None = None
    ) -> None:
        self._network = network
        self._context = context
        self._proxy_context: ssl.SSLContext | None = None
        proxy = network.proxy.reveal() if network is not None else ""
        self._proxy = parse_proxy(proxy) if proxy not in {"", DIRECT} else None
        self._environment = EnvironmentProxies({}, ()) if proxy else environment_proxies(os.environ)
        self._proxies: dict[Origin, Proxy | None] = {}
        # Whether any upstream may be reached through a proxy.
        self.has_proxy = self._proxy is not None or bool(self._environment.by_scheme)

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy for an upstream; None for a direct connection."""
        if self._proxy is not None:
            return self._proxy
        if origin not in self._proxies:
            scheme, host, port = origin
            url = self._environment.select(
                scheme.decode("ascii"), host.decode("ascii"), port or _default_port(scheme)
            )
            self._proxies[origin] = parse_proxy(url) if url else None
        return self._proxies[origin]

    def absolute_head(self, head: bytes, origin: Origin) -> bytes:
        """The head of a request as its next hop reads it: a proxy of `http` gets the whole URL."""
        if origin[0] != b"http":
            return head
        proxy = self.proxy_for(origin)
        if proxy is None or proxy.scheme.startswith("socks"):
            return head
        method, _, request_target = head.partition(b" ")
        line, _, lines = request_target.partition(b"\r\n")
        parts = (method, b" http://", _encode_authority(origin), line, b"\r\n")
        return b"".join((*parts, _proxy_authorization(proxy), lines))

    def check_status(self, status: int, origin: Origin) -> None:
        """Raises httpx.ProxyError if a response with this status is the proxy's own refusal."""
        if status == PROXY_AUTH_REQUIRED and origin[0] == b"http":
            proxy = self.proxy_for(origin)
            if proxy is not None:
                raise httpx.ProxyError(
                    _REFUSES_CREDENTIALS if proxy.username else _NEEDS_CREDENTIALS
                )

    async def open(
        self, origin: Origin, protocol: Callable[[], ProtocolT], connect_s: float
    ) -> ProtocolT:
        """A connection to the upstream, ready for a request.

        Raises httpx.ConnectError, httpx.ConnectTimeout or httpx.ProxyError.
        """
        proxy = self.proxy_for(origin) if self.has_proxy else None
        try:
            async with asyncio.timeout(connect_s):
                if proxy is None:
                    return await self._open_direct(origin, protocol)
                return await self._open_through_proxy(proxy, origin, protocol)
        except TimeoutError as error:
            peer = "upstream" if proxy is None else "proxy"
            raise httpx.ConnectTimeout(f"the {peer} did not accept a connection") from error
        except OSError as error:
            raise _connect_error("upstream", error) from error

    async def _open_direct(self, origin: Origin, protocol: Callable[[], ProtocolT]) -> ProtocolT:
        scheme, host, port = origin
        secure = scheme == b"https"
        name = host.decode("ascii")
        _, connection = await open_connection(
            protocol,
            name,
            port or _default_port(scheme),
            self._tls_context() if secure else None,
        )
        return connection

    async def _open_through_proxy(
        self, proxy: Proxy, origin: Origin, protocol: Callable[[], ProtocolT]
    ) -> ProtocolT:
        loop = asyncio.get_running_loop()
        # Not a StreamWriter, which closes its transport when it is collected.
        reader = asyncio.StreamReader(MAX_HEAD_BYTES, loop)
        try:
            transport, _ = await open_connection(
                lambda: asyncio.StreamReaderProtocol(reader, loop=loop),
                proxy.host,
                proxy.port,
                self._proxy_tls() if proxy.scheme == "https" else None,
            )
        except OSError as error:
            raise _connect_error("proxy", error) from error
        try:
            if proxy.scheme.startswith("socks"):
                await _request_socks_tunnel(reader, transport, proxy, origin)
            elif origin[0] == b"https":
                await _request_tunnel(reader, transport, proxy, origin)
            return await self._start_protocol(transport, origin, protocol())
        except (EOFError, ConnectionError, asyncio.LimitOverrunError) as error:
            transport.abort()
            raise httpx.ProxyError("the proxy closed the connection") from error
        except BaseException:
            transport.abort()
            raise

    async def _start_protocol(
        self, transport: asyncio.Transport, origin: Origin, connection: ProtocolT
    ) -> ProtocolT:
        """Hand an open socket to the protocol; over TLS for an `https` upstream."""
        if origin[0] == b"https":
            tls_transport = await asyncio.get_running_loop().start_tls(
                transport,
                connection,
                self._tls_context(),
                server_hostname=origin[1].decode("ascii"),
            )
            if tls_transport is None:
                raise ConnectionResetError
            connection.connection_made(tls_transport)
        else:
            transport.set_protocol(connection)
            connection.connection_made(transport)
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = create_context(self._network)
        return self._context

    def _proxy_tls(self) -> ssl.SSLContext:
        """The context for TLS to the proxy itself, which never gets the client certificate."""
        if self._proxy_context is None:
            authorities = self._network.ca_certificates if self._network is not None else ""
            self._proxy_context = create_context(Network(ca_certificates=authorities))
        return self._proxy_context


def _default_port(scheme: bytes) -> int:
    return 443 if scheme == b"https" else 80


def _encode_authority(origin: Origin, *, include_port: bool = False) -> bytes:
    scheme, host, port = origin
    encoded_host = b"[" + host + b"]" if b":" in host else host
    if port is None and not include_port:
        return encoded_host
    return b"%b:%d" % (encoded_host, port or _default_port(scheme))


def _proxy_authorization(proxy: Proxy) -> bytes:
    if not proxy.username:
        return b""
    pair = f"{proxy.username}:{proxy.password.reveal()}".encode()
    return b"proxy-authorization: Basic " + base64.b64encode(pair) + b"\r\n"


async def _request_tunnel(
    reader: asyncio.StreamReader, transport: asyncio.Transport, proxy: Proxy, origin: Origin
) -> None:
    """Ask an HTTP proxy for a tunnel. Raises httpx.ProxyError."""
    authority = _encode_authority(origin, include_port=True)
    lines = (b"CONNECT ", authority, b" HTTP/1.1\r\nhost: ", authority, b"\r\n")
    transport.write(b"".join((*lines, _proxy_authorization(proxy), b"\r\n")))
    head = await reader.readuntil(b"\r\n\r\n")
    match = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    if match is None:
        raise httpx.ProxyError("the proxy's answer is not HTTP")
    status = int(match[1])
    if status == PROXY_AUTH_REQUIRED:
        raise httpx.ProxyError(_REFUSES_CREDENTIALS if proxy.username else _NEEDS_CREDENTIALS)
    if status in {401, 403, 405}:
        raise httpx.ProxyError(
            f"the proxy does not permit connections to this host (HTTP {status})"
        )
    if not 200 <= status < 300:
        raise httpx.ProxyError(f"the proxy could not connect to the upstream (HTTP {status})")


# RFC 1928 section 6.
_SOCKS_REPLIES = {
    2: "the proxy does not permit connections to this host",
    3: "the proxy has no route to the upstream's network",
    4: "the proxy could not reach the upstream's host, or resolve its name",
    5: "the upstream rejected the proxy's connection",
    6: "the proxy's connection to the upstream timed out",
    8: "the proxy does not support this type of address",
}


async def _request_socks_tunnel(
    reader: asyncio.StreamReader, transport: asyncio.Transport, proxy: Proxy, origin: Origin
) -> None:
    """Ask a SOCKS5 proxy for a tunnel; the proxy resolves the name. Raises httpx.ProxyError."""
    from socksio import exceptions, socks5

    method = (
        socks5.SOCKS5AuthMethod.USERNAME_PASSWORD
        if proxy.username
        else socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED
    )
    socks = socks5.SOCKS5Connection()
    try:
        socks.send(socks5.SOCKS5AuthMethodsRequest([method]))
        transport.write(socks.data_to_send())
        choice: Any = socks.receive_data(await reader.readexactly(2))
        if choice.method != method:
            raise httpx.ProxyError(
                "the proxy rejects the user name and password"
                if proxy.username
                else "the proxy requires a user name and password"
            )
        if proxy.username:
            password = proxy.password.reveal().encode()
            socks.send(socks5.SOCKS5UsernamePasswordRequest(proxy.username.encode(), password))
            transport.write(socks.data_to_send())
            verdict: Any = socks.receive_data(await reader.readexactly(2))
            if not verdict.success:
                raise httpx.ProxyError("the proxy rejects the user name and password")
        address = (origin[1], origin[2] or _default_port(origin[0]))
        command = socks5.SOCKS5Command.CONNECT
        socks.send(socks5.SOCKS5CommandRequest.from_address(command, address))
        transport.write(socks.data_to_send())
        # The reply ends with the proxy's own address, whose length depends on its type.
        reply = await reader.readexactly(5)
        size = {1: 4, 3: 1 + reply[4], 4: 16}.get(reply[3], 1)
        await reader.readexactly(size + 2 - 1)
    except exceptions.ProtocolError as error:
        raise httpx.ProxyError("the proxy's answer is not SOCKS5") from error
    if reply[0] != 5:
        raise httpx.ProxyError("the proxy's answer is not SOCKS5")
    if reply[1] != 0:
        raise httpx.ProxyError(
            _SOCKS_REPLIES.get(reply[1], f"the proxy could not connect (SOCKS reply {reply[1]})")
        )


_ERRNOS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "the connection was reset",
    errno.EHOSTUNREACH: "there is no route to its host",
    errno.ENETUNREACH: "there is no route to its network",
    errno.ETIMEDOUT: "it does not answer",
    errno.EMFILE: "this process has too many open files",
    errno.EACCES: "this system does not permit the connection",
    errno.EPERM: "this system does not permit the connection",
}
# asyncio's and uvloop's error for a host with several addresses, none of which answered.
_ERRNO = re.compile(r"\[Errno (\d+)\]")


def _connect_error(peer: str, error: Exception) -> httpx.TransportError:
    """The error for a connection to `peer` ("upstream", "proxy") that could not be opened."""
    error_class = httpx.ConnectError if peer == "upstream" else httpx.ProxyError
    return error_class(f"the {peer} could not be reached: {describe_connect_failure(error)}")


def describe_connect_failure(error: Exception) -> str:
    """Why no connection was opened, as the end of a sentence about the server."""
    if isinstance(error, ssl.SSLError):
        return describe_tls_failure(error)
    if isinstance(error, socket.gaierror):
        return "its host name cannot be resolved"
    error_number = getattr(error, "errno", None)
    if error_number is None and (match := _ERRNO.search(str(error))):
        error_number = int(match[1])
    return _ERRNOS.get(error_number or 0, "the connection was closed")
