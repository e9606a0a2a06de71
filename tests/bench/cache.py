"""What the look for a kept answer costs: CPU time a request in process, without a socket.

    uv run python -m tests.bench.cache             median of seven turns, in microseconds

`off` is a route that keeps none, `miss` one that looks, asks and keeps (`own`: only for who
asks in the same form), `hit` one that has the answer in memory, `other form` one that renders
it for another dialect.
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
    """One request; its status."""
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


def body(words: int, model: str, **more: Any) -> bytes:
    """A question of about so many words, in turns."""
    turns = [{"role": r, "content": "word " * 200} for r in ("user", "assistant")] * (words // 400)
    history = [*turns, {"role": "user", "content": "and now?"}]
    return msgspec.json.encode({"model": model, "messages": history, "max_tokens": 99, **more})


async def measure_cache(count: int, words: int) -> dict[str, float]:
    """CPU microseconds a request of each kind."""
    answer = completion("word " * 100).content

    def says(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=answer, headers={"content-type": "application/json"})

    own = CachePolicy(dialects="own")
    known = snapshot(
        route("plain", provider("one")),
        msgspec.structs.replace(route("own", provider("one"), cache=own), id=3),
        msgspec.structs.replace(route("kept", provider("one"), cache=CachePolicy()), id=2),
    )
    seeds = itertools.count()
    process_times_by_name: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder), known, one=says) as gw:
            gw.runtime.snapshot = msgspec.structs.replace(known, log_bodies=False)
            request_body = body(words, "kept")
            kinds = {
                "off": lambda: (CHAT, body(words, "plain", seed=next(seeds))),
                "miss": lambda: (CHAT, body(words, "kept", seed=next(seeds))),
                "miss, own": lambda: (CHAT, body(words, "own", seed=next(seeds))),
                "hit": lambda: (CHAT, request_body),
                "other form": lambda: (MESSAGES, request_body),
            }
            for name, make in kinds.items():
                result = [make() for _ in range(count)]
                assert await post(gw, *result[0]) == 200
                began = time.process_time()
                for path, content in result:
                    await post(gw, path, content)
                process_times_by_name[name] = (time.process_time() - began) / count * 1e6
    return process_times_by_name


def main(argv: list[str] | None = None) -> int:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", "--turns", type=int, default=7)
    parser.add_argument("-c", "--count", type=int, default=1000)
    options = parser.parse_args(argv)
    for words in (0, 20_000):
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(options.turns):
            for name, us in asyncio.run(measure_cache(options.count, words)).items():
                times[name].append(us)
        size = len(body(words, "kept"))
        for name, time_ in times.items():
            print(f"{size:>7} bytes  {name:<10} {statistics.median(time_):8.1f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
