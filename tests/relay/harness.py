"""Runs the edge without a server: an ASGI client, scripted upstreams, a recorded log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway.client_spans.span import SpanBatch
from gateway.edge.admission import key_digest
from gateway.edge.app import ModelApi
from gateway.providers.profile import Secret
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.exchange.stored_response import ResponseBackend
from gateway.relay.exchange.trace import Telemetry
from gateway.relay.journal.log_writer import LogStore
from gateway.relay.registry import RegistryStore
from gateway.relay.runtime import Config, LazyRuntime, Runtime
from gateway.relay.upstream.client import Upstreams
from gateway.relay.upstream.web_search import SearchEndpoint
from gateway.relay.wiring import Wiring
from gateway.routing.snapshot import (
    ApiKey,
    Provider,
    Route,
    Snapshot,
    Target,
    Timeouts,
    model_of,
)
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

PEPPER = b"pepper"
KEY = "sk-dgm-test"
ADMIN = "admin-credential"
Answering = Callable[[httpx.Request], Any]
Part = bytes | float | Exception | Callable[[], object]


def provider(name: str, dialect: str = "openai_chat", **changes: Any) -> Provider:
    preset = "openai" if dialect == "openai_chat" else "anthropic"
    base = Provider(
        id=1,
        name=name,
        preset=preset,
        dialect=dialect,
        base_url=f"http://{name}.test",
        auth="bearer",
        credential=Secret(f"sk-upstream-secret-of-{name}"),
        timeouts=Timeouts(connect_s=1, first_byte_s=2, idle_s=2, total_s=10),
    )
    return msgspec.structs.replace(base, **changes)


def route(name: str, *providers: Provider, model: str = "gpt-4.1", **changes: Any) -> Route:
    targets = tuple(
        Target(id=n, model=model_of(p, model), order=n) for n, p in enumerate(providers, start=1)
    )
    return msgspec.structs.replace(Route(id=1, name=name, targets=targets, retries=0), **changes)


def snapshot(*routes: Route, **changes: Any) -> Snapshot:
    key = ApiKey(id=1, prefix="sk-dgm-te", name="test", digest=key_digest(KEY, PEPPER))
    providers = {t.model.provider.name: t.model.provider for r in routes for t in r.targets}
    base = Snapshot(
        version=1,
        routes={r.name: r for r in routes},
        providers=providers,
        keys={key.digest: key},
    )
    return msgspec.structs.replace(base, **changes)


class FakeUpstreams(httpx.AsyncBaseTransport):
    """Scripted upstreams by host name; records `requests` and closed connections in `closed`."""

    def __init__(self, **responses: Answering) -> None:
        self.responses = responses
        self.requests: list[httpx.Request] = []
        self.closed: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        name = request.url.host.removesuffix(".test")
        response = self.responses[name](request)
        if asyncio.iscoroutine(response):
            response = await response
        if isinstance(response, Exception):
            raise response
        closed = self.closed

        class Stream(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                async for part in response.stream:
                    yield part

            async def aclose(self) -> None:
                closed.append(name)

        return httpx.Response(response.status_code, headers=response.headers, stream=Stream())


class PacedBody(httpx.AsyncByteStream):
    """A body of chunks: bytes are sent, numbers are delays in seconds, exceptions are raised.

    Functions are called once everything before them has been read.
    """

    def __init__(self, *parts: Part) -> None:
        self.parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
            elif isinstance(part, Exception):
                raise part
            elif callable(part):
                part()
            else:
                await asyncio.sleep(part)


def sse(*parts: Part) -> httpx.Response:
    return httpx.Response(
        200, headers={"content-type": "text/event-stream"}, stream=PacedBody(*parts)
    )


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    delta = {"content": text} if text is not None else {}
    body = {
        "id": "chatcmpl-up",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def completion(text: str = "hello", **more: Any) -> httpx.Response:
    body = {
        "id": "chatcmpl-up",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        **more,
    }
    return httpx.Response(200, json=body)


def refusal(status: int, message: str = "no", **headers: str) -> httpx.Response:
    body = {"error": {"message": message, "type": "x", "param": None, "code": None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=named)


class Reply:
    """A response as the client received it."""

    def __init__(self) -> None:
        self.status = self.heads = 0
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.ended = False

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def json(self) -> Any:
        return json.loads(self.body)


class Gateway:
    """The gateway under test; `entries` are the log records that the writer thread received."""

    def __init__(
        self, lazy_runtime: LazyRuntime, upstreams: FakeUpstreams, records: list[LogRecord]
    ) -> None:
        assert lazy_runtime.current is not None
        self.lazy_runtime = lazy_runtime
        self.runtime: Runtime = lazy_runtime.current
        self.app = ModelApi(lazy_runtime)
        self.upstreams = upstreams
        self.records = records

    async def post(
        self,
        path: str,
        body: Any,
        *,
        key: str = KEY,
        headers: dict[str, str] | None = None,
        disconnect_after: float | None = None,
        disconnect_once: Callable[[Reply], object] | None = None,
        method: str = "POST",
    ) -> Reply:
        """Send a request; the client disconnects after `disconnect_after` seconds, or once
        `disconnect_once` returns true.
        """
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lower = {"authorization": f"Bearer {key}", **(headers or {})}
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in lower.items() if v],
            "client": ("127.0.0.1", 1),
        }
        reply = Reply()
        body_sent = False

        async def receive() -> dict[str, Any]:
            nonlocal body_sent
            if not body_sent:
                body_sent = True
                return {"type": "http.request", "body": content, "more_body": False}
            if disconnect_once is not None:
                await wait_until_async(lambda: disconnect_once(reply))
            else:
                await asyncio.sleep(3600 if disconnect_after is None else disconnect_after)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                reply.heads += 1
                reply.status = message["status"]
                reply.headers = {k.decode(): v.decode() for k, v in message["headers"]}
                return
            reply.parts.append(message["body"])
            reply.ended = not message.get("more_body", False)

        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await self.app(scope, receive, send)
        return reply

    async def record(self) -> LogRecord:
        """Return the newest log record."""
        return (await self.rows(1))[-1]

    async def rows(self, count: int) -> list[LogRecord]:
        """Return the log records once there are `count` of them."""
        await wait_until_async(lambda: len(self.records) >= count)
        return self.records


@asynccontextmanager
async def gateway(
    tmp_path: Path,
    registry: Snapshot,
    *,
    redis_url: str = "",
    checkpoint: Callable[[list[LogRecord]], object] | None = None,
    start_telemetry: Callable[[], Telemetry] | None = None,
    web_search: SearchEndpoint | None = None,
    write_spans: Callable[[SpanBatch], None] | None = None,
    responses: ResponseBackend | None = None,
    **upstreams: Answering,
) -> AsyncIterator[Gateway]:
    """Run a gateway with these routes, whose providers respond as scripted."""
    records: list[LogRecord] = []
    config = Config(
        data_dir=tmp_path,
        pepper=PEPPER,
        admin_digests=(key_digest(ADMIN, PEPPER),),
        redis_url=redis_url,
        web_search=web_search,
    )
    wiring = Wiring(
        registry=RegistryStore(
            load_snapshot=lambda: registry, current_version=lambda: registry.version
        ),
        log=LogStore(write=records.extend, checkpoint=checkpoint),
        start_telemetry=start_telemetry,
        write_spans=write_spans,
        responses=responses,
    )
    lazy_runtime = LazyRuntime(lambda: config, wiring)
    live = await lazy_runtime.get()
    scripted = FakeUpstreams(**upstreams)
    live.upstreams = Upstreams(scripted)
    try:
        yield Gateway(lazy_runtime, scripted, records)
    finally:
        await live.close()
