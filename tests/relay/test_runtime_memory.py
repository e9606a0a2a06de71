"""The memory of a runtime is freed once it is closed."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

from tests.relay.harness import completion, gateway, provider, route, snapshot


async def test_a_later_runtime_is_freed_after_its_end(tmp_path: Path) -> None:
    """The first runtime of a process freezes its objects; a later one must not."""

    async def run(number: int) -> weakref.ref[object]:
        registry = snapshot(route("r", provider("up")))
        async with gateway(tmp_path / str(number), registry, up=lambda _: completion()) as gw:
            messages = [{"role": "user", "content": "x"}]
            reply = await gw.post("/v1/chat/completions", {"model": "r", "messages": messages})
            assert reply.status == 200
            return weakref.ref(gw.runtime)

    await run(1)
    later = [await run(2), await run(3)]
    gc.collect()
    assert [ref() for ref in later] == [None, None]
