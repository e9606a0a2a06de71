"""Message threads: passed to Anthropic, answered with the SDKs' recoverable errors elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.routing.snapshot import CachePolicy
from tests.relay.harness import completion, gateway, provider, route, snapshot

Json = dict[str, Any]

CREATE, CONTINUE = {"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}
MESSAGE: Json = {"id": "msg_2", "type": "message", "role": "assistant", "model": "m"}
MESSAGE |= {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
MESSAGE |= {"usage": {"input_tokens": 1, "output_tokens": 1}}
WITHOUT_THREADS = [
    ("openai", "openai_chat"),
    ("bedrock-anthropic", "anthropic_messages"),
    ("deepseek-anthropic", "anthropic_messages"),
    ("custom-anthropic", "anthropic_messages"),
]


async def sent(
    tmp_path: Path, preset: str, dialect: str, thread: Any, *, text: str = "hi", **changes: Any
) -> tuple[int, Json, list[Json]]:
    """Send a request twice; return status, body, and the bodies of the upstream requests."""
    upstream = provider("a", dialect, preset=preset)
    registry = snapshot(route("m", upstream, model="some-model", **changes))
    body: Json = {"model": "m", "max_tokens": 9, "thread": thread}
    body["messages"] = [{"role": "user", "content": text}] if text else []

    def respond(request: httpx.Request) -> httpx.Response:
        return completion() if dialect == "openai_chat" else httpx.Response(200, json=MESSAGE)

    async with gateway(tmp_path, registry, a=respond) as gw:
        for _ in range(2):
            reply = await gw.post("/v1/messages", body)
        sent_bodies = [json.loads(request.content) for request in gw.upstreams.requests]
    return reply.status, json.loads(reply.body), sent_bodies


@pytest.mark.parametrize("thread", [CREATE, CONTINUE])
async def test_anthropic_gets_each_request_of_a_thread(tmp_path: Path, thread: Json) -> None:
    cache = CachePolicy()
    status, _, upstream_bodies = await sent(
        tmp_path, "anthropic", "anthropic_messages", thread, cache=cache
    )
    assert status == 200
    assert [body["thread"] for body in upstream_bodies] == [thread, thread]


@pytest.mark.parametrize(("preset", "dialect"), WITHOUT_THREADS)
async def test_the_first_request_of_a_thread_is_served_anywhere(
    tmp_path: Path, preset: str, dialect: str
) -> None:
    status, _, upstream_bodies = await sent(tmp_path, preset, dialect, CREATE)
    assert status == 200
    assert all("thread" not in body for body in upstream_bodies)


@pytest.mark.parametrize(("preset", "dialect"), WITHOUT_THREADS)
async def test_a_continued_thread_is_not_found_elsewhere(
    tmp_path: Path, preset: str, dialect: str
) -> None:
    status, body, upstream_bodies = await sent(tmp_path, preset, dialect, CONTINUE)
    assert (status, body["error"]["type"]) == (404, "not_found_error")
    assert body["error"]["details"] == {"error_code": "thread_not_found"}
    assert upstream_bodies == []


async def test_a_paused_turn_continues_without_a_new_message(tmp_path: Path) -> None:
    dialect = "anthropic_messages"
    status, _, upstream_bodies = await sent(tmp_path, "anthropic", dialect, CONTINUE, text="")
    assert (status, upstream_bodies[0]["messages"]) == (200, [])
    status, body, _ = await sent(tmp_path / "2", "openai", "openai_chat", CONTINUE, text="")
    assert (status, body["error"]["details"]) == (404, {"error_code": "thread_not_found"})
    status, _, _ = await sent(tmp_path / "3", "anthropic", dialect, CREATE, text="")
    assert status == 400


async def test_a_strict_route_tells_the_sdk_to_send_no_thread(tmp_path: Path) -> None:
    status, body, upstream_bodies = await sent(
        tmp_path, "openai", "openai_chat", CREATE, strict=True
    )
    assert status == 400
    assert body["error"]["details"]["error_code"] == "thread_unsupported_request"
    assert upstream_bodies == []


async def test_no_thread_is_null(tmp_path: Path) -> None:
    status, _, upstream_bodies = await sent(
        tmp_path, "custom-anthropic", "anthropic_messages", None
    )
    assert (status, upstream_bodies[0]["thread"]) == (200, None)
