"""Free ports for servers of tests, and whether a server responds.

A server binds its port later, so no one else may get the port meanwhile: it is below the
ephemeral range, and in a range of this test process.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx

_FIRST, _STRETCH = 16_000, 1_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _port_range() -> range:
    """Return the ports of this process; pytest-xdist's workers are named gw0, gw1 and so on."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    limit = int(_EPHEMERAL_RANGE.read_text().split()[0]) if _EPHEMERAL_RANGE.exists() else 32_768
    start = _FIRST + worker * _STRETCH % max(_STRETCH, limit - _FIRST - _STRETCH)
    return range(start, start + _STRETCH)


def _cycle_ports() -> Iterator[int]:
    """Yield the ports repeatedly, starting at a random one so that parallel runs differ."""
    ports = _port_range()
    index = random.SystemRandom().randrange(len(ports))
    while True:
        yield ports[index % len(ports)]
        index += 1


_ports = _cycle_ports()


def free_port() -> int:
    """Return a loopback port without a listener."""
    for _ in range(_STRETCH):
        port = next(_ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("all ports of this process are taken")


def accepts_connections(port: int) -> bool:
    """Return whether a server listens on this loopback port."""
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def is_ready(port: int) -> bool:
    """Return whether the gateway on this loopback port is ready."""
    with suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
    return False
