"""The memory of the WebSockets of one key is limited."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.edge import responses_websocket
from gateway.edge.websocket_memory import KeyMemory, Responses, memory_of
from gateway.relay.exchange.stored_response import StoredResponse
from tests.relay.harness import DONE, chunk, gateway, provider, route, snapshot, sse
from tests.relay.test_responses import DictStore
from tests.relay.websocket import Connection


def response(size: int, name: str = "resp_1") -> StoredResponse:
    return StoredResponse(id=name, owner="key:1", created_at=0.0, response=b"x" * size)


def test_the_oldest_responses_of_a_key_are_dropped() -> None:
    memory = KeyMemory(100)
    connections: list[Responses] = [OrderedDict() for _ in range(3)]
    for connection in connections:
        memory.remember(connection, "", response(40))
    assert [len(connection) for connection in connections] == [0, 1, 1]
    memory.remember(connections[1], "", response(90))
    assert [len(connection) for connection in connections] == [0, 1, 0]


def test_a_response_that_alone_is_too_large_is_remembered() -> None:
    memory = KeyMemory(100)
    connection: Responses = OrderedDict()
    memory.remember(connection, "", response(200))
    assert list(connection) == [""]


def test_closed_connections_take_no_memory() -> None:
    memory = KeyMemory(100)
    first: Responses = OrderedDict()
    second: Responses = OrderedDict()
    memory.remember(first, "", response(90))
    memory.forget_all(first)
    memory.remember(second, "", response(90))
    assert list(second) == [""]
    assert not first


def test_turns_in_progress_are_limited() -> None:
    memory = KeyMemory(100)
    memory.add_turn(150)
    with pytest.raises(GatewayError, match="in progress on the WebSockets"):
        memory.add_turn(1)
    memory.end_turn(150)
    memory.add_turn(100)


def test_connections_of_a_key_share_its_memory() -> None:
    assert memory_of(1, 100) is not memory_of(2, 100)
    shared_memory = memory_of(1, 100)
    assert memory_of(1, 100) is shared_memory


async def test_prepared_turns_of_many_connections_take_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 100_000
    monkeypatch.setattr(responses_websocket, "memory_of", lambda key_id, _: shared_memory)
    shared_memory = KeyMemory(4 * limit)
    backend = DictStore().backend()
    registry = snapshot(route("m", provider("a", preset="custom")))
    async with gateway(
        tmp_path,
        registry,
        responses=backend,
        a=lambda _: sse(chunk("hi"), chunk(finish="stop"), DONE),
    ) as live:
        message = {"type": "response.create", "model": "m", "store": False}
        body = json.dumps(message | {"generate": False, "input": "x" * (limit - 1000)})
        connections = [Connection(live) for _ in range(6)]
        ids = [(await c.ask(body))["response"]["id"] for c in connections]

        async def continue_turn(connection: Connection, name: str) -> Any:
            text = json.dumps({**message, "input": "y", "previous_response_id": name})
            return (await connection.ask(text)).get("error", {}).get("code")

        codes = [await continue_turn(c, name) for c, name in zip(connections, ids, strict=True)]
        for connection in connections:
            await connection.disconnect()
    assert codes[:2] == ["previous_response_not_found"] * 2
    assert "previous_response_not_found" not in codes[2:]
