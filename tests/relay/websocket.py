"""A WebSocket client of the edge, without a server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from gateway.edge.responses_websocket import serve_websocket
from tests.relay.harness import KEY, Gateway
from tests.waits import WAIT_TIMEOUT_S


class Connection:
    """A WebSocket connection at the edge, without a server."""

    def __init__(self, gw: Gateway, key: str = KEY) -> None:
        self._to_gateway: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._to_gateway.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "path": "/v1/responses",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {key}".encode())],
            "extensions": {"websocket.http.response": {}},
            "client": ("127.0.0.1", 1),
        }
        self._task = asyncio.create_task(
            serve_websocket(gw.lazy_runtime, scope, self._to_gateway.get, self._receive_event)
        )

    async def _receive_event(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            self._events.put_nowait(json.loads(message["text"]))

    async def ask(self, text: str) -> dict[str, Any]:
        """Send a message and return the last event of its response."""
        self._to_gateway.put_nowait({"type": "websocket.receive", "text": text})
        while True:
            event = await asyncio.wait_for(self._events.get(), WAIT_TIMEOUT_S)
            if event["type"] in {"error", "response.completed"}:
                return event

    async def disconnect(self) -> None:
        self._to_gateway.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self._task
