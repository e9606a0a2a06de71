"""Batch costs: computed from results or status, counted once; checked models."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.canon.errors import GatewayError
from gateway.edge import batch_file
from gateway.edge.batch_file import BatchLineRewriter
from gateway.providers.batch_prices import batch_price
from gateway.providers.profile import Price
from gateway.relay.exchange.log_record import LogRecord
from gateway.relay.exchange.spool import STEP_BYTES
from gateway.relay.passthrough import batches
from gateway.relay.passthrough.batches import BatchResultReader
from gateway.relay.wiring import BatchLedger
from gateway.routing.snapshot import Budget, Limits, Route, Snapshot, Target, Team, model_of
from tests.relay.harness import (
    ADMIN,
    Gateway,
    PacedBody,
    gateway,
    provider,
    route,
    snapshot,
)
from tests.relay.test_passthrough import OTHER, form, parts_of, two_keys

# Two dollars a million tokens in, eight out, half a dollar from the cache.
PRICE = Price(input=Decimal(2), output=Decimal(8), cache_read=Decimal("0.5"), source="list")
HALF = PRICE.input / 2, PRICE.output / 2, PRICE.cache_read / 2  # type: ignore[operator]


class InMemoryBatchLedger:
    """A ledger in memory in place of the database."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], str] = {}
        self.makers: dict[tuple[str, str], int] = {}
        self.settled: list[tuple[str, str]] = []
        self.rows: list[LogRecord] = []
        self.away = False
        self.calls: list[str] = []

    def record_results_file(self, provider: str, file: str, batch: str, owner: int) -> None:
        self.calls.append("record_results_file")
        self.files[provider, file] = batch

    def batch_of(self, provider: str, file: str) -> str:
        if self.away:
            raise OSError("the database is away")
        return self.files.get((provider, file), "")

    def settle(
        self, provider: str, batch: str, owner: int, rows: Callable[[int], list[LogRecord]]
    ) -> list[LogRecord]:
        self.calls.append("settle")
        if self.away:
            raise OSError("the database is away")
        if (provider, batch) in self.settled:
            return []
        self.settled.append((provider, batch))
        row = rows(self.makers.get((provider, batch), owner))
        self.rows += row
        return row

    def serve(self, live: Any) -> None:
        live.batch_ledger = BatchLedger(self.record_results_file, self.batch_of, self.settle)


def result_line(model: str, read: int, input_tokens: int, **more: Any) -> bytes:
    """Return a line of OpenAI's results for a chat."""
    usage = {
        "prompt_tokens": read,
        "completion_tokens": input_tokens,
        "total_tokens": read + input_tokens,
        **more,
    }
    body = {"id": "chatcmpl-1", "model": model, "choices": [], "usage": usage}
    return line(response={"status_code": 200, "request_id": "r", "body": body}, error=None)


def line(**fields: Any) -> bytes:
    return json.dumps({"id": "batch_req_1", "custom_id": "1", **fields}).encode() + b"\n"


def priced_route(name: str = "m", *, preset: str = "openai", **of_provider: Any) -> Route:
    target_provider = provider("up", preset=preset, **of_provider)
    target = Target(
        id=1, model=msgspec.structs.replace(model_of(target_provider, "gpt-4.1"), price=PRICE)
    )
    return msgspec.structs.replace(route(name, target_provider), targets=(target,))


def registry(*routes: Route, **changes: Any) -> Snapshot:
    test_snapshot = snapshot(*(routes or (priced_route(),)), keys=two_keys(), **changes)
    models = {t.model.label: t.model for r in test_snapshot.routes.values() for t in r.targets}
    return msgspec.structs.replace(test_snapshot, models=models)


class Upstream:
    """An OpenAI with one batch and a file of its results."""

    def __init__(self, results: bytes, **batch_fields: Any) -> None:
        self.results = results
        self.batch_fields = batch_fields

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/batches"):
            batch = {"id": "batch_1", "status": "completed", "output_file_id": "file-out"}
            if request.method == "GET" and request.url.path == "/batches":
                return httpx.Response(
                    200, json={"object": "list", "data": [batch | self.batch_fields]}
                )
            return httpx.Response(200, json=batch | self.batch_fields)
        middle = len(self.results) // 2
        kind = {"content-type": "application/octet-stream"}
        pieces = PacedBody(self.results[:middle], 0.0, self.results[middle:])
        return httpx.Response(200, headers=kind, stream=pieces)


