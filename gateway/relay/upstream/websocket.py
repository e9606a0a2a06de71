"""WebSockets to upstreams, over the same proxies, TLS settings and errors as HTTP requests."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.uri import parse_uri

from gateway.canon.errors import Error, GatewayError
from gateway.relay.upstream.connect import Connector

# Without an answer to a ping for this long, the upstream is gone.
PING_S = 20.0
# How long an upstream may take to confirm the end of a connection.
CLOSE_S = 2.0
# Messages that are buffered before the upstream is no longer read.
MAX_QUEUED_MESSAGES = 16
# Bytes of frames that are parsed at a time, and the time for all slices of a loop iteration, in
# seconds; also for the connections of clients.
SLICE_BYTES = 2048
PARSE_S = 0.005
# Headers of HTTP requests that a handshake does not have, or has itself.
_HTTP_HEADERS = frozenset(
    {"host", "content-type", "content-length", "accept", "accept-encoding", "connection"}
)
_NORMAL, _NO_CODE, _ABNORMAL, _INTERNAL_ERROR = 1000, 1005, 1006, 1011
# At its levels INFO and DEBUG, the library logs headers and messages.
_log = logging.getLogger(__name__)
_log.setLevel(logging.CRITICAL)


class HandshakeRefused(Exception):
    """The upstream answers the handshake with an HTTP response."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.body = body


class SlicedConnection(ClientConnection):
    """A connection that parses what it receives in slices, and serves others in between.

    A recv can contain a hundred thousand tiny frames, which take the parser seconds.
    """

    _unparsed = b""

    def data_received(self, data: bytes) -> None:
        """Parse received data, after the data that is buffered."""
        if self._unparsed:
            self._unparsed += data
            self.transport.pause_reading()
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        deadline = self.loop.time() + PARSE_S
        for end in range(SLICE_BYTES, len(data) + SLICE_BYTES, SLICE_BYTES):
            super().data_received(data[end - SLICE_BYTES : end])
            if end < len(data) and self.loop.time() > deadline:
                self._unparsed = data[end:]
                self.transport.pause_reading()
                self.loop.call_soon(self._parse_buffered)
                return

    def _parse_buffered(self) -> None:
        data, self._unparsed = self._unparsed, b""
        if data:
            self._parse(data)
        if not self._unparsed and not self.recv_messages.paused:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the data that was not parsed."""
        self._unparsed = b""
        super().connection_lost(exc)


class UpstreamWebSocket:
    """An open connection to an upstream."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the upstream's response to the handshake."""
        response = self._connection.response
        return {} if response is None else _lower_case(response.headers)

    @property
    def close_code(self) -> int:
        """The code that ended the connection, as it can be passed on."""
        code = self._connection.close_code
        if code == _NO_CODE:
            return _NORMAL
        return code if code is not None and code != _ABNORMAL else _INTERNAL_ERROR

    @property
    def close_reason(self) -> str:
        """The reason that the upstream gave for the end of the connection."""
        return self._connection.close_reason or ""

    @property
    def broke_off(self) -> bool:
        """Whether the connection ended without a closing message of the upstream."""
        return self._connection.close_code in {None, _ABNORMAL}

    async def receive(self) -> str | bytes | None:
        """The next message; None at the end."""
        try:
            return await self._connection.recv()
        except ConnectionClosed:
            return None

    async def send(self, message: str | bytes) -> bool:
        """Send a message; wait while the upstream does not read. False after the end."""
        try:
            await self._connection.send(message)
        except ConnectionClosed:
            return False
        return True

    async def close(self, code: int = _NORMAL, reason: str = "") -> None:
        """End the connection; wait a short time for the upstream to confirm it."""
        await self._connection.close(code, reason)

    def abort(self) -> None:
        """End the connection at once."""
        self._connection.transport.abort()


async def open_websocket(
    connector: Connector,
    url: httpx.URL,
    headers: httpx.Headers,
    *,
    connect_s: float,
    max_message_bytes: int,
) -> UpstreamWebSocket:
    """A connection to `url` (http or https). Raises HandshakeRefused, GatewayError."""
    origin = url.raw_scheme, url.raw_host, url.port
    if url.scheme not in {"http", "https"}:
        raise _gateway_error("this provider has no WebSocket")
    proxy = connector.proxy_for(origin) if connector.has_proxy else None
    if url.scheme == "http" and proxy is not None and not proxy.scheme.startswith("socks"):
        raise _gateway_error("WebSockets to http upstreams cannot be sent through an HTTP proxy")
    uri = parse_uri(str(url.copy_with(scheme="wss" if url.scheme == "https" else "ws")))

    def new_connection() -> ClientConnection:
        protocol = ClientProtocol(uri, max_size=max_message_bytes, logger=_log)
        return SlicedConnection(
            protocol,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=CLOSE_S,
            max_queue=MAX_QUEUED_MESSAGES,
        )

    try:
        connection = await connector.open(origin, new_connection, connect_s)
    except httpx.TransportError as error:
        kind = "timeout" if isinstance(error, httpx.TimeoutException) else "upstream_error"
        raise _gateway_error(f"{error}"[:200], kind) from error
    sent_headers = [pair for pair in headers.multi_items() if pair[0].lower() not in _HTTP_HEADERS]
    try:
        await connection.handshake(sent_headers, None)
    except InvalidStatus as error:
        connection.transport.abort()
        response = error.response
        raise HandshakeRefused(
            response.status_code, _lower_case(response.headers), bytes(response.body or b"")
        ) from None
    except (InvalidHandshake, EOFError, OSError):
        connection.transport.abort()
        raise _gateway_error("the upstream does not accept a WebSocket at this path") from None
    except BaseException:
        connection.transport.abort()
        raise
    connection.start_keepalive()
    return UpstreamWebSocket(connection)


def _lower_case(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.raw_items()}


def _gateway_error(message: str, kind: str = "upstream_error") -> GatewayError:
    return GatewayError(Error(kind=kind, message=message))


async def close_quietly(socket: UpstreamWebSocket, code: int, reason: str) -> None:
    """End a connection whose end nobody waits for; never raises."""
    try:
        async with asyncio.timeout(2 * CLOSE_S):
            await socket.close(code, reason)
    except (TimeoutError, OSError, ValueError):
        socket.abort()
