"""Batches need files whose requests were checked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.guardrails.guardrail import Guardrail
from gateway.routing.snapshot import Snapshot
from tests.relay.harness import gateway
from tests.relay.test_batches import aliased, request
from tests.relay.test_passthrough import FileOwners, form


@pytest.mark.parametrize("routes", [("up/*", "my-*"), ()], ids=["limited", "guardrails"])
async def test_a_batch_needs_a_file_whose_requests_were_checked(
    tmp_path: Path, routes: tuple[str, ...]
) -> None:
    """A provider may accept a file that was uploaded with another purpose."""
    base = aliased() if routes else aliased_with_guardrail()
    keys = {
        digest: msgspec.structs.replace(key, routes=routes) for digest, key in base.keys.items()
    }
    test_registry, file_owners = msgspec.structs.replace(base, keys=keys), FileOwners()
    batch = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    async with gateway(tmp_path, test_registry, up=file_owners) as live:
        file_owners.remember(live.runtime)
        ids = []
        for purpose in ("batch", "user_data"):
            lines = request("my-gpt") if purpose == "batch" else request("secret")
            body, headers = form(purpose=purpose, file=("a.jsonl", lines, "application/jsonl"))
            reply = await live.post("/v1/files", body, headers=headers)
            ids.append(reply.json()["id"])
        reply = await live.post("/v1/batches", {**batch, "input_file_id": ids[0]})
        assert reply.status == 200
        requests = len(live.upstreams.requests)
        reply = await live.post("/v1/batches", {**batch, "input_file_id": ids[1]})
        assert (reply.status, len(live.upstreams.requests)) == (400, requests)
        assert reply.json()["error"]["param"] == "input_file_id"
        file_owners.is_away = True
        reply = await live.post("/v1/batches", {**batch, "input_file_id": ids[0]})
        assert (reply.status, len(live.upstreams.requests)) == (503, requests)


def aliased_with_guardrail() -> Snapshot:
    return msgspec.structs.replace(aliased(), guardrails={"mask": Guardrail(name="mask")})