async def create_batch(live: Gateway) -> str:
    """Create a batch and return its id as the client sees it."""
    body = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return str((await live.post("/v1/batches", body)).json()["id"])


async def content(live: Gateway, batch: str, **more: Any) -> bytes:
    body = (await live.post(f"/v1/batches/{batch}", b"", method="GET", **more)).json()
    file = body["output_file_id"]
    return (await live.post(f"/v1/files/{file}/content", b"", method="GET", **more)).body


async def test_results_are_billed_at_the_price_of_batches_once(tmp_path: Path) -> None:
    results = result_line("gpt-4.1-2025-04-14", 1000, 200) + result_line("gpt-4.1", 500, 100)
    results += line(response={"status_code": 400, "body": {"error": {"message": "bad"}}})
    results += line(response=None, error={"code": "batch_expired"})
    book = InMemoryBatchLedger()
    async with gateway(tmp_path, registry(markup=Decimal(3)), up=Upstream(results)) as live:
        book.serve(live.runtime)
        batch = await create_batch(live)
        assert await content(live, batch) == results
        assert await content(live, batch) == results
    first_row, other = book.rows
    assert {row.model for row in book.rows} == {"gpt-4.1"}, "a date in a name is no other model"
    for row, (read, input_tokens) in zip(
        (first_row, other), ((1000, 200), (500, 100)), strict=True
    ):
        assert (row.input_tokens, row.output_tokens) == (read, input_tokens)
        assert row.cost_usd == (read * HALF[0] + input_tokens * HALF[1]) / 1_000_000
        assert row.charged_usd == row.cost_usd * 3
    assert (first_row.endpoint, first_row.service_tier, first_row.price_source) == (
        "batch",
        "batch",
        "list; tier batch",
    )
    assert (first_row.key_id, first_row.key_prefix, first_row.upstream_id) == (
        1,
        "sk-dgm-te",
        "batch_1",
    )
    assert (first_row.provider, first_row.usage_source, first_row.status) == ("up", "reported", 200)


async def test_a_batch_status_with_usage_is_billed(tmp_path: Path) -> None:
    usage = {
        "input_tokens": 3000,
        "input_tokens_details": {"cached_tokens": 1000},
        "output_tokens": 400,
        "output_tokens_details": {"reasoning_tokens": 100},
        "total_tokens": 3400,
    }
    book = InMemoryBatchLedger()
    upstream = Upstream(b"", status="in_progress", usage=usage, model="gpt-4.1-2025-04-14")
    async with gateway(tmp_path, registry(), up=upstream) as live:
        book.serve(live.runtime)
        batch = await create_batch(live)
        assert book.rows == [], "it is not over yet"
        upstream.batch_fields["status"] = "completed"
        await live.post(f"/v1/batches/{batch}", b"", method="GET")
        upstream.results = result_line("gpt-4.1", 9, 9)
        await content(live, batch)
        await live.post("/v1/batches", b"", method="GET")
    (row,) = book.rows
    assert (row.input_tokens, row.cache_read_tokens, row.output_tokens) == (2000, 1000, 400)
    assert row.reasoning_tokens == 100
    assert row.cost_usd == (2000 * HALF[0] + 1000 * HALF[2] + 400 * HALF[1]) / 1_000_000


async def test_a_batch_status_without_usage_is_billed_from_the_results(tmp_path: Path) -> None:
    """Such as a batch that was created before OpenAI reported usage."""
    nothing = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    book = InMemoryBatchLedger()
    results = result_line("gpt-4.1", 10, 10)
    async with gateway(
        tmp_path, registry(), up=Upstream(results, usage=nothing, model="gpt-4.1")
    ) as live:
        book.serve(live.runtime)
        batch = await create_batch(live)
        assert book.rows == []
        await content(live, batch)
    assert len(book.rows) == 1


