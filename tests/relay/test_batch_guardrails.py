"""Route guardrails on batch results, which are read long after the requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.relay.state.batch_guardrails import BatchGuardrails, BatchGuardrailTable
from gateway.routing.snapshot import Snapshot
from tests.relay.card_number import shows_card
from tests.relay.harness import ADMIN, Gateway, PacedBody, gateway, provider, route, snapshot
from tests.relay.test_guardrail_passthrough import MASK, RESULTS, batch_line
from tests.relay.test_passthrough import form, two_keys

RESPONSES_ONLY = msgspec.structs.replace(
    MASK, everywhere=False, check_requests=False, check_responses=True
)
CONTENT = b"".join(json.dumps(line).encode() + b"\n" for line in RESULTS)
KIND = {"content-type": "application/octet-stream"}
ANTHROPIC = {"anthropic-version": "2023-06-01"}


class FakeTable:
    """An in-memory table of resource owners."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[str]] = {}
        self.away = False

    def record(self, provider: str, owner: int, id_: str, names: Sequence[str]) -> None:
        self.rows[provider, id_] = list(names)

    def find(self, provider: str, ids: Sequence[str]) -> dict[str, list[str]]:
        if self.away:
            raise OSError("the database is away")
        return {id_: self.rows[provider, id_] for id_ in ids if (provider, id_) in self.rows}

    def serve(self, live: Gateway) -> None:
        table = BatchGuardrailTable(self.record, self.find)
        live.runtime.batch_guardrails = BatchGuardrails(table, live.runtime.resource_threads)


def openai_batches(request: httpx.Request) -> httpx.Response:
    """Respond as OpenAI: a file, its batch, and the results."""
    path = request.url.path
    if path.endswith("/content"):
        return httpx.Response(200, headers=KIND, stream=PacedBody(CONTENT))
    if path.startswith("/files"):
        return httpx.Response(200, json={"id": "file-in", "object": "file"})
    batch = {"id": "batch_1", "status": "completed", "input_file_id": "file-in"}
    batch |= {"output_file_id": "file-out", "error_file_id": None}
    if request.method == "GET" and path == "/batches":
        return httpx.Response(200, json={"object": "list", "data": [batch]})
    return httpx.Response(200, json=batch)


def registry(*, guardrails: tuple[str, ...] = ("mask",), dialect: str = "") -> Snapshot:
    target_provider = provider("up", dialect) if dialect else provider("up")
    guarded, plain = (
        route("r", target_provider, guardrails=guardrails),
        route("plain", target_provider),
    )
    return snapshot(guarded, plain, guardrails={"mask": RESPONSES_ONLY}, keys=two_keys())


async def uploaded(live: Gateway, *models: str, purpose: str = "batch") -> str:
    lines = "\n".join(json.dumps(batch_line("hello", model)) for model in models)
    body, headers = form(purpose=purpose, file=("b.jsonl", lines.encode(), "application/jsonl"))
    reply = await live.post("/v1/files", body, headers=headers)
    assert reply.status == 200, reply.body
    return str(reply.json()["id"])


async def results_of(live: Gateway, file: str, *, is_listed: bool = False) -> Any:
    """Return the response with the results of a batch of this file, as its client reads them."""
    body = {"endpoint": "/v1/chat/completions", "input_file_id": file, "completion_window": "24h"}
    batch = (await live.post("/v1/batches", body)).json()
    key = {"key": ADMIN} if is_listed else {}
    if is_listed:
        (batch,) = (await live.post("/v1/batches", b"", method="GET", **key)).json()["data"]
    path = f"/v1/files/{batch['output_file_id']}/content"
    return await live.post(path, b"", method="GET", **key)


@pytest.mark.parametrize("is_listed", [False, True], ids=["created", "listed"])
async def test_results_have_the_guardrails_of_the_routes_of_the_file(
    tmp_path: Path, is_listed: bool
) -> None:
    table = FakeTable()
    async with gateway(tmp_path, registry(), up=openai_batches) as live:
        table.serve(live)
        reply = await results_of(live, await uploaded(live, "plain", "r"), is_listed=is_listed)
    assert reply.status == 200
    assert b"[CREDIT_CARD]" in reply.body
    assert not shows_card(reply.body)
    assert table.rows == {("up", "file-in"): ["mask"], ("up", "file-out"): ["mask"]}


async def test_results_of_other_routes_are_passed_through(tmp_path: Path) -> None:
    table = FakeTable()
    async with gateway(tmp_path, registry(), up=openai_batches) as live:
        table.serve(live)
        reply = await results_of(live, await uploaded(live, "plain"))
    assert reply.body == CONTENT
    assert table.rows == {}


async def test_results_of_an_anthropic_batch_are_checked(tmp_path: Path) -> None:
    table = FakeTable()

    def up(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/results"):
            return httpx.Response(200, headers=KIND, stream=PacedBody(CONTENT))
        return httpx.Response(200, json={"id": "msgbatch_1", "processing_status": "ended"})

    params = {"model": "r", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    body = {"requests": [{"custom_id": "1", "params": params}]}
    async with gateway(tmp_path, registry(dialect="anthropic_messages"), up=up) as live:
        table.serve(live)
        batch = (await live.post("/v1/messages/batches", body, headers=ANTHROPIC)).json()["id"]
        path = f"/v1/messages/batches/{batch}/results"
        reply = await live.post(path, b"", method="GET", headers=ANTHROPIC)
    assert reply.status == 200
    assert b"[CREDIT_CARD]" in reply.body
    assert not shows_card(reply.body)
    assert table.rows == {("up", "msgbatch_1"): ["mask"]}


async def test_without_the_database_no_results_are_sent_unchecked(tmp_path: Path) -> None:
    table = FakeTable()
    table.away = True
    async with gateway(tmp_path, registry(), up=openai_batches) as live:
        table.serve(live)
        reply = await live.post("/v1/files/file-out/content", b"", method="GET", key=ADMIN)
    assert reply.status == 503
    assert not shows_card(reply.body)


async def test_lines_of_togethers_batch_files_are_checked(tmp_path: Path) -> None:
    """Together's `purpose` is `batch-api`."""
    block = msgspec.structs.replace(MASK, action="block")
    limited_route = route("r", provider("up"))
    test_snapshot = snapshot(limited_route, guardrails={"mask": block})
    lines = json.dumps(batch_line("4111 1111 1111 1111")).encode()
    body, headers = form(purpose="batch-api", file=("b.jsonl", lines, "application/jsonl"))
    async with gateway(tmp_path, test_snapshot, up=openai_batches) as live:
        reply = await live.post("/v1/files", body, headers=headers)
        assert live.upstreams.requests == []
    assert reply.json()["error"]["code"] == "guardrail_blocked"
