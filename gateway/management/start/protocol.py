"""uvicorn's HTTP protocol, with the head of an answer and its body in one packet.

uvicorn writes both as they come, which is a system call and a packet each (10 us of a
unary answer's CPU); here the head waits for the rest of the same turn of the loop.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_HEAD = b"HTTP/1.1 "


class Corked:
    """A transport that holds an answer's head back until the next write, or the next turn."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Send, or hold back if it is a head."""
        if self._held:
            data, self._held = self._held + data, b""
        elif data.startswith(_HEAD):
            self._held = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self) -> None:
        """Send what is held, then close."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """What `up` serves with."""

    def connection_made(self, transport: Any) -> None:
        """Put the cork between uvicorn and the socket."""
        super().connection_made(Corked(transport, asyncio.get_running_loop()))  # type: ignore[arg-type]


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, but for the end: what is under way is let finish."""

    def shutdown(self) -> None:
        """Leave the connection open: the application closes it when its last turn is over."""
        if not self.handshake_complete:
            super().shutdown()