async def test_the_key_that_created_a_batch_is_charged(tmp_path: Path) -> None:
    book = InMemoryBatchLedger()
    results = result_line("gpt-4.1", 10, 10)
    async with gateway(tmp_path, registry(), up=Upstream(results)) as live:
        book.serve(live.runtime)
        book.makers["up", "batch_1"] = 2
        response = await live.post("/v1/batches/batch_1", b"", method="GET", key=ADMIN)
        file = response.json()["output_file_id"]
        await live.post(f"/v1/files/{file}/content", b"", method="GET", key=ADMIN)
    assert [(row.key_id, row.key_prefix) for row in book.rows] == [(2, "sk-dgm-ot")]


@pytest.mark.parametrize("owner", ["key", "team", "gateway", "provider"])
async def test_a_used_up_budget_does_not_block_the_results(tmp_path: Path, owner: str) -> None:
    """Paid results can be read, cancelled and deleted; new requests are refused."""
    used_up = Budget(total_usd=Decimal("0.000001"))
    spent = registry(priced_route(budget=used_up if owner == "provider" else None))
    keys = {
        digest: msgspec.structs.replace(
            key,
            budget=used_up if owner == "key" else None,
            team=Team(id=4, name="team", budget=used_up) if owner == "team" else None,
        )
        for digest, key in spent.keys.items()
    }
    spent = msgspec.structs.replace(
        spent, keys=keys, budget=used_up if owner == "gateway" else None
    )
    results = result_line("gpt-4.1", 1000, 200)
    book = InMemoryBatchLedger()
    body = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    async with gateway(tmp_path, spent, up=Upstream(results)) as live:
        book.serve(live.runtime)
        batch = await create_batch(live)
        names = {"key": "key:1", "team": "team:4", "gateway": "all", "provider": "provider:1"}
        live.runtime.limiter.sync_spend([(f"{names[owner]}/usd/total", 1, 10**9)])
        refused_response = await live.post("/v1/batches", body)
        assert refused_response.status == 429, refused_response.body
        assert await content(live, batch) == results
        list_reply = await live.post("/v1/batches", b"", method="GET")
        cancelled = await live.post(f"/v1/batches/{batch}/cancel", b"")
        deleted = await live.post(f"/v1/files/{batch}", b"", method="DELETE")
    assert [list_reply.status, cancelled.status, deleted.status] == [200, 200, 200]


async def test_a_limit_of_requests_also_counts_those_that_read(tmp_path: Path) -> None:
    spent = registry()
    keys = {
        digest: msgspec.structs.replace(key, limits=Limits(requests_per_minute=2))
        for digest, key in spent.keys.items()
    }
    spent = msgspec.structs.replace(spent, keys=keys)
    async with gateway(tmp_path, spent, up=Upstream(b"")) as live:
        replies = [await live.post("/v1/batches", b"", method="GET") for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]


