"""The log's housekeeping runs beside the requests, and a failure does not end it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.relay.runtime import Config, Runtime, Wiring
from tests.relay.harness import snapshot
from tests.waits import until_in_loop


async def test_it_goes_on_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.relay.runtime.FIRST_UPKEEP_S", 0.01)
    monkeypatch.setattr("gateway.relay.runtime.UPKEEP_S", 0.01)
    calls: list[int] = []

    def upkeep() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("the database is away")

    wiring = Wiring(
        load_snapshot=snapshot, current_version=lambda: 1, write=lambda _: None, upkeep=upkeep
    )
    live = Runtime(Config(data_dir=tmp_path, pepper=b"p"), wiring, snapshot())
    await until_in_loop(lambda: len(calls) >= 3)
    await live.close()
    assert "housekeeping failed" in caplog.text
