"""Sockets to hosts with several addresses (RFC 8305, "Happy Eyeballs").

uvloop, unlike asyncio, tries the addresses of a host one after the other without a limit for each:
one that does not answer, such as IPv6 where only IPv4 is routed, would use up the whole connect
timeout.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any, TypeVar

# After this time without a connection, the next address is tried as well (RFC 8305, section 5).
ATTEMPT_DELAY_S = 0.25

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)
# A row of `getaddrinfo`.
Address = tuple[Any, Any, int, str, Any]


async def open_connection(
    protocol: Callable[[], ProtocolT], host: str, port: int, context: ssl.SSLContext | None
) -> tuple[asyncio.Transport, ProtocolT]:
    """A connection to a host; over TLS with a `context`. Raises OSError."""
    loop = asyncio.get_running_loop()
    name = host if context is not None else None
    if _is_ip_address(host):
        return await loop.create_connection(protocol, host, port, ssl=context, server_hostname=name)
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    connection = await connect_to_first(addresses)
    try:
        return await loop.create_connection(
            protocol, sock=connection, ssl=context, server_hostname=name
        )
    except BaseException:
        connection.close()
        raise


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _alternate_families(addresses: Sequence[Address]) -> deque[Address]:
    """The addresses with IPv6 and IPv4 in turns, the preferred family first."""
    by_family = defaultdict[Any, list[Address]](list)
    for address in addresses:
        by_family[address[0]].append(address)
    return deque(filter(None, chain.from_iterable(zip_longest(*by_family.values()))))


async def connect_to_first(addresses: Sequence[Address]) -> socket.socket:
    """A connected socket to the first of a host's addresses that accepts. Raises OSError."""
    remaining = _alternate_families(addresses)
    tasks: list[asyncio.Task[socket.socket]] = []
    pending: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException = OSError("the host has no address")
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while remaining or pending:
            if remaining:
                tasks.append(asyncio.create_task(_connect(remaining.popleft())))
                pending.add(tasks[-1])
            done, pending = await asyncio.wait(
                pending,
                timeout=ATTEMPT_DELAY_S if remaining else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    winner = task
                    return winner.result()
                failure = error
        raise failure
    finally:
        for task in tasks:
            if not task.done():
                task.cancel()
            elif task is not winner and not task.cancelled() and task.exception() is None:
                task.result().close()


async def _connect(address: Address) -> socket.socket:
    family, kind, protocol, _, peer = address
    connection = socket.socket(family, kind, protocol)
    try:
        connection.settimeout(0)
        await asyncio.get_running_loop().sock_connect(connection, peer)
    except BaseException:
        connection.close()
        raise
    return connection
