"""A client's own credential is sent to providers that allow it, and to no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.providers.profile import Secret
from gateway.routing.snapshot import Provider
from tests.relay.harness import KEY, completion, gateway, provider, refusal, route, snapshot

OWN = "own-credential-0123456789"
BODY = {"model": "r", "messages": [{"role": "user", "content": "hi"}]}
CLAUDE = {**BODY, "max_tokens": 9}


def allowing_provider(dialect: str = "openai_chat", **changes: Any) -> Provider:
    return provider("one", dialect, **{"client_credential": True, **changes})


def message() -> httpx.Response:
    content = [{"type": "text", "text": "hello"}]
    usage = {"input_tokens": 1, "output_tokens": 1}
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    return httpx.Response(
        200, json={**body, "content": content, "stop_reason": "end_turn", "usage": usage}
    )


async def test_an_oauth_token_of_a_native_client_stays_in_its_header(tmp_path: Path) -> None:
    """Claude Code sends its token in `Authorization`, with OAuth in `anthropic-beta`."""
    target_provider = allowing_provider(
        "anthropic_messages", auth="x-api-key", credential=Secret("provider-key-1")
    )
    headers = {
        "authorization": f"Bearer {OWN}",
        "x-dragoman-key": KEY,
        "anthropic-beta": "oauth-2025-04-20",
    }
    async with gateway(
        tmp_path, snapshot(route("r", target_provider)), one=lambda _: message()
    ) as gw:
        reply = await gw.post("/v1/messages", CLAUDE, headers=headers)
        (upstream_request,) = gw.upstreams.requests
    assert reply.status == 200
    assert upstream_request.headers["authorization"] == f"Bearer {OWN}"
    assert upstream_request.headers["anthropic-beta"] == "oauth-2025-04-20"
    assert not {"x-api-key", "x-dragoman-key"} & set(upstream_request.headers)


async def test_litellms_name_of_the_gateway_keys_header_works_too(tmp_path: Path) -> None:
    registry = snapshot(route("r", allowing_provider(credential=Secret("provider-key-1"))))
    headers = {"authorization": f"Bearer {OWN}", "x-litellm-api-key": f"Bearer {KEY}"}
    async with gateway(tmp_path, registry, one=lambda _: completion()) as gw:
        await gw.post("/v1/chat/completions", BODY, headers=headers)
        (upstream_request,) = gw.upstreams.requests
        record = await gw.record()
    assert upstream_request.headers["authorization"] == f"Bearer {OWN}"
    assert record.key_id == 1


@pytest.mark.parametrize(
    "key_header",
    [
        {"x-dragoman-key": " "},
        {"x-litellm-api-key": "Bearer "},
        {"x-dragoman-key": KEY},
        {"x-litellm-api-key": f"Bearer {KEY}"},
    ],
)
async def test_the_gateway_key_in_the_usual_header_is_not_sent_to_the_provider(
    tmp_path: Path, key_header: dict[str, str]
) -> None:
    """An empty header comes from a variable that is not set; some clients send the key in both."""
    registry = snapshot(route("r", allowing_provider(credential=Secret("provider-key-1"))))
    headers = {"authorization": f"Bearer {KEY}", **key_header}
    async with gateway(tmp_path, registry, one=lambda _: completion()) as gw:
        await gw.post("/v1/chat/completions", BODY, headers=headers)
        (upstream_request,) = gw.upstreams.requests
        record = await gw.record()
    assert record.key_id == 1
    assert upstream_request.headers["authorization"] == "Bearer provider-key-1"


async def test_a_client_of_another_api_has_its_key_moved_to_the_providers_header(
    tmp_path: Path,
) -> None:
    target_provider = allowing_provider(
        "anthropic_messages", auth="x-api-key", credential=Secret("provider-key-1")
    )
    headers = {"authorization": f"Bearer {OWN}", "x-dragoman-key": KEY}
    async with gateway(
        tmp_path, snapshot(route("r", target_provider)), one=lambda _: message()
    ) as gw:
        await gw.post("/v1/chat/completions", BODY, headers=headers)
        (upstream_request,) = gw.upstreams.requests
    assert upstream_request.headers["x-api-key"] == OWN
    assert "authorization" not in upstream_request.headers


@pytest.mark.parametrize(
    ("allowed", "headers"),
    [
        (False, {"authorization": f"Bearer {OWN}", "x-dragoman-key": KEY}),
        (True, {}),
        (True, {"x-dragoman-key": KEY, "authorization": ""}),
    ],
    ids=["not allowed", "no gateway key of its own", "none sent"],
)
async def test_otherwise_the_providers_own_credential_is_sent(
    tmp_path: Path, allowed: bool, headers: dict[str, str]
) -> None:
    target_provider = allowing_provider(
        client_credential=allowed, credential=Secret("provider-key-1")
    )
    async with gateway(
        tmp_path, snapshot(route("r", target_provider)), one=lambda _: completion()
    ) as gw:
        await gw.post("/v1/chat/completions", BODY, headers=headers)
        (upstream_request,) = gw.upstreams.requests
    assert upstream_request.headers["authorization"] == "Bearer provider-key-1"


async def test_without_any_credential_the_error_names_the_header(tmp_path: Path) -> None:
    registry = snapshot(route("r", allowing_provider(credential=Secret(""))))
    async with gateway(tmp_path, registry, one=lambda _: completion()) as gw:
        reply = await gw.post("/v1/chat/completions", BODY)
        assert not gw.upstreams.requests
    assert reply.status == 401
    assert "x-dragoman-key" in reply.json()["error"]["message"]


async def test_without_the_gateway_key_the_error_names_its_header(tmp_path: Path) -> None:
    registry = snapshot(route("r", allowing_provider()))
    async with gateway(tmp_path, registry, one=lambda _: completion()) as gw:
        reply = await gw.post("/v1/chat/completions", BODY, key=OWN)
    assert reply.status == 401
    assert "send the gateway key as `x-dragoman-key`" in reply.json()["error"]["message"]


async def test_the_log_has_no_credential_even_if_the_provider_repeats_it(tmp_path: Path) -> None:
    registry = snapshot(route("r", allowing_provider()), log_bodies=True)
    headers = {"authorization": f"Bearer {OWN}", "x-dragoman-key": KEY}
    response = lambda _: completion(f"you sent {OWN}")  # noqa: E731
    async with gateway(tmp_path, registry, one=response) as gw:
        reply = await gw.post("/v1/chat/completions", BODY, headers=headers)
        record = await gw.record()
    assert reply.status == 200
    assert record.bodies is not None
    assert b"you sent *****" in (record.bodies.upstream_response or b"")
    assert OWN not in repr(record)
    assert OWN not in repr(msgspec.structs.asdict(record.bodies))
    assert record.bodies.client_headers["authorization"] == "***"


async def test_a_rejected_credential_is_the_clients_error_and_opens_no_circuit(
    tmp_path: Path,
) -> None:
    registry = snapshot(route("r", allowing_provider(credential=Secret("provider-key-1"))))
    headers = {"authorization": f"Bearer {OWN}", "x-dragoman-key": KEY}
    responses = [refusal(401, f"token {OWN} is expired"), refusal(429, "slow"), completion()]
    async with gateway(tmp_path, registry, one=lambda _: responses.pop(0)) as gw:
        reply = await gw.post("/v1/chat/completions", BODY, headers=headers)
        assert reply.status == 401
        assert OWN.encode() not in reply.body
        await gw.post("/v1/chat/completions", BODY, headers=headers)
        assert (await gw.post("/v1/chat/completions", BODY, headers=headers)).status == 200