async def test_results_that_are_not_read_to_the_end_are_not_counted(tmp_path: Path) -> None:
    results = result_line("gpt-4.1", 10, 10)

    def up(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/batches"):
            return Upstream(b"")(request)
        kind = {"content-type": "application/octet-stream"}
        return httpx.Response(200, headers=kind, stream=PacedBody(results, httpx.ReadError("gone")))

    book = InMemoryBatchLedger()
    async with gateway(tmp_path, registry(), up=up) as live:
        book.serve(live.runtime)
        await content(live, await create_batch(live))
    assert book.rows == []


async def test_an_unavailable_database_does_not_affect_batch_clients(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = InMemoryBatchLedger()
    results = result_line("gpt-4.1", 10, 10)
    async with gateway(tmp_path, registry(), up=Upstream(results)) as live:
        book.serve(live.runtime)
        batch = await create_batch(live)
        book.away = True
        assert await content(live, batch) == results
        assert "could not be computed" in caplog.text
        book.away = False
        await content(live, batch)
    assert len(book.rows) == 1, "who asks again is the next to try"


async def test_a_batch_list_settles_its_batches_with_one_query(tmp_path: Path) -> None:
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    book = InMemoryBatchLedger()
    upstream = Upstream(b"", usage=usage, model="gpt-4.1")
    async with gateway(tmp_path, registry(), up=upstream) as live:
        book.serve(live.runtime)
        for _ in range(3):
            await live.post("/v1/batches", b"", method="GET", key=ADMIN)
    assert len(book.rows) == 1
    assert book.calls == ["record_results_file", "settle"]


async def test_other_uploaded_files_are_not_parsed(tmp_path: Path) -> None:
    book = InMemoryBatchLedger()
    async with gateway(tmp_path, registry(), up=Upstream(result_line("gpt-4.1", 10, 10))) as live:
        book.serve(live.runtime)
        path = "/v1/files/file-else/content"
        assert (await live.post(path, b"", method="GET", key=ADMIN)).status == 200
    assert book.rows == []


# --- Anthropic's ----------------------------------------------------------------------------


def claude_line(kind: str, **usage: Any) -> bytes:
    message = {"model": "claude-opus-5-5", "content": [], "usage": usage}
    result = {"type": kind, "message": message} if kind == "succeeded" else {"type": kind}
    return json.dumps({"custom_id": "1", "result": result}).encode() + b"\n"


async def test_claudes_batch_results_are_billed_with_cache_tokens(tmp_path: Path) -> None:
    lines = claude_line("errored") + claude_line("expired") + claude_line("canceled")
    lines += claude_line(
        "succeeded",
        input_tokens=100,
        cache_read_input_tokens=1000,
        cache_creation_input_tokens=200,
        cache_creation={"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 200},
        output_tokens=50,
        service_tier="batch",
    )
    price = Price(
        input=Decimal(5),
        output=Decimal(25),
        cache_read=Decimal("0.5"),
        cache_write=Decimal("6.25"),
        cache_write_1h=Decimal(10),
        source="list",
    )
    claude = provider("claude", "anthropic_messages", preset="anthropic")
    target = Target(
        id=1, model=msgspec.structs.replace(model_of(claude, "claude-opus-5-5"), price=price)
    )
    test_route = msgspec.structs.replace(route("smart", claude), targets=(target,))
    book = InMemoryBatchLedger()
    headers = {"anthropic-version": "2023-06-01"}

    def up(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/results"):
            kind = {"content-type": "application/x-jsonl"}
            return httpx.Response(200, headers=kind, stream=PacedBody(lines))
        payload = {"id": "msgbatch_1", "processing_status": "ended", "results_url": "https://x"}
        return httpx.Response(200, json=payload)

    async with gateway(tmp_path, registry(test_route), claude=up) as live:
        book.serve(live.runtime)
        params = {"model": "smart", "max_tokens": 5, "messages": []}
        body = {"requests": [{"custom_id": "1", "params": params}]}
        request_body = (await live.post("/v1/messages/batches", body, headers=headers)).json()
        for _ in range(2):
            path = f"/v1/messages/batches/{request_body['id']}/results"
            response = await live.post(path, b"", method="GET", headers=headers)
            assert response.body == lines
    (row,) = book.rows
    assert (row.model, row.cache_write_tokens, row.client_dialect) == (
        "claude-opus-5-5",
        200,
        "anthropic_messages",
    )
    total_usd = 100 * 5 + Decimal("0.5") * 1000 + 10 * 200 + 25 * 50
    assert row.cost_usd == total_usd / 2 / 1_000_000


# --- lines and prices -----------------------------------------------------------------------


def read_usage(data: bytes, *, size: int = 7) -> dict[str, batches.ModelUsage]:
    """Return the sums of results that arrive in chunks of `size` bytes."""
    test_registry = registry()
    results = BatchResultReader(test_registry, test_registry.providers["up"], "batch_1")
    for start in range(0, len(data), size):
        results.feed(data[start : start + size])
    return {record.model: record for record in results.close()}


def test_each_line_is_billed_by_the_length_of_its_own_prompt() -> None:
    long = Price(input=Decimal(4), output=Decimal(16), source="list")
    test_registry = registry()
    ((name, model),) = test_registry.models.items()
    price = msgspec.structs.replace(PRICE, above=((1000, long),))
    test_registry = msgspec.structs.replace(
        test_registry, models={name: msgspec.structs.replace(model, price=price)}
    )
    results = BatchResultReader(test_registry, test_registry.providers["up"], "b")
    results.feed(result_line("gpt-4.1", 600, 0) + result_line("gpt-4.1", 600, 0))
    (short,) = results.close()
    assert short.usd == 1200 * HALF[0] / 1_000_000
    results.feed(result_line("gpt-4.1", 1200, 0))
    (total,) = results.close()
    assert total.usd == (1200 * HALF[0] + 1200 * Decimal(2)) / 1_000_000


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (result_line("gpt-4.1", 5, 3).rstrip(b"\n"), (5, 3)),
        (result_line("gpt-4.1", 5, 3).replace(b"\n", b"\r\n\r\n"), (5, 3)),
        (
            line(
                response={
                    "body": {"model": "gpt-4.1", "usage": {"input_tokens": 5, "output_tokens": 3}}
                }
            ),
            (5, 3),
        ),
        (
            line(
                response={
                    "body": {"model": "gpt-4.1", "usage": {"prompt_tokens": 5, "total_tokens": 5}}
                }
            ),
            (5, 0),
        ),
    ],
    ids=["no line end", "blank lines", "a response", "vectors"],
)
def test_batch_result_lines_of_every_openai_endpoint_are_counted(
    data: bytes, tokens: tuple[int, int]
) -> None:
    usage = read_usage(data)["gpt-4.1"]
    assert (usage.tokens["input"], usage.tokens["output"]) == tokens
    assert usage.usd == (tokens[0] * HALF[0] + tokens[1] * HALF[1]) / 1_000_000


def test_searches_in_a_batch_are_billed_at_their_usual_price() -> None:
    body = {
        "model": "gpt-4.1",
        "usage": {"input_tokens": 5, "output_tokens": 3},
        "tool_usage": {"web_search": {"num_requests": 2}},
    }
    usage = read_usage(line(response={"body": body}))["gpt-4.1"]
    assert usage.usd == (5 * HALF[0] + 3 * HALF[1]) / 1_000_000 + Decimal("0.02")


def test_claudes_searches_and_region_in_a_batch_are_billed() -> None:
    claude = provider("claude", "anthropic_messages", preset="anthropic")
    model = msgspec.structs.replace(model_of(claude, "claude-opus-5-5"), price=PRICE)
    test_route = msgspec.structs.replace(
        route("smart", claude), targets=(Target(id=1, model=model),)
    )
    results = BatchResultReader(registry(test_route), claude, "b")
    results.feed(
        claude_line(
            "succeeded",
            input_tokens=10,
            output_tokens=100,
            inference_geo="us",
            server_tool_use={"web_search_requests": 3},
        )
    )
    (usage,) = results.close()
    tokens_usd = (10 * HALF[0] + 100 * HALF[1]) / 1_000_000
    assert usage.usd == tokens_usd * Decimal("1.1") + Decimal("0.03")


@pytest.mark.parametrize(
    "bad",
    [b"{\n", line(response={"status_code": 200, "body": {"model": "gpt-4.1"}})],
    ids=["no JSON", "no counts"],
)
def test_an_unreadable_result_has_unknown_cost(bad: bytes) -> None:
    sums = read_usage(result_line("gpt-4.1", 5, 3) + bad)
    assert any(usage.usd is None for usage in sums.values())
    assert sums["gpt-4.1"].tokens["input"] == 5


def test_a_line_without_end_is_not_buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_LINE_BYTES", 1000)
    sums = read_usage(result_line("gpt-4.1", 5, 3) + b"x" * 5000, size=100)
    assert sums["gpt-4.1"].usd is not None
    assert sums[""].usd is None


def test_an_operators_tier_precedes_the_batch_share() -> None:
    own_price = Price(input=Decimal(1), output=Decimal(3), source="custom; tier batch")
    assert (
        batch_price(msgspec.structs.replace(PRICE, tiers={"batch": own_price}), "openai")
        is own_price
    )
    assert batch_price(PRICE, "openai").input == 1
    assert batch_price(PRICE, "groq").cache_read == PRICE.cache_read
    plain = batch_price(PRICE, "moonshot")
    assert (plain.input, plain.source) == (
        PRICE.input,
        "list; standard price, no price known for the tier batch",
    )
    assert batch_price(Price(), "openai") == Price()


# --- the file -------------------------------------------------------------------------------


def request(model: Any, custom: str = "1", **more: Any) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": 'a "model" \u4e2d'}]}
    return (
        json.dumps(
            {"custom_id": custom, "method": "POST", "url": "/v1/x", "body": body | more}
        ).encode()
        + b"\n"
    )


async def uploaded(
    tmp_path: Path, lines: bytes, test_snapshot: Snapshot, *, purpose: str = "batch", **more: Any
) -> tuple[Any, list[bytes]]:
    """Return the response to an upload, and the files that the upstream received."""
    files: list[bytes] = []

    def up(request: httpx.Request) -> httpx.Response:
        files.append(parts_of(request)["file"])
        return httpx.Response(200, json={"id": "file-up1", "object": "file"})

    body, headers = form(purpose=purpose, file=("a.jsonl", lines, "application/jsonl"))
    path = more.pop("path", "/v1/files")
    responses = dict.fromkeys(test_snapshot.providers, up)
    async with gateway(tmp_path, test_snapshot, **responses) as live:
        response = await live.post(path, body, headers=headers, **more)
        assert live.runtime.spools.reserved_bytes == 0
    return response, files


def aliased() -> Snapshot:
    return registry(priced_route("my-gpt"), aliases={"quick": "my-gpt"})


async def test_gateway_model_names_in_a_batch_become_the_providers(tmp_path: Path) -> None:
    lines = b"".join(
        request(model, str(n))
        for n, model in enumerate(["my-gpt", "quick", "up/gpt-4.1", "up/ft:mine", "gpt-4.1"])
    )
    reply, (data,) = await uploaded(tmp_path, lines, aliased())
    assert reply.status == 200
    batch_lines = [json.loads(text) for text in data.splitlines()]
    models = ["gpt-4.1", "gpt-4.1", "gpt-4.1", "ft:mine", "gpt-4.1"]
    assert [batch_line["body"].pop("model") for batch_line in batch_lines] == models
    bodies = [json.loads(text) for text in lines.splitlines()]
    for batch_line in bodies:
        del batch_line["body"]["model"]
    assert batch_lines == bodies, "nothing else of a line changes"
    assert data.splitlines()[-1] == lines.splitlines()[-1], (
        "one that keeps its name keeps its bytes"
    )


async def test_a_file_without_gateway_names_is_unchanged(tmp_path: Path) -> None:
    lines = b"\n" + request("gpt-4.1").replace(b"\n", b"\r\n") + b"\n\n" + request("gpt-4.1-mini")
    _, upstream_body = await uploaded(tmp_path, lines, aliased())
    assert upstream_body == [lines]


async def test_other_files_are_not_read_as_batches(tmp_path: Path) -> None:
    lines = request("my-gpt") + b"{"
    _, upstream_body = await uploaded(tmp_path, lines, aliased(), purpose="fine-tune")
    assert upstream_body == [lines]


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (request("gpt-99-nobody"), "`gpt-99-nobody` is not a model of this gateway; use a route"),
        (request("openai/gpt-4.1"), "`openai/gpt-4.1` is not a model of this gateway"),
        (request("far"), "`far` has no target at up"),
        (b'{"custom_id": \n', "JSON"),
        (request(7), "Expected `str | null`"),
        (b"[]\n", "Expected `object`"),
    ],
    ids=["no name", "no provider", "elsewhere", "no JSON", "a number", "a list"],
)
async def test_a_line_that_is_wrong_is_named(tmp_path: Path, last: bytes, message: str) -> None:
    test_registry = registry(
        priced_route("my-gpt"), route("far", provider("else", preset="anthropic"))
    )
    lines = request("my-gpt") + b"\n" + last
    reply, upstream_body = await uploaded(
        tmp_path, lines, test_registry, path="/v1/files?provider=up"
    )
    assert (reply.status, upstream_body) == (400, [])
    error = reply.json()["error"]
    assert error["param"] == "file"
    assert error["message"].startswith("line 3 of the file")
    assert message in error["message"]


