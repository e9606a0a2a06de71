"""Capacity limits: concurrent requests, and WebSockets per key."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.edge import handshake, responses_websocket
from gateway.relay.runtime import Runtime
from tests.relay.harness import ADMIN, KEY, Gateway, completion, gateway, provider, route, snapshot
from tests.waits import wait_until_async

A = provider("a")
REQUEST = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
DIALECTS = {
    "/v1/chat/completions": (503, "overloaded"),
    "/v1/messages": (529, "overloaded_error"),
    "/v1beta/models/m:generateContent": (503, "UNAVAILABLE"),
    "/v1/responses": (503, "overloaded"),
}


def configure(runtime: Runtime, **changes: Any) -> None:
    runtime.config = msgspec.structs.replace(runtime.config, **changes)


@pytest.mark.parametrize("path", DIALECTS)
async def test_overload_errors_are_in_the_clients_dialect(tmp_path: Path, path: str) -> None:
    status, code = DIALECTS[path]
    hold, reached = asyncio.Event(), asyncio.Event()

    async def slow(_: Any) -> Any:
        reached.set()
        await hold.wait()
        return completion()

    async with gateway(tmp_path, snapshot(route("m", A)), a=slow) as live:
        configure(live.runtime, max_requests=1)
        first = asyncio.create_task(live.post("/v1/chat/completions", REQUEST))
        await reached.wait()
        shed = await live.post(path, REQUEST)
        assert (shed.status, shed.headers["retry-after"]) == (status, "1")
        assert code in shed.body.decode()
        hold.set()
        assert (await first).status == 200
        assert (await live.post("/v1/chat/completions", REQUEST)).status == 200
        assert b"dragoman_requests_shed_total 1.0" in (await metrics(live)).body


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_bodies_of_all_requests_are_limited_together(
    tmp_path: Path, chunked: bool
) -> None:
    hold, reached = asyncio.Event(), asyncio.Event()

    async def slow(_: Any) -> Any:
        reached.set()
        await hold.wait()
        return completion()

    large = {**REQUEST, "messages": [{"role": "user", "content": "x" * 1_500_000}]}
    headers = {"transfer-encoding": "chunked"} if chunked else {"content-length": "1500100"}
    path = "/v1/chat/completions"
    async with gateway(tmp_path, snapshot(route("m", A)), a=slow) as live:
        configure(live.runtime, max_large_body_bytes=1_000_000)
        first = asyncio.create_task(live.post(path, large, headers=headers))
        await reached.wait()
        shed = await live.post(path, large, headers=headers)
        assert (shed.status, shed.headers["retry-after"]) == (503, "1")
        small = asyncio.create_task(live.post(path, REQUEST))
        await asyncio.sleep(0)
        hold.set()
        assert (await first).status == (await small).status == 200
        assert (await live.post(path, large, headers=headers)).status == 200
        assert live.runtime.metrics.large_body_bytes == 0


async def test_bodies_without_a_length_are_limited_while_they_arrive(tmp_path: Path) -> None:
    path, chunks = "/v1/chat/completions", asyncio.Queue[dict[str, Any]]()
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}
    scope |= {"headers": [(b"authorization", f"Bearer {KEY}".encode())], "client": ("::1", 1)}
    chunk = {"type": "http.request", "body": b" " * 600_000, "more_body": True}

    async def send(_: Any) -> None: ...

    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        configure(live.runtime, max_large_body_bytes=1_000_000)
        first = asyncio.create_task(live.app(scope, chunks.get, send))
        for _ in range(3):
            chunks.put_nowait(chunk)
        await wait_until_async(lambda: live.runtime.metrics.large_body_bytes == 1_800_000)
        body = json.dumps({**REQUEST, "user": "x" * 1_200_000}).encode()
        assert (await live.post(path, body)).status == 503
        chunks.put_nowait({"type": "http.disconnect"})
        await first
        assert live.runtime.metrics.large_body_bytes == 0
        assert (await live.post(path, body)).status == 200


async def metrics(live: Gateway, **headers: str) -> Any:
    return await live.post("/metrics", {}, headers=headers, method="GET")


FOREIGN = {
    "a rebound name": {"host": "evil.example"},
    "a foreign page": {"host": "localhost:4000", "origin": "https://evil.example"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_without_a_key_foreign_pages_are_refused(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    registry = snapshot(route("m", A), open=True)
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        configure(live.runtime, allowed_hosts=("localhost",))
        for key in ("", "anything"):
            posted = await live.post("/v1/chat/completions", REQUEST, key=key, headers=headers)
            assert posted.status == 403
            list_reply = await live.post("/v1/models", {}, key=key, headers=headers, method="GET")
            assert list_reply.status == 403
        assert (await live.post("/v1/chat/completions", REQUEST, headers=headers)).status == 200
        assert (await metrics(live, **headers)).status == 403
        assert (await metrics(live, host="localhost:4000")).status == 200
    assert len(live.upstreams.requests) == 1


async def test_responses_have_the_nosniff_header(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        for path, method in (
            ("/v1/chat/completions", "POST"),
            ("/v1/models", "GET"),
            ("/health", "GET"),
            ("/v1/nothing", "GET"),
        ):
            reply = await live.post(path, REQUEST, method=method)
            assert reply.headers["x-content-type-options"] == "nosniff", path


class Socket:
    """A WebSocket's handshake with a client that sends nothing."""

    def __init__(self, live: Gateway, key: str) -> None:
        self.accepted = False
        self.status = 0
        self.body: Any = None
        self.answered = asyncio.Event()
        self._leave = asyncio.Event()
        self._began = False
        scope = {
            "type": "websocket",
            "path": "/v1/responses",
            "headers": [(b"authorization", f"Bearer {key}".encode())],
            "extensions": {"websocket.http.response": {}},
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.create_task(
            responses_websocket.serve_websocket(live.lazy_runtime, scope, self._receive, self._send)
        )

    async def _receive(self) -> dict[str, Any]:
        if not self._began:
            self._began = True
            return {"type": "websocket.connect"}
        await self._leave.wait()
        return {"type": "websocket.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.accepted |= message["type"] == "websocket.accept"
        self.status = message.get("status", self.status)
        if message["type"] == "websocket.http.response.body":
            self.body = json.loads(message["body"])
        if "status" not in message:
            self.answered.set()

    async def disconnect(self) -> None:
        self._leave.set()
        await self.task


async def test_one_key_cannot_use_all_websockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "MAX_CONNECTIONS_PER_KEY", 2)
    registry = snapshot(route("m", A))
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        sockets = [Socket(live, KEY) for _ in range(3)]
        for client_socket in sockets:
            await client_socket.answered.wait()
        assert [client_socket.accepted for client_socket in sockets] == [True, True, False]
        assert sockets[2].status == 429
        assert "2 open connections" in sockets[2].body["error"]["message"]
        other = Socket(live, ADMIN)
        await other.answered.wait()
        assert other.accepted
        await sockets[0].disconnect()
        second = Socket(live, KEY)
        await second.answered.wait()
        assert second.accepted
        for client_socket in (sockets[1], second, other):
            await client_socket.disconnect()
