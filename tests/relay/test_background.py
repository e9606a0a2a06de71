"""Background responses while the database fails, and after their process was killed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.providers.masks import compile_mask
from gateway.relay.exchange.stored_response import ResponseBackend, StoredResponse
from gateway.relay.run import background
from tests.relay.harness import Gateway, completion, gateway, provider, route, snapshot, sse
from tests.waits import wait_until_async

REQUEST = {"model": "m", "input": "hello", "background": True}
Row = tuple[str, str]


class FailingStore:
    """Responses in a dictionary; `broken` names the operations that raise."""

    def __init__(self) -> None:
        self.rows: dict[Row, StoredResponse] = {}
        self.broken: set[str] = set()

    def backend(self) -> ResponseBackend:
        return ResponseBackend(
            load=self.load,
            save=self.save,
            cancel=self.cancel,
            heartbeat=lambda running: [],
            close=lambda: None,
        )

    def _check(self, operation: str) -> None:
        if operation in self.broken:
            raise OSError("database is locked")

    def load(self, owner: str, name: str) -> StoredResponse | None:
        self._check("load")
        return self.rows.get((owner, name))

    def save(self, response: StoredResponse) -> None:
        self._check("save")
        self.rows[response.owner, response.id] = response

    def cancel(self, owner: str, name: str) -> None:
        del owner, name
        self._check("cancel")

    @property
    def only_row(self) -> StoredResponse:
        (row,) = self.rows.values()
        return row


@asynccontextmanager
async def background_gateway(
    folder: Path, store: FailingStore, respond: Callable[[], Any], **changes: Any
) -> AsyncIterator[Gateway]:
    """Run a gateway that stores responses there; `respond` is awaited for each request."""

    async def answer(_: httpx.Request) -> httpx.Response:
        await respond()
        return completion("done, sir")

    registry = snapshot(route("m", provider("up", preset="custom")), log_bodies=True, **changes)
    async with gateway(folder, registry, responses=store.backend(), up=answer) as live:
        yield live


async def read(live: Gateway, response_id: str, query: str = "") -> Any:
    reply = await live.post(f"/v1/responses/{response_id}{query}", b"", method="GET")
    return reply.json()


async def test_a_response_that_ends_while_the_database_fails_is_stored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "SAVE_PAUSE_S", 0.05)
    store, may_end = FailingStore(), asyncio.Event()
    masks = (compile_mask("sir"),)
    async with background_gateway(tmp_path, store, may_end.wait, masks=masks) as live:
        started = (await live.post("/v1/responses", REQUEST)).json()
        store.broken = {"save"}
        may_end.set()

        async def is_completed() -> bool:
            return bool((await read(live, started["id"]))["status"] == "completed")

        for _ in range(100):
            if await is_completed():
                break
            await asyncio.sleep(0.02)
        assert await is_completed()
        assert store.only_row.status == "queued"
        store.broken = set()
        await wait_until_async(lambda: store.only_row.status == "completed")
        assert b"done, " in store.only_row.response
        assert b"sir" not in store.only_row.response
        assert await is_completed()


def running_response(**changes: Any) -> StoredResponse:
    """Return a background response that runs in another process."""
    body = {"id": "resp_1", "object": "response", "status": "in_progress", "background": True}
    stored = StoredResponse(
        id="resp_1",
        owner="key:1",
        created_at=time.time(),
        heartbeat_at=time.time(),
        status="in_progress",
        response=json.dumps({**body, "output": []}).encode(),
    )
    for name, value in changes.items():
        setattr(stored, name, value)
    return stored


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_cancellation_that_cannot_be_stored_is_an_error(
    tmp_path: Path, method: str
) -> None:
    store = FailingStore()
    store.save(running_response())
    store.broken = {"cancel", "save"}
    path = "/v1/responses/resp_1" + ("/cancel" if method == "POST" else "")
    async with background_gateway(tmp_path, store, asyncio.Event().wait) as live:
        reply = await live.post(path, b"", method=method)
    assert reply.status == 503
    assert "try again" in reply.json()["error"]["message"]


def event_names(body: bytes) -> list[str]:
    return [line[7:].decode() for line in body.split(b"\n") if line.startswith(b"event: ")]


# Two hours on the clock of the process that was killed, before the clock was set back.
@pytest.mark.parametrize("age_s", [3600.0, -7200.0])
async def test_a_response_of_a_killed_process_has_failed(tmp_path: Path, age_s: float) -> None:
    store = FailingStore()
    store.save(running_response(heartbeat_at=time.time() - age_s))
    async with background_gateway(tmp_path, store, asyncio.Event().wait) as live:
        response = await read(live, "resp_1")
        cancelled = await live.post("/v1/responses/resp_1/cancel", b"")
    assert response["status"] == cancelled.json()["status"] == "failed"


async def test_the_stream_of_a_killed_process_ends_as_failed(tmp_path: Path) -> None:
    store = FailingStore()
    store.save(running_response(heartbeat_at=time.time() - 3600))
    async with background_gateway(tmp_path, store, asyncio.Event().wait) as live:
        reply = await live.post("/v1/responses/resp_1?stream=true", b"", method="GET")
    assert reply.status == 200
    assert reply.ended
    assert event_names(reply.body) == ["response.failed"]


async def test_a_stream_whose_database_fails_ends_with_an_error(tmp_path: Path) -> None:
    store = FailingStore()
    store.save(running_response())
    asyncio.get_running_loop().call_later(0.2, store.broken.add, "load")
    async with background_gateway(tmp_path, store, asyncio.Event().wait) as live:
        reply = await live.post("/v1/responses/resp_1?stream=true", b"", method="GET")
    assert reply.ended
    assert event_names(reply.body) == ["error"]


async def test_an_error_event_of_the_upstream_ends_the_response(tmp_path: Path) -> None:
    """OpenAI's own stream may end with `error`, which has no response in it."""
    up = {"id": "resp_up", "object": "response", "status": "in_progress", "output": []}
    created = {"type": "response.created", "sequence_number": 0, "response": up}
    failure = {"type": "error", "sequence_number": 1, "code": "server_error", "message": "boom"}
    parts = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in (created, failure)]
    store = FailingStore()
    registry = snapshot(route("m", provider("up")), log_bodies=True)
    async with gateway(
        tmp_path,
        registry,
        responses=store.backend(),
        up=lambda _: sse(parts[0], 0.05, parts[1]),
    ) as live:
        reply = await live.post("/v1/responses", {**REQUEST, "stream": True})
        assert event_names(reply.body) == ["response.created", "error"]
        await wait_until_async(lambda: not store.only_row.running)
        response = await read(live, store.only_row.id)
    assert (response["status"], response["error"]["message"]) == ("failed", "boom")
