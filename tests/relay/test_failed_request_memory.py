"""The bodies of a failed request are freed at once, not by the next garbage collection.

The collector counts objects, not bytes: it may run after hundreds of requests, of which each may
have kept megabytes.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.canon.errors import GatewayError
from gateway.relay.exchange.call import Exchange
from gateway.relay.upstream.client import Upstreams
from gateway.relay.upstream.http1 import Transport
from gateway.routing.snapshot import Route
from tests.relay.harness import PacedBody, chunk, completion, gateway, provider, refusal, route
from tests.relay.harness import snapshot as snapshot_of
from tests.servers import listening_port
from tests.waits import wait_until_async

MESSAGES = [{"role": "user", "content": "hi"}]
HEADERS = httpx.Headers({"content-type": "application/json"})


@contextmanager
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def broken_stream(_: httpx.Request) -> httpx.Response:
    parts = PacedBody(chunk("hello"), httpx.ReadError("cut"))
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=parts)


FAILURES: dict[str, Any] = {
    "refused": lambda _: refusal(400, "no"),
    "busy": lambda _: refusal(429, "busy"),
    "no JSON": lambda _: httpx.Response(200, content=b"<"),
    "too large": lambda _: httpx.Response(200, content=b" " * (33 * 1024 * 1024)),
    "cut off": broken_stream,
    "none": lambda _: completion(),
}


def routes() -> dict[str, Route]:
    one, two = provider("up"), provider("up", id=2)
    return {
        "one target": route("m", one),
        "retries": route("m", one, two, retries=2),
        "hedged": route("m", one, two, hedge_after_s=0.01),
    }


def living(kind: type) -> list[object]:
    return [o for o in gc.get_objects() if isinstance(o, kind)]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("form", routes())
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_request_is_freed(
    tmp_path: Path, failure: str, form: str, path: str
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": MESSAGES}
    registry = snapshot_of(routes()[form])
    async with gateway(tmp_path, registry, up=FAILURES[failure]) as live:
        await live.post(path, body)
        with no_collection():
            reply = await live.post(path, body)
            # The log's thread still has the last record.
            await wait_until_async(lambda: not living(Exchange), within_s=5)
    assert (reply.status >= 400) == (failure != "none")


class Content(bytes):
    """Bytes that are found among the collector's objects."""


async def test_a_request_is_freed_if_the_upstream_closes_its_connection() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with listening_port(close) as port:
        upstreams, url = Upstreams(Transport()), httpx.URL(f"http://127.0.0.1:{port}/")
        with no_collection():
            with pytest.raises(GatewayError):
                await upstreams.send("POST", url, HEADERS, Content(b"{}"), 5, network=None)
            contents = living(Content)
        await upstreams.close()
    assert contents == []
