"""A proxy in front of the gateway that accepts only WebSockets and records their messages.

It proves that a client used a WebSocket, and it can interrupt a connection.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

Event = dict[str, Any]
_HANDSHAKE = ("host", "connection", "upgrade", "sec-websocket-")


class WebSocketProxy:
    """The recorded `client_events` and `gateway_events`.

    `breaks`: the first gateway event for which it returns true is not sent; the connection
    ends there, once.
    """

    def __init__(self, target: str) -> None:
        self.url = ""
        self.client_events: list[Event] = []
        self.gateway_events: list[Event] = []
        self.breaks: Callable[[Event], bool] | None = None
        self._target = target.replace("http", "ws", 1)

    def pass_on(self, client: ServerConnection) -> None:
        """Forward one connection from its handshake to its end."""
        request = client.request
        assert request is not None
        headers = [
            (name, value)
            for name, value in request.headers.raw_items()
            if not name.lower().startswith(_HANDSHAKE)
        ]
        url = f"{self._target}{request.path}"
        with connect(url, additional_headers=headers, compression=None, max_size=None) as gateway:
            back = threading.Thread(target=self._copy, args=(gateway, client, self.gateway_events))
            back.start()
            self._copy(client, gateway, self.client_events)
            gateway.close()
            back.join()

    def _copy(
        self,
        source: ClientConnection | ServerConnection,
        goal: ClientConnection | ServerConnection,
        events: list[Event],
    ) -> None:
        try:
            for message in source:
                event = json.loads(message)
                if events is self.gateway_events and self.breaks is not None and self.breaks(event):
                    self.breaks = None
                    break
                events.append(event)
                goal.send(message)
        except ConnectionClosed:
            pass
        goal.close()


@contextmanager
def websocket_proxy(target: str) -> Iterator[WebSocketProxy]:
    """Start a proxy in front of the gateway at this URL."""
    proxy = WebSocketProxy(target)
    with serve(proxy.pass_on, "127.0.0.1", 0, max_size=None) as server:
        proxy.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            serving.join()