async def test_a_key_may_only_name_its_routes_and_models(tmp_path: Path) -> None:
    keys = {
        digest: msgspec.structs.replace(key, routes=("up/files", "my-*"))
        for digest, key in two_keys().items()
    }
    test_snapshot = msgspec.structs.replace(aliased(), keys=keys)
    _, upstream_body = await uploaded(tmp_path, request("my-gpt"), test_snapshot)
    assert len(upstream_body) == 1
    for name in ("gpt-4.1", "up/gpt-4.1"):
        lines = request("my-gpt") + request(name)
        reply, upstream_body = await uploaded(tmp_path, lines, test_snapshot, key=OTHER)
        assert (reply.status, upstream_body) == (403, [])
        assert "line 2" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "twice",
    [
        b'{"body": {"model": "secret", "model": "my-gpt"}}\n',
        b'{"body": {"model": "secret"}, "body": {"model": "gpt-4.1"}}\n',
        b'{"body": {"mod\\u0065l": "secret", "model": "gpt-4.1"}}\n',
    ],
    ids=["model", "body", "escaped"],
)
async def test_only_checked_models_are_readable(tmp_path: Path, twice: bytes) -> None:
    _, (data,) = await uploaded(tmp_path, twice, aliased())
    assert b"secret" not in data
    assert json.loads(data) == {"body": {"model": "gpt-4.1"}}


