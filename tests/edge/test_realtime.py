"""A Realtime session at the edge without a server: budgets, keys, inactivity and shutdown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.edge.responses_websocket import serve_websocket
from gateway.guardrails.guardrail import Guardrail, PatternSettings
from gateway.providers.profile import Price, Secret
from gateway.relay.upstream import access_tokens
from gateway.relay.upstream.access_tokens import Grant
from gateway.routing.limits import Budget, Limits
from gateway.routing.snapshot import Provider, Route, Snapshot, Timeouts
from tests.fakes.realtime import FLOOD_MB, StrictRealtime
from tests.fakes.realtime import KEY as UPSTREAM_KEY
from tests.relay.harness import KEY, Gateway, gateway, provider, route, snapshot
from tests.waits import WAIT_TIMEOUT_S, wait_until_async

PRICE = Price(
    input=Decimal(4),
    output=Decimal(16),
    cache_read=Decimal("0.4"),
    input_audio=Decimal(32),
    output_audio=Decimal(64),
    source="list",
)


@pytest.fixture
def upstream() -> Iterator[StrictRealtime]:
    with StrictRealtime() as server:
        yield server


def realtime_provider(upstream: StrictRealtime, name: str = "a", **changes: Any) -> Provider:
    fields = {"base_url": f"{upstream.url}/v1", "credential": Secret(UPSTREAM_KEY), **changes}
    return provider(name, **fields)


def realtime_route(*providers: Provider, **changes: Any) -> Route:
    plain = route("voice", *providers, model="gpt-realtime", **changes)
    targets = tuple(
        msgspec.structs.replace(t, model=msgspec.structs.replace(t.model, price=PRICE))
        for t in plain.targets
    )
    return msgspec.structs.replace(plain, targets=targets)


def with_key(registry: Snapshot, **changes: Any) -> Snapshot:
    keys = {d: msgspec.structs.replace(key, **changes) for d, key in registry.keys.items()}
    return msgspec.structs.replace(registry, keys=keys)


class EdgeClient:
    """A client of the edge without a server."""

    def __init__(self, live: Gateway, query: bytes = b"model=voice") -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reads: Callable[[], Awaitable[object]] | None = None
        self._to_gateway: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._to_gateway.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "path": "/v1/realtime",
            "query_string": query,
            "headers": [(b"authorization", f"Bearer {KEY}".encode())],
            "extensions": {"websocket.http.response": {}},
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.create_task(
            serve_websocket(live.lazy_runtime, scope, self._to_gateway.get, self._receive)
        )

    async def _receive(self, message: dict[str, Any]) -> None:
        if self.reads is not None:
            await self.reads()
        self.messages.put_nowait(message)

    async def next(self) -> dict[str, Any]:
        """Return the next message of the server."""
        return await asyncio.wait_for(self.messages.get(), WAIT_TIMEOUT_S)

    async def until(self, event_type: str) -> dict[str, Any]:
        """Return the next event of this type."""
        while True:
            message = await self.next()
            assert message["type"] in {"websocket.accept", "websocket.send"}, message
            if message["type"] == "websocket.send":
                event: dict[str, Any] = json.loads(message["text"])
                if event["type"] == event_type:
                    return event

    def send_text(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        self.send({"type": "conversation.item.create", "item": item})
        self.send({"type": "response.create"})

    def send(self, event: dict[str, Any]) -> None:
        message = {"type": "websocket.receive", "text": json.dumps(event)}
        self._to_gateway.put_nowait(message)

    async def disconnect(self, code: int = 1000) -> None:
        self._to_gateway.put_nowait({"type": "websocket.disconnect", "code": code})
        await asyncio.wait_for(self.task, WAIT_TIMEOUT_S)


@asynccontextmanager
async def running_gateway(tmp_path: Path, registry: Snapshot) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, registry) as live:
        yield live


async def closed(session: EdgeClient) -> int:
    """Return the code with which the gateway closes the session."""
    message = await session.next()
    assert message["type"] == "websocket.close", message
    await asyncio.wait_for(session.task, WAIT_TIMEOUT_S)
    return int(message["code"])


async def test_a_rejected_access_token_is_replaced_once(
    tmp_path: Path, upstream: StrictRealtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    grants = iter([Grant("stale", 3600.0), Grant(UPSTREAM_KEY, 3600.0)])
    monkeypatch.setitem(access_tokens._FETCH, "entra", lambda fields, proxy: next(grants))
    monkeypatch.setattr(access_tokens, "RETRY_PAUSE_S", 0.0)
    credential = Secret('{"tenant_id": "t", "client_id": "c", "client_secret": "s3cret-s3cret"}')
    cloud = realtime_provider(upstream, auth="entra", credential=credential)
    async with running_gateway(tmp_path, snapshot(realtime_route(cloud))) as live:
        session = EdgeClient(live)
        await session.until("session.created")
        await session.disconnect()
    assert upstream.refused == [401]


async def test_a_budget_that_is_used_up_ends_the_session(
    tmp_path: Path, upstream: StrictRealtime
) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    registry = with_key(registry, budget=Budget(day_usd=Decimal("0.05")))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        session.send_text("hello")
        await session.until("response.done")
        session.send_text("hello again")
        await session.until("response.done")
        error = (await session.until("error"))["error"]
        assert "daily budget" in error["message"]
        assert await closed(session) == 1008
        second = EdgeClient(live)
        assert (await second.next())["status"] == 429
        await second.task
        await wait_until_async(lambda: len(live.records) == 2)
    row = live.records[0]
    assert (row.outcome, row.error_kind) == ("cut", "quota")
    assert row.output_tokens == 600
    assert row.cost_usd is not None
    assert row.cost_usd > Decimal("0.05")
    await wait_until_async(lambda: upstream.sessions[0].close_code == 1008)


async def test_a_revoked_key_ends_the_session(tmp_path: Path, upstream: StrictRealtime) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        await session.until("session.created")
        runtime = await live.lazy_runtime.get()
        runtime.swap(msgspec.structs.replace(registry, keys={}))
        assert "no longer valid" in (await session.until("error"))["error"]["message"]
        assert await closed(session) == 1008


CARDS = Guardrail(name="cards", settings=PatternSettings(pii=("credit_card",)), everywhere=True)


@pytest.mark.parametrize("change", ["routes", "everywhere", "route guardrail", "none"])
async def test_a_session_ends_when_a_new_one_would_be_refused(
    tmp_path: Path, upstream: StrictRealtime, change: str
) -> None:
    route_now = realtime_route(realtime_provider(upstream))
    registry = snapshot(route_now)
    guarded = msgspec.structs.replace(route_now, guardrails=("cards",))
    cards = msgspec.structs.replace(CARDS, everywhere=False)
    changed = {
        "routes": with_key(registry, routes=("other",)),
        "everywhere": msgspec.structs.replace(registry, guardrails={"cards": CARDS}),
        "route guardrail": snapshot(guarded, guardrails={"cards": cards}),
        "none": msgspec.structs.replace(registry, guardrails={"cards": cards}),
    }[change]
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        await session.until("session.created")
        runtime = await live.lazy_runtime.get()
        runtime.swap(changed)
        if change == "none":
            await asyncio.sleep(1.2)
            assert not upstream.sessions[0].close_code
            return
        expected = "may no longer use" if change == "routes" else "has guardrails now"
        assert expected in (await session.until("error"))["error"]["message"]
        assert await closed(session) == 1008


async def test_an_upstream_that_does_not_respond_ends_the_session(
    tmp_path: Path, upstream: StrictRealtime
) -> None:
    brief = Timeouts(connect_s=5, first_byte_s=1, idle_s=5, total_s=10)
    registry = snapshot(realtime_route(realtime_provider(upstream, timeouts=brief)))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        session.send_text("silent")
        assert "in time" in (await session.until("error"))["error"]["message"]
        assert await closed(session) == 1011
        await wait_until_async(lambda: live.records)
    assert (live.records[0].outcome, live.records[0].error_kind) == ("cut", "timeout")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("realtime_idle_s", "no message for 0.1 seconds"),
        ("realtime_session_s", "this session has been open for 0.1 seconds, the limit"),
    ],
)
async def test_a_session_ends_at_its_limits_of_time(
    tmp_path: Path, upstream: StrictRealtime, setting: str, message: str
) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    async with running_gateway(tmp_path, registry) as live:
        runtime = await live.lazy_runtime.get()
        runtime.config = msgspec.structs.replace(runtime.config, **{setting: 0.1})
        session = EdgeClient(live)
        assert message in (await session.until("error"))["error"]["message"]
        assert await closed(session) == 1000


async def test_a_shutdown_ends_an_idle_session(tmp_path: Path, upstream: StrictRealtime) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        await session.until("session.created")
        (await live.lazy_runtime.get()).begin_drain(WAIT_TIMEOUT_S)
        assert await closed(session) == 1012
        await wait_until_async(lambda: upstream.sessions[0].close_code == 1012)


async def test_the_end_of_a_shutdown_stops_a_response(
    tmp_path: Path, upstream: StrictRealtime
) -> None:
    patient = Timeouts(connect_s=5, first_byte_s=60, idle_s=60, total_s=60)
    registry = snapshot(realtime_route(realtime_provider(upstream, timeouts=patient)))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        session.send_text("silent")
        await session.until("conversation.item.added")
        await wait_until_async(lambda: len(upstream.sessions[0].events) == 2)
        (await live.lazy_runtime.get()).begin_drain(0.6)
        assert "shutting down" in (await session.until("error"))["error"]["message"]
        assert await closed(session) == 1012
        await wait_until_async(lambda: live.records)
    assert live.records[0].outcome == "cut"


async def test_a_session_occupies_a_slot_of_the_concurrency_limit(
    tmp_path: Path, upstream: StrictRealtime
) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    registry = with_key(registry, limits=Limits(concurrency=1))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        await session.until("session.created")
        second = EdgeClient(live)
        assert (await second.next())["status"] == 429
        await second.task
        await session.disconnect()
        third = EdgeClient(live)
        await third.until("session.created")
        await third.disconnect()


async def test_the_next_target_is_tried_before_the_handshake(
    tmp_path: Path, upstream: StrictRealtime
) -> None:
    refusing_provider = realtime_provider(upstream, "b", credential=Secret("sk-wrong"))
    registry = snapshot(realtime_route(refusing_provider, realtime_provider(upstream)))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        await session.until("session.created")
        await session.disconnect()
        await wait_until_async(lambda: live.records)
    assert upstream.refused == [401]
    assert [attempt.status for attempt in live.records[0].attempts] == [401, 101]
    assert live.records[0].provider == "a"


@pytest.mark.parametrize("query", [b"", b"model=voice&model=other", b"call_id=1", b"intent=x"])
async def test_a_request_that_is_not_served_is_refused(
    tmp_path: Path, upstream: StrictRealtime, query: bytes
) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live, query)
        assert (await session.next())["status"] == 400
        await session.task
    assert upstream.sessions == []


async def test_a_log_with_bodies_has_counts_and_no_texts(
    tmp_path: Path, upstream: StrictRealtime
) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)), log_bodies=True)
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        session.send_text("a private text")
        await session.until("response.done")
        await session.disconnect()
        await wait_until_async(lambda: live.records)
    bodies = live.records[0].bodies
    assert bodies is not None
    text = repr(bodies)
    assert "response.output_text.delta" in text
    assert "conversation.item.create" in text
    for secret in ("a private text", "Hello", KEY, UPSTREAM_KEY):
        assert secret not in text


@pytest.mark.parametrize(
    ("preset", "path", "params"),
    [
        ("openai", "/v1/realtime", {"model": ["gpt-realtime"]}),
        (
            "azure_openai",
            "/v1/openai/realtime",
            {"api-version": ["2025-04-01-preview"], "deployment": ["gpt-realtime"]},
        ),
    ],
)
async def test_the_upstream_model_is_sent_where_the_provider_expects_it(
    tmp_path: Path,
    upstream: StrictRealtime,
    preset: str,
    path: str,
    params: dict[str, list[str]],
) -> None:
    query = (("api-version", "2024-10-21"),) if preset == "azure_openai" else ()
    target = realtime_provider(upstream, preset=preset, query=query)
    upstream.path, upstream.model_param = path, "deployment" if query else "model"
    async with running_gateway(tmp_path, snapshot(realtime_route(target))) as live:
        session = EdgeClient(live)
        await session.until("session.created")
        await session.disconnect()
    assert (upstream.sessions[0].path, upstream.sessions[0].query) == (path, params)


async def test_a_client_that_does_not_read_pauses_the_upstream(
    tmp_path: Path, upstream: StrictRealtime
) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    reading = asyncio.Event()
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        await session.until("session.created")
        session.reads = reading.wait
        session.send_text("flood")
        flooded_samples: list[int] = []

        def is_held_up() -> bool:
            flooded_samples.append(upstream.flooded)
            return (
                flooded_samples[-1] > 0
                and len(flooded_samples) > 50
                and flooded_samples[-50] == flooded_samples[-1]
            )

        await wait_until_async(is_held_up)
        # The buffers of sockets and queues hold some of it; a socket's grows to 32 MB on some systems.
        assert upstream.flooded < FLOOD_MB * 3 // 4
        reading.set()
        await session.until("response.done")
        assert upstream.flooded == FLOOD_MB
        await session.disconnect()


async def test_a_cancelled_session_does_not_wait_for_a_client_that_does_not_read(
    tmp_path: Path, upstream: StrictRealtime
) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    reading = asyncio.Event()
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        await session.until("session.created")
        session.reads = reading.wait
        session.task.cancel()
        done, _ = await asyncio.wait({session.task}, timeout=10)
        reading.set()
        assert done


# --- transcription of the client's audio ----------------------------------------------------------


def transcription(model: str) -> dict[str, Any]:
    audio = {"input": {"transcription": {"model": model}}}
    return {"type": "session.update", "session": {"type": "realtime", "audio": audio}}


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("gpt-4o-transcribe", Decimal("6.0001")),  # 1M audio tokens at $6, 10 of text at $10
        ("whisper-1", Decimal("0.006")),  # a minute at $0.36 an hour
        ("unknown-model", None),
    ],
)
async def test_transcriptions_are_part_of_the_cost(
    tmp_path: Path, upstream: StrictRealtime, model: str, usd: Decimal | None
) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        session.send(transcription(model))
        session.send({"type": "input_audio_buffer.commit"})
        await session.until("conversation.item.input_audio_transcription.completed")
        await session.disconnect()
        await wait_until_async(lambda: live.records)
    assert live.records[0].cost_usd == usd
    assert not live.records[0].input_tokens


async def test_a_budget_counts_transcriptions(tmp_path: Path, upstream: StrictRealtime) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    registry = with_key(registry, budget=Budget(day_usd=Decimal(5)))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        session.send(transcription("gpt-4o-transcribe"))
        session.send({"type": "input_audio_buffer.commit"})
        await session.until("error")
        assert await closed(session) == 1008


async def test_a_transcription_without_a_price_does_not_suspend_the_budget(
    tmp_path: Path, upstream: StrictRealtime
) -> None:
    registry = snapshot(realtime_route(realtime_provider(upstream)))
    registry = with_key(registry, budget=Budget(day_usd=Decimal("0.01")))
    async with running_gateway(tmp_path, registry) as live:
        session = EdgeClient(live)
        session.send(transcription("unknown-model"))
        session.send({"type": "input_audio_buffer.commit"})
        await session.until("conversation.item.input_audio_transcription.completed")
        session.send_text("hello")
        await session.until("response.done")
        await session.until("error")
        assert await closed(session) == 1008
        second = EdgeClient(live)
        assert (await second.next())["status"] == 429, "the known cost counts after the session"
        await second.task
        await wait_until_async(lambda: len(live.records) == 2)
    row = live.records[0]
    assert row.cost_usd is not None and row.cost_usd > Decimal("0.01")
    assert row.price_source.endswith("; the price of a part is unknown")
