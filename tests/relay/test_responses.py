"""Response storage of a process: pending writes can be loaded too."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from gateway.canon.errors import GatewayError
from gateway.relay.exchange.stored_response import ResponseBackend, StoredResponse
from gateway.relay.state import database_threads
from gateway.relay.state import responses as module
from gateway.relay.state.responses import ResponseStore


class DictStore:
    """A store in a dictionary; `away` makes it fail."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], StoredResponse] = {}
        self.away = False
        self.threads: set[str] = set()
        self.reads = 0

    def backend(self) -> ResponseBackend:
        return ResponseBackend(
            load=self.load,
            save=self.save,
            cancel=lambda owner, name: None,
            heartbeat=lambda running: [],
            close=lambda: None,
        )

    def load(self, owner: str, name: str) -> StoredResponse | None:
        self.threads.add(threading.current_thread().name)
        self.reads += 1
        if self.away:
            raise OSError("no database")
        return self.rows.get((owner, name))

    def save(self, response: StoredResponse) -> None:
        if self.away:
            raise OSError("no database")
        self.rows[response.owner, response.id] = response


def make_response(name: str = "resp_1", **changes: object) -> StoredResponse:
    return StoredResponse(id=name, owner="key:1", created_at=time.time(), response=b"{}", **changes)  # type: ignore[arg-type]


async def test_a_response_pending_in_another_process_is_awaited() -> None:
    store = DictStore()
    responses = ResponseStore(store.backend())
    later = asyncio.get_running_loop().call_later(0.2, store.save, make_response())
    response = await responses.find("key:1", "resp_1")
    later.cancel()
    assert response is not None
    await responses.close()


async def test_own_responses_are_found_before_they_are_written() -> None:
    store = DictStore()
    responses = ResponseStore(store.backend())
    responses.add_pending(make_response())
    assert await responses.find("key:1", "resp_1") is not None
    assert store.reads == 1
    assert await responses.find("key:2", "resp_1") is None
    await responses.close()


async def test_a_response_deleted_by_another_process_is_not_served_from_memory() -> None:
    store = DictStore()
    responses = ResponseStore(store.backend())
    responses.add_pending(make_response())
    store.save(make_response(deleted=True))
    assert await responses.find("key:1", "resp_1") is None
    await responses.close()


async def test_an_id_of_no_known_form_is_not_waited_for() -> None:
    store = DictStore()
    responses = ResponseStore(store.backend())
    assert await responses.find("key:1", "nonsense") is None
    assert store.reads == 1
    await responses.close()


async def test_without_a_database_only_responses_in_memory_are_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = DictStore()
    store.away = True
    responses = ResponseStore(store.backend())
    responses.add_pending(make_response())
    assert await responses.find("key:1", "resp_1") is not None
    with pytest.raises(GatewayError) as error:
        await responses.find("key:1", "resp_2")
    assert error.value.error.kind == "overloaded"
    with pytest.raises(GatewayError):
        await responses.save(make_response())
    await responses.close()


async def test_no_request_waits_behind_others_for_a_database_that_does_not_respond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_threads, "MAX_WAIT_S", 0.3)
    store, responds = DictStore(), threading.Event()
    monkeypatch.setattr(store, "save", lambda _: responds.wait(20))
    responses = ResponseStore(store.backend())
    started = time.monotonic()
    waiting = [responses.save(make_response(f"resp_{n}")) for n in range(5)]
    errors = await asyncio.gather(
        *waiting, responses.find("key:1", "resp_9"), return_exceptions=True
    )
    took_s = time.monotonic() - started
    responds.set()
    assert [type(error) for error in errors] == [GatewayError] * 6
    assert took_s < 10
    assert store.reads == 0
    await responses.close()


async def test_the_response_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENDING_BYTES", 100)
    store = DictStore()
    store.away = True
    responses = ResponseStore(store.backend())

    async def is_in_memory(name: str) -> bool:
        try:
            return await responses.find("key:1", name) is not None
        except GatewayError:
            return False

    for number in range(50):
        responses.add_pending(make_response(f"resp_{number}", input=b"x" * 30))
    assert [n for n in range(50) if await is_in_memory(f"resp_{n}")] == [47, 48, 49]
    responses.add_pending(make_response("resp_large", input=b"x" * 1000))
    assert not await is_in_memory("resp_large")
    responses.add_pending(make_response("resp_next", input=b"x" * 30))
    assert await is_in_memory("resp_next"), "the size of dropped responses is subtracted"
    await responses.close()


async def test_stored_responses_are_not_read_on_the_event_loop() -> None:
    store = DictStore()
    responses = ResponseStore(store.backend())
    await responses.find("key:1", "nonsense")
    assert all(name.startswith("responses") for name in store.threads)
    await responses.close()
