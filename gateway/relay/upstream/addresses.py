"""Connections to hosts with several addresses (RFC 8305, "Happy Eyeballs").

uvloop, unlike asyncio, tries the addresses of a host one after the other without a limit for each:
one that does not answer, such as IPv6 where only IPv4 is routed, would use up the whole connect
timeout.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from aiohappyeyeballs import start_connection

# After this time without a connection, the next address is tried as well (RFC 8305, section 5).
ATTEMPT_DELAY_S = 0.25

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)


async def open_connection(
    protocol: Callable[[], ProtocolT], host: str, port: int, context: ssl.SSLContext | None
) -> tuple[asyncio.Transport, ProtocolT]:
    """A connection to a host; over TLS with a `context`. Raises OSError."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    connection = await start_connection(addresses, happy_eyeballs_delay=ATTEMPT_DELAY_S)
    try:
        return await loop.create_connection(
            protocol,
            sock=connection,
            ssl=context,
            server_hostname=None if context is None else host,
        )
    except BaseException:
        connection.close()
        raise
