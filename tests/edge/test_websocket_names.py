"""A message over the WebSocket names a model by the same rules as a request over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.edge.responses_websocket import serve_websocket
from gateway.providers.catalog import PRESETS
from tests.edge.test_model_names import HOSTILE, LEGITIMATE
from tests.relay.harness import DONE, KEY, Gateway, chunk, gateway, provider, route, snapshot, sse
from tests.waits import PATIENCE_S

AZURE = provider("az", preset="azure_openai", paths=PRESETS["azure_openai"].paths)
REFUSED_FIELDS = [
    pytest.param('"model":"az/gpt-4o","model":"az/gpt-5"', id="model twice"),
    pytest.param('"model":"az/gpt-4o","Model":"az/gpt-5"', id="another case"),
    pytest.param('"MODEL":"az/gpt-5","model":"az/gpt-4o"', id="capitals"),
    pytest.param('"model":"az/gpt-4o","mod\\u0065l":"az/gpt-5"', id="escaped"),
    pytest.param('"model":["az/gpt-4o"]', id="a list"),
    pytest.param('"model":""', id="empty"),
    pytest.param('"models":"az/gpt-4o"', id="missing"),
]


class Connection:
    """One WebSocket at the edge, without a server."""

    def __init__(self) -> None:
        self._to_gateway: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._to_gateway.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "path": "/v1/responses",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {KEY}".encode())],
            "extensions": {"websocket.http.response": {}},
            "client": ("127.0.0.1", 1),
        }
        self._task = asyncio.create_task(
            serve_websocket(scope, self._to_gateway.get, self._receive_event)
        )

    async def _receive_event(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            self._events.put_nowait(json.loads(message["text"]))

    async def ask(self, text: str) -> dict[str, Any]:
        """Send a message; the last event of its answer."""
        self._to_gateway.put_nowait({"type": "websocket.receive", "text": text})
        while True:
            event = await asyncio.wait_for(self._events.get(), PATIENCE_S)
            if event["type"] in {"error", "response.completed"}:
                return event

    async def leave(self) -> None:
        self._to_gateway.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self._task


@asynccontextmanager
async def connected(tmp_path: Path) -> AsyncIterator[tuple[Gateway, Connection]]:
    answer = (chunk("hello"), chunk(None, "stop"), DONE)
    async with gateway(tmp_path, snapshot(route("r", AZURE)), az=lambda _: sse(*answer)) as live:
        connection = Connection()
        try:
            yield live, connection
        finally:
            await connection.leave()


@pytest.mark.parametrize("more", [{}, {"generate": False}], ids=["answered", "not_generated"])
async def test_a_message_refuses_a_hostile_name(tmp_path: Path, more: dict[str, Any]) -> None:
    message = {"type": "response.create", "input": "x", **more}
    async with connected(tmp_path) as (live, connection):
        events = {
            name: await connection.ask(json.dumps({**message, "model": f"az/{name}"}))
            for name in HOSTILE
        }
    assert {event["type"] for event in events.values()} == {"error"}
    assert {name: event["status"] for name, event in events.items()} == dict.fromkeys(HOSTILE, 400)
    assert live.upstreams.requests == []


@pytest.mark.parametrize("fields", REFUSED_FIELDS)
@pytest.mark.parametrize("more", ["", ',"generate":false'], ids=["answered", "not_generated"])
async def test_a_message_has_one_model(tmp_path: Path, fields: str, more: str) -> None:
    async with connected(tmp_path) as (live, connection):
        event = await connection.ask(f'{{"type":"response.create","input":"x",{fields}{more}}}')
    assert (event["type"], event["status"]) == ("error", 400)
    assert live.upstreams.requests == []


async def test_a_legitimate_name_is_one_segment_of_the_path(tmp_path: Path) -> None:
    async with connected(tmp_path) as (live, connection):
        for name in LEGITIMATE:
            message = {"type": "response.create", "input": "x", "model": f"az/{name}"}
            event = await connection.ask(json.dumps(message))
            assert event.get("status") != 400, event
    paths = {request.url.path: request.url.raw_path for request in live.upstreams.requests}
    in_path = {path for path in paths if path.startswith("/openai/deployments/")}
    # Azure's own Responses API has the name in the body.
    assert set(paths) - in_path == {"/openai/responses"}
    assert {paths[path].count(b"/") for path in in_path} == {5}
