"""Limits of concurrent background responses."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.edge.admission import key_digest
from gateway.relay.run import background
from gateway.routing.snapshot import ApiKey
from tests.relay.harness import PEPPER, completion, gateway, provider, route, snapshot
from tests.relay.test_responses import DictStore
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

REQUEST = {"model": "m", "input": "hi", "background": True}
OTHER_KEY = "sk-dgm-other"


async def test_one_key_does_not_take_all_background_responses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "MAX_JOBS_PER_OWNER", 2)
    hold = asyncio.Event()

    async def slow(_: Any) -> Any:
        await hold.wait()
        return completion()

    registry = snapshot(route("m", provider("a", preset="custom")), log_bodies=True)
    other = ApiKey(id=2, prefix="sk-dgm-ot", name="other", digest=key_digest(OTHER_KEY, PEPPER))
    registry = msgspec.structs.replace(registry, keys={**registry.keys, other.digest: other})
    async with gateway(tmp_path, registry, responses=DictStore().backend(), a=slow) as live:
        statuses = [(await live.post("/v1/responses", REQUEST)).status for _ in range(3)]
        others = await live.post(
            "/v1/responses", REQUEST, headers={"authorization": f"Bearer {OTHER_KEY}"}
        )
        hold.set()
        await wait_until_async(lambda: live.runtime.metrics.requests_in_flight == 0)
        # A job ends after its response is stored, which is later than the end of its request.
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while (again := await live.post("/v1/responses", REQUEST)).status == 429:
                await asyncio.sleep(0.01)
        await wait_until_async(lambda: live.runtime.metrics.requests_in_flight == 0)
    assert statuses == [200, 200, 429]
    assert (others.status, again.status) == (200, 200)