async def test_the_first_lines_model_selects_the_provider(tmp_path: Path) -> None:
    test_registry = registry(priced_route("my-gpt"), route("other", provider("two"), model="gpt-5"))
    reply, (data,) = await uploaded(tmp_path, request("other"), test_registry)
    assert json.loads(data)["body"]["model"] == "gpt-5"
    reply, got_none = await uploaded(tmp_path, request("gpt-4.1"), test_registry)
    assert (reply.status, got_none) == (400, [])
    assert "name one with `?provider=NAME`" in reply.json()["error"]["message"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_batch_lines_are_independent_of_chunk_boundaries(size: int) -> None:
    data = b"\n\n" + request("my-gpt") + b" \r\n" + request("gpt-4.1") + request("my-gpt")[:-1]
    numbers: list[int] = []

    def name_of(name: str, number: int) -> str:
        numbers.append(number)
        return "new" if name == "my-gpt" else name

    lines = BatchLineRewriter(name_of)
    pieces = [lines.feed(data[start : start + size]) for start in range(0, len(data), size)]
    text = b"".join([*pieces, lines.close()])
    assert numbers == [3, 5, 6]
    parts = text.split(b"\n")
    assert [json.loads(t)["body"]["model"] for t in parts if t.strip()] == ["new", "gpt-4.1", "new"]
    assert parts[:2] == [b"", b""] and parts[3] == b" \r", "nothing else changes"


def test_a_large_file_is_never_completely_in_memory() -> None:
    piece = request("my-gpt", padding="x" * 2000) * 256
    lines = BatchLineRewriter(lambda name, number: "gpt-4.1")
    tracemalloc.start()
    total = sum(len(lines.feed(piece)) for _ in range(100)) + len(lines.close())
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 99 * len(piece)
    assert peak_bytes < 6 * len(piece)


async def test_a_line_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_file, "MAX_LINE_BYTES", 1024 * 1024)
    long = request("my-gpt", padding="x" * 2 * 1024 * 1024)
    reply, upstream_body = await uploaded(tmp_path, request("my-gpt") + long, aliased())
    assert (reply.status, upstream_body) == (400, [])
    assert reply.json()["error"]["message"] == "line 2 of the file has more than 1 MB"


async def test_model_names_in_a_spooled_batch_file_are_replaced(tmp_path: Path) -> None:
    lines = b"".join(request("my-gpt", str(n), padding="x" * 500) for n in range(3000))
    assert len(lines) > 2 * STEP_BYTES
    _, (data,) = await uploaded(tmp_path, lines, aliased())
    batch_lines = [json.loads(text) for text in data.splitlines()]
    assert [batch_line["custom_id"] for batch_line in batch_lines] == [str(n) for n in range(3000)]
    assert {batch_line["body"]["model"] for batch_line in batch_lines} == {"gpt-4.1"}


@pytest.mark.parametrize("end", [', "Model": 1}}', r', "\u004dodel": 1}}', '}, "BODY": 1}'])
def test_a_line_with_a_field_in_another_case_is_refused(end: str) -> None:
    lines = BatchLineRewriter(lambda name, number: "gpt-4.1")
    with pytest.raises(GatewayError) as error:
        lines.feed(b'{"body": {"model": "my-gpt"' + end.encode() + b"\n")
    start = "line 1 of the file: `"
    assert error.value.error.message.startswith((f"{start}Model`", f"{start}BODY`"))
