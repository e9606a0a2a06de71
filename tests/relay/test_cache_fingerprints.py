"""Fingerprints of the last user text avoid computing the cache keys of new prompts."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from gateway.relay.cache import key as cache_key
from gateway.relay.exchange.call import Client
from tests.relay.harness import gateway
from tests.relay.test_cache import CHAT, CountingUpstream, cached, registry


async def test_a_cache_key_is_computed_only_for_possibly_stored_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request with a new last user text is new, whatever precedes it."""
    keys = []
    build_key = cache_key.build_key
    monkeypatch.setattr(cache_key, "build_key", lambda *a: keys.append(build_key(*a)) or keys[-1])

    def request_body(text: str, system: str = "be kind") -> dict[str, Any]:
        first = {"role": "system", "content": system}
        return {"model": "smart", "messages": [first, {"role": "user", "content": text}]}

    upstream = CountingUpstream()
    async with gateway(tmp_path, registry(cached(max_bytes=1)), one=upstream) as gw:
        for text in ("one", "two", "two"):
            reply = await gw.post(CHAT, request_body(text))
            assert reply.headers["x-dragoman-cache"] == "miss"
    assert keys == []
    async with gateway(tmp_path, registry(cached()), one=upstream) as gw:
        for text in ("one", "two"):
            await gw.post(CHAT, request_body(text))
        assert len(keys) == 2  # of the responses to keep
        other = await gw.post(CHAT, request_body("one", system="be cruel"))
        second_reply = await gw.post(CHAT, request_body("one"))
    assert len(set(keys)) == 3
    assert (other.headers["x-dragoman-cache"], second_reply.headers["x-dragoman-cache"]) == (
        "miss",
        "hit",
    )


async def test_the_sink_of_a_response_is_freed_after_its_end() -> None:
    """The sink references the client, so a cycle would need the garbage collector."""

    class RecordingSink:
        def __init__(self, client: Client) -> None:
            self.client = client
            self.received = b""

        def collect_chunk(self, status: int, data: bytes) -> None:
            self.received += data

        def end(self, status: int, data: bytes) -> None:
            self.received += data

    async def send(message: Any) -> None:
        pass

    client = Client(send)
    sink = RecordingSink(client)
    client.add_sink(sink)
    await client.reply(200, [], b"answer")
    assert sink.received == b"answer"
    freed = weakref.ref(sink)
    gc.disable()
    try:
        del client, sink
        assert freed() is None
    finally:
        gc.enable()
