"""WebSocket messages name a model by the same rules as HTTP requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.providers.catalog import PRESETS
from tests.edge.test_model_names import HOSTILE, LEGITIMATE
from tests.relay.harness import DONE, Gateway, chunk, gateway, provider, route, snapshot, sse
from tests.relay.websocket import Connection

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


@asynccontextmanager
async def open_connection(tmp_path: Path) -> AsyncIterator[tuple[Gateway, Connection]]:
    response = (chunk("hello"), chunk(None, "stop"), DONE)
    async with gateway(tmp_path, snapshot(route("r", AZURE)), az=lambda _: sse(*response)) as live:
        connection = Connection(live)
        try:
            yield live, connection
        finally:
            await connection.disconnect()


@pytest.mark.parametrize("more", [{}, {"generate": False}], ids=["answered", "not_generated"])
async def test_a_websocket_message_with_a_hostile_model_name_is_refused(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    message = {"type": "response.create", "input": "x", **more}
    async with open_connection(tmp_path) as (live, connection):
        events = {
            name: await connection.ask(json.dumps({**message, "model": f"az/{name}"}))
            for name in HOSTILE
        }
    assert {event["type"] for event in events.values()} == {"error"}
    assert {name: event["status"] for name, event in events.items()} == dict.fromkeys(HOSTILE, 400)
    assert live.upstreams.requests == []


@pytest.mark.parametrize("fields", REFUSED_FIELDS)
@pytest.mark.parametrize("more", ["", ',"generate":false'], ids=["answered", "not_generated"])
async def test_a_websocket_message_with_two_models_is_refused(
    tmp_path: Path, fields: str, more: str
) -> None:
    async with open_connection(tmp_path) as (live, connection):
        event = await connection.ask(f'{{"type":"response.create","input":"x",{fields}{more}}}')
    assert (event["type"], event["status"]) == ("error", 400)
    assert live.upstreams.requests == []


async def test_a_legitimate_model_name_is_one_path_segment(tmp_path: Path) -> None:
    async with open_connection(tmp_path) as (live, connection):
        for name in LEGITIMATE:
            message = {"type": "response.create", "input": "x", "model": f"az/{name}"}
            event = await connection.ask(json.dumps(message))
            assert event.get("status") != 400, event
    paths = {request.url.path: request.url.raw_path for request in live.upstreams.requests}
    in_path = {path for path in paths if path.startswith("/openai/deployments/")}
    # Azure's own Responses API has the name in the body.
    assert set(paths) - in_path == {"/openai/responses"}
    assert {paths[path].count(b"/") for path in in_path} == {5}
