"""A client's Idempotency-Key with a provider account that all clients share."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.edge.admission import key_digest
from gateway.routing.snapshot import ApiKey
from tests.relay.harness import KEY, PEPPER, completion, gateway, provider, route, snapshot

BODY = {"model": "r", "messages": [{"role": "user", "content": "x"}]}
OTHER = "sk-dgm-other"


async def test_two_keys_that_choose_the_same_value_send_different_ones(tmp_path: Path) -> None:
    registry = snapshot(route("r", provider("up")))
    other = ApiKey(id=2, prefix="sk-dgm-ot", name="other", digest=key_digest(OTHER, PEPPER))
    registry = msgspec.structs.replace(registry, keys={**registry.keys, other.digest: other})
    async with gateway(tmp_path, registry, up=lambda _: completion()) as gw:
        for key, value in (
            (KEY, "order-1"),
            (KEY, "order-1"),
            (OTHER, "order-1"),
            (KEY, "order-2"),
        ):
            headers = {"authorization": f"Bearer {key}", "idempotency-key": value}
            reply = await gw.post("/v1/chat/completions", BODY, headers=headers)
            assert reply.status == 200
        sent_keys = [request.headers["idempotency-key"] for request in gw.upstreams.requests]
        assert sent_keys[0] == sent_keys[1], "a retry of a client is one to the provider"
        assert len(set(sent_keys)) == 3
        assert not any("order" in value for value in sent_keys)
        assert all(len(value) <= 255 for value in sent_keys)
