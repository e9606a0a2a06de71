"""CPU time of the response cache per request, measured in process without a socket.

    uv run python -m tests.bench.cache             median of seven rounds, in microseconds

`off` is a route without a cache. `miss` looks up the request, asks the provider and stores the
answer; `miss, same dialect` stores it for clients of the same dialect only. `hit` answers from
memory, and `hit, other dialect` renders the stored response for a client of another dialect.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway.routing.cache_policy import CachePolicy
from tests.relay.harness import KEY, Gateway, completion, gateway, provider, route, snapshot

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
_HEADERS = [(b"authorization", b"Bearer " + KEY.encode())]


async def post(gw: Gateway, path: str, content: bytes) -> int:
    """Send a request and return the status of its response."""
    status = 0
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": _HEADERS,
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await gw.app(scope, receive, send)
    return status


def body(text: int, model: str, **more: Any) -> bytes:
    """Return a request whose conversation has about `words` words."""
    turns = [{"role": r, "content": "word " * 200} for r in ("user", "assistant")] * (text // 400)
    history = [*turns, {"role": "user", "content": "and now?"}]
    return msgspec.json.encode({"model": model, "messages": history, "max_tokens": 99, **more})


async def measure_cache(count: int, text: int) -> dict[str, float]:
    """Return the CPU microseconds per request of each kind."""
    response = completion("word " * 100).content

    def answer_request(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=response, headers={"content-type": "application/json"})

    same_dialect = CachePolicy(dialects="same")
    routes = snapshot(
        route("plain", provider("one")),
        msgspec.structs.replace(route("same-dialect", provider("one"), cache=same_dialect), id=3),
        msgspec.structs.replace(route("cached", provider("one"), cache=CachePolicy()), id=2),
    )
    seeds = itertools.count()
    us_by_kind: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder), routes, one=answer_request) as gw:
            gw.runtime.snapshot = msgspec.structs.replace(routes, log_bodies=False)
            request_body = body(text, "cached")
            kinds = {
                "off": lambda: (CHAT, body(text, "plain", seed=next(seeds))),
                "miss": lambda: (CHAT, body(text, "cached", seed=next(seeds))),
                "miss, same dialect": lambda: (CHAT, body(text, "same-dialect", seed=next(seeds))),
                "hit": lambda: (CHAT, request_body),
                "hit, other dialect": lambda: (MESSAGES, request_body),
            }
            for name, create_request in kinds.items():
                requests = [create_request() for _ in range(count)]
                assert await post(gw, *requests[0]) == 200
                start = time.process_time()
                for path, content in requests:
                    await post(gw, path, content)
                us_by_kind[name] = (time.process_time() - start) / count * 1e6
    return us_by_kind


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", "--rounds", type=int, default=7)
    parser.add_argument("-c", "--count", type=int, default=1000)
    options = parser.parse_args(argv)
    for text in (0, 20_000):
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(options.rounds):
            for name, us in asyncio.run(measure_cache(options.count, text)).items():
                times[name].append(us)
        size = len(body(text, "cached"))
        for name, values in times.items():
            print(f"{size:>7} bytes  {name:<18} {statistics.median(values):8.1f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
