"""WebSocket handshakes: how many connections are open, and how one is rejected or closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.relay.exchange.call import Send
from gateway.relay.runtime import Runtime

Scope = dict[str, Any]
# Concurrent connections per process.
MAX_CONNECTIONS = 2000
# Concurrent connections per process and key.
MAX_CONNECTIONS_PER_KEY = 250
# Headers of the handshake, which are not those of a request.
HANDSHAKE_HEADERS = (
    b"sec-websocket-",
    b"upgrade",
    b"connection",
    b"x-request-id",
    b"content-length",
)
REFUSED, TOO_LARGE, GOING_AWAY = 1008, 1009, 1012
_NORMAL, _FIRST_PRIVATE = 1000, 3000
# Open connections by key id; connections without a key share the entry None.
_open_connections: Counter[int | None] = Counter()


def check_capacity(runtime: Runtime) -> None:
    """Raises GatewayError (503) if the process accepts no more connections."""
    if runtime.draining or _open_connections.total() >= MAX_CONNECTIONS:
        message = "the gateway accepts no more connections at the moment"
        raise GatewayError(Error(kind="overloaded", message=message))


def check_key_capacity(owner: int | None) -> None:
    """Raises GatewayError (429) if the key with this id has too many open connections."""
    if _open_connections[owner] >= MAX_CONNECTIONS_PER_KEY:
        message = f"this API key has {MAX_CONNECTIONS_PER_KEY} open connections, which is the limit"
        raise GatewayError(Error(kind="rate_limit", message=message))


@contextmanager
def count_connection(owner: int | None) -> Iterator[None]:
    """Count an open connection of the key with this id."""
    _open_connections[owner] += 1
    try:
        yield
    finally:
        _open_connections[owner] -= 1
        if not _open_connections[owner]:
            del _open_connections[owner]


async def reject(
    scope: Scope,
    send: Send,
    status: int,
    headers: list[tuple[bytes, bytes]],
    content: bytes,
    event: str,
) -> None:
    """Reject a handshake with an HTTP response.

    On a server that cannot send one (Daphne), accept, send `event`, and close.
    """
    if not supports_http_response(scope):
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": event})
        await send(close_message(scope, REFUSED))
        return
    start = {"status": status, "headers": headers}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": content})


def encode(value: object) -> str:
    """JSON as a text message."""
    return msgspec.json.encode(value).decode()


def supports_http_response(scope: Scope) -> bool:
    """Whether the server can respond to a handshake with HTTP; Daphne cannot."""
    return "websocket.http.response" in scope.get("extensions", {})


def close_message(scope: Scope, code: int, reason: str = "") -> dict[str, Any]:
    """The message that closes a connection with a protocol code, 10xx, or a private one.

    Daphne does not allow applications to use the codes from 1001 to 2999: there it is 40xx, a
    private code.
    """
    if _NORMAL < code < _FIRST_PRIVATE and not supports_http_response(scope):
        code += 3000
    return {"type": "websocket.close", "code": code, "reason": reason}
