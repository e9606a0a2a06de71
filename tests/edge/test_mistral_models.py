"""The models list of Mistral's SDKs."""

from __future__ import annotations

from pathlib import Path

from tests.relay.harness import gateway, provider, route, snapshot

MISTRAL = {"user-agent": "mistral-client-python/3.7.0 2.881.4 3.11 1.0.0"}


async def test_mistrals_sdks_get_the_fields_that_they_require(tmp_path: Path) -> None:
    """They fail on entries without `type` and `capabilities`."""
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        listed = await gw.post("/v1/models", b"", method="GET", headers=MISTRAL)
        retrieved = await gw.post("/v1/models/cheap", b"", method="GET", headers=MISTRAL)
    (entry,) = listed.json()["data"]
    assert entry == retrieved.json()
    assert (entry["id"], entry["object"], entry["type"]) == ("cheap", "model", "base")
    assert entry["capabilities"]["completion_chat"]
    assert entry["capabilities"]["function_calling"]


async def test_other_clients_get_the_list_of_openai(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        listed = await gw.post("/v1/models", b"", method="GET")
    assert listed.json()["data"][0].keys() == {"id", "object", "created", "owned_by"}


async def test_an_unknown_model_is_not_found(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("cheap", provider("a")))) as gw:
        reply = await gw.post("/v1/models/nope", b"", method="GET", headers=MISTRAL)
    assert (reply.status, reply.json()["error"]["code"]) == (404, "model_not_found")
