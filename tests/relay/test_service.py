"""Background loops restart after failures and do not block others."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from gateway.relay.cache.backend import DatabaseBackend
from gateway.relay.event_loop.service import RestartingThread, cancel_tasks, start_restarting
from gateway.relay.journal.log_writer import LogStore
from gateway.relay.registry import RegistryStore
from gateway.relay.runtime import Config, Runtime
from gateway.relay.wiring import Wiring
from gateway.routing.snapshot import Snapshot
from tests.relay.harness import snapshot
from tests.waits import WAIT_TIMEOUT_S, wait_until_async


@pytest.fixture(autouse=True)
def _without_restart_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.relay.event_loop.service.RESTART_S", 0.01)


def test_a_failed_thread_is_restarted(caplog: pytest.LogCaptureFixture) -> None:
    ending, done = threading.Event(), threading.Event()
    failures = iter([True, True])

    def work() -> None:
        if next(failures, False):
            raise RuntimeError("what nobody thought of")
        done.set()

    service = RestartingThread("mine", work, ending)
    assert done.wait(WAIT_TIMEOUT_S)
    service.join()
    assert service.failures == 2
    assert "the thread mine failed" in caplog.text


def test_a_thread_that_fails_at_shutdown_is_not_restarted() -> None:
    ending = threading.Event()
    ending.set()

    def work() -> None:
        raise RuntimeError("no more")

    service = RestartingThread("mine", work, ending)
    service.join(WAIT_TIMEOUT_S)
    assert service.failures == 1


async def test_a_failed_task_is_restarted() -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise RuntimeError("what nobody thought of")
        await asyncio.sleep(WAIT_TIMEOUT_S)

    task = start_restarting("mine", work)
    await wait_until_async(lambda: len(runs) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_silent_database_blocks_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.relay.cache.backend.READ_S", 0.05)
    silent = threading.Event()
    reads: list[str] = []

    def read(key: str) -> bytes | None:
        reads.append(key)
        silent.wait(WAIT_TIMEOUT_S)
        return b"late"

    backend = DatabaseBackend(read, lambda _rows: None, None)
    assert await backend.get("one") is None
    assert await backend.get("two") is None
    assert reads == ["one"], "it is not asked again at once"
    silent.set()
    await backend.close()


async def test_a_silent_database_counts_as_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.relay.registry.DATABASE_TIMEOUT_S", 0.05)
    monkeypatch.setattr("gateway.relay.registry.POLL_S", 0.01)
    answers = threading.Event()

    def version() -> int:
        assert answers.wait(WAIT_TIMEOUT_S)
        return 1

    wiring = Wiring(
        registry=RegistryStore(load_snapshot=snapshot, current_version=version),
        log=LogStore(write=lambda _: None),
    )
    live = Runtime(Config(data_dir=tmp_path, pepper=b"p"), wiring, snapshot())
    await wait_until_async(lambda: live.registry.unavailable)
    answers.set()
    await wait_until_async(lambda: not live.registry.unavailable)
    await live.close()


async def test_a_failed_version_query_discards_idle_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.relay.registry.POLL_S", 0.01)
    abandoned: list[float] = []
    failures = iter([True])

    def version() -> int:
        if next(failures, False):
            raise OSError("the connection is dead")
        return 1

    wiring = Wiring(
        registry=RegistryStore(
            load_snapshot=snapshot,
            current_version=version,
            abandon_idle_connections=abandoned.append,
        ),
        log=LogStore(write=lambda _: None),
    )
    live = Runtime(Config(data_dir=tmp_path, pepper=b"p"), wiring, snapshot())
    await wait_until_async(lambda: abandoned and not live.registry.unavailable)
    await live.close()


async def test_a_change_is_in_use_when_refresh_returns(tmp_path: Path) -> None:
    newest = [1]

    def load() -> Snapshot:
        return snapshot(version=newest[0])

    wiring = Wiring(
        registry=RegistryStore(load_snapshot=load, current_version=lambda: newest[0]),
        log=LogStore(write=lambda _: None),
    )
    live = Runtime(Config(data_dir=tmp_path, pepper=b"p"), wiring, load())
    sibling = Runtime(Config(data_dir=tmp_path, pepper=b"p"), wiring, load())
    for number in range(2, 6):
        newest[0] = number
        await asyncio.to_thread(live.registry.refresh)
        assert live.snapshot.version == number
        assert sibling.snapshot.version == number
    await live.close()
    await sibling.close()


async def test_a_refresh_replaces_a_connection_that_was_lost(tmp_path: Path) -> None:
    """The change itself was saved over the connection of another thread."""
    newest, failures = 1, iter([True])

    def version() -> int:
        is_poll = threading.current_thread().name != "change"
        if newest == 2 and (is_poll or next(failures, False)):
            raise OSError("the server has closed the connection")
        return newest

    def load() -> Snapshot:
        return snapshot(version=newest)

    wiring = Wiring(
        registry=RegistryStore(load_snapshot=load, current_version=version),
        log=LogStore(write=lambda _: None),
    )
    live = Runtime(Config(data_dir=tmp_path, pepper=b"p"), wiring, load())
    newest = 2
    change = threading.Thread(target=live.registry.refresh, name="change")
    change.start()
    await asyncio.to_thread(change.join)
    assert live.snapshot.version == 2
    await live.close()


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.relay.event_loop.service.CANCEL_AGAIN_S", 0.01)
    cancellations = 0

    async def lose_the_first() -> None:
        nonlocal cancellations
        while cancellations < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancellations += 1

    task = asyncio.create_task(lose_the_first())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_tasks([task])
    assert cancellations == 2
