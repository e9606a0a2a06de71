"""Log maintenance runs concurrently with requests, and a failure does not end it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.relay.journal.log_writer import LogStore
from gateway.relay.registry import RegistryStore
from gateway.relay.runtime import Config, Runtime
from gateway.relay.wiring import Wiring
from tests.relay.harness import snapshot
from tests.waits import wait_until_async


async def test_upkeep_continues_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.relay.journal.log_writer.FIRST_PRUNE_S", 0.01)
    monkeypatch.setattr("gateway.relay.journal.log_writer.PRUNE_INTERVAL_S", 0.01)
    calls: list[int] = []

    def prune() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("the database is away")

    wiring = Wiring(
        registry=RegistryStore(load_snapshot=snapshot, current_version=lambda: 1),
        log=LogStore(write=lambda _: None, prune=prune),
    )
    live = Runtime(Config(data_dir=tmp_path, pepper=b"p"), wiring, snapshot())
    await wait_until_async(lambda: len(calls) >= 3)
    await live.close()
    assert "housekeeping failed" in caplog.text
