"""LiteLLM's own fields of a request are applied or reported, and never sent to a provider."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.providers.catalog import PRESETS
from gateway.routing.cache_policy import CachePolicy
from gateway.routing.snapshot import Snapshot
from gateway.simulate.dry_run import RoutingState, build_call, dry_run
from tests.relay.harness import completion, gateway, provider, refusal, route, snapshot

CHAT = "/v1/chat/completions"
A, B, C = (provider(name) for name in "abc")
MESSAGES = [{"role": "user", "content": "hi"}]
TOO_LONG = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
}


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "r", "messages": MESSAGES, **more}


def registry(**changes: Any) -> Snapshot:
    return snapshot(route("r", A, **changes), route("backup", B), route("large", C))


def too_long(_: httpx.Request) -> httpx.Response:
    return httpx.Response(400, json=TOO_LONG)


async def sent_and_dropped(
    tmp_path: Path, path: str, body: Any, **changes: Any
) -> tuple[dict[str, Any], str]:
    """What the upstream gets of a request, and the header of the response that reports losses."""
    async with gateway(tmp_path, registry(**changes), a=lambda _: completion()) as live:
        reply = await live.post(path, body)
        assert reply.status == 200, reply.body
        sent = json.loads(live.upstreams.requests[-1].content)
    return sent, reply.headers.get("x-dragoman-dropped", "")


@pytest.mark.parametrize(
    "own",
    [
        {"tags": ["a"]},
        {"litellm_metadata": {"tags": ["a"], "session_id": "s"}},
        {"litellm_session_id": "s", "litellm_trace_id": "t"},
        {"num_retries": 2, "timeout": 30, "stream_timeout": 5},
        {"fallbacks": ["backup"], "context_window_fallbacks": [{"r": ["large"]}]},
        {"content_policy_fallbacks": ["backup"]},
        {"disable_fallbacks": True},
    ],
    ids=lambda own: next(iter(own)),
)
async def test_fields_with_an_effect_are_not_sent(tmp_path: Path, own: dict[str, Any]) -> None:
    sent, dropped = await sent_and_dropped(tmp_path, CHAT, chat(**own, temperature=0.5))
    assert sent == {"model": "gpt-4.1", "messages": MESSAGES, "temperature": 0.5}
    assert dropped == ""


@pytest.mark.parametrize(
    "name",
    ["no-log", "caching", "max_retries", "drop_params", "custom_llm_provider", "user_api_key"],
)
async def test_fields_without_an_effect_are_reported(tmp_path: Path, name: str) -> None:
    sent, dropped = await sent_and_dropped(tmp_path, CHAT, chat(**{name: True}))
    assert (sent, dropped) == ({"model": "gpt-4.1", "messages": MESSAGES}, name)


@pytest.mark.parametrize("preset", ["openai", "azure_openai", "azure-openai-v1", "groq", "mistral"])
async def test_fields_of_other_gateways_do_not_reach_strict_providers(
    tmp_path: Path, preset: str
) -> None:
    """The gateway selects targets by `session_id`, and LiteLLM queues by `priority`."""
    one = provider("a", preset=preset, edits=PRESETS[preset].edits)
    body = chat(priority=1, session_id="s1")
    async with gateway(tmp_path, snapshot(route("r", one)), a=lambda _: completion()) as live:
        reply = await live.post(CHAT, body)
    assert {"priority", "session_id"}.isdisjoint(json.loads(live.upstreams.requests[0].content))
    assert reply.headers["x-dragoman-dropped"] == "session_id, priority"


async def test_a_strict_route_rejects_fields_without_an_effect(tmp_path: Path) -> None:
    async with gateway(tmp_path, registry(strict=True), a=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat(**{"no-log": True}))
    assert (reply.status, reply.json()["error"]["param"]) == (400, "no-log")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("mock_response", "hello", "provider `demo`"),
        ("mock_testing_fallbacks", True, "provider `demo`"),
        ("api_key", "sk-own", "cannot choose the endpoint or credential"),
        ("api_base", "http://127.0.0.1", "cannot choose the endpoint or credential"),
        ("prompt_id", "welcome", "dragoman.prompt"),
        ("num_retries", -1, "from 0 to 10"),
        ("num_retries", 11, "from 0 to 10"),
        ("num_retries", "many", "whole number"),
        ("timeout", 0, "number of seconds"),
        ("timeout", "soon", "number of seconds"),
        ("fallbacks", ["nowhere"], "`nowhere` does not exist"),
        ("fallbacks", [{"model": "backup", "temperature": 0}], "other parameters"),
        ("fallbacks", [7], "name of a model"),
        ("fallbacks", ["backup"] * 21, "at most 20"),
    ],
)
async def test_what_cannot_be_applied_is_rejected(
    tmp_path: Path, name: str, value: Any, reason: str
) -> None:
    async with gateway(tmp_path, registry(), a=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat(**{name: value}))
    error = reply.json()["error"]
    assert reply.status in {400, 404} and reason in error["message"], error
    assert error["param"].startswith(name)
    assert live.upstreams.requests == []


async def test_a_model_of_the_demo_provider_gets_a_mock_response(tmp_path: Path) -> None:
    demo = msgspec.structs.replace(A, base_url="demo://local")
    routes = snapshot(route("r", demo))
    async with gateway(tmp_path, routes) as live:
        reply = await live.post(CHAT, chat(mock_response="hello"))
    assert reply.json()["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize("field", ["mock_response", "timeout", "fallbacks", "num_retries"])
async def test_null_is_no_value(tmp_path: Path, field: str) -> None:
    sent, dropped = await sent_and_dropped(tmp_path, CHAT, chat(**{field: None}))
    assert (sent, dropped) == ({"model": "gpt-4.1", "messages": MESSAGES}, "")


async def test_tags_and_session_are_logged(tmp_path: Path) -> None:
    bodies = [
        chat(tags=["a", "b"], litellm_session_id="s1"),
        chat(
            metadata={"tags": ["a", "b"], "team": "x", "scores": [1]},
            litellm_trace_id="s1",
            store=True,
        ),
        chat(litellm_metadata={"tags": ["a", "b"], "session_id": "s1", "user_id": "u"}),
    ]
    async with gateway(tmp_path, registry(), a=lambda _: completion()) as live:
        replies = [await live.post(CHAT, body) for body in bodies]
        rows = await live.rows(len(bodies))
        sent = [json.loads(request.content) for request in live.upstreams.requests]
    assert [(row.tags, row.session) for row in rows] == [(["a", "b"], "s1")] * 3
    assert rows[2].end_user == "u"
    assert [body.get("metadata") for body in sent] == [None, {"team": "x"}, None]
    dropped = [reply.headers.get("x-dragoman-dropped") for reply in replies]
    assert dropped == [None, "metadata.scores", None]


async def test_tags_in_the_body_add_to_those_of_the_header(tmp_path: Path) -> None:
    async with gateway(tmp_path, registry(), a=lambda _: completion()) as live:
        await live.post(CHAT, chat(tags=["b"]), headers={"x-litellm-tags": "a"})
        row = await live.record()
    assert row.tags == ["a", "b"]


async def test_a_message_request_keeps_only_the_user_in_its_metadata(tmp_path: Path) -> None:
    claude = provider("claude", "anthropic_messages")
    user = {"user_id": '{"device_id":"d","account_uuid":"u","session_id":"s"}'}
    body = {"model": "m", "max_tokens": 9, "messages": MESSAGES}
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "x",
        "content": [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    async with gateway(
        tmp_path,
        snapshot(route("m", claude, model="claude-sonnet-4-5")),
        claude=lambda _: httpx.Response(200, json=message),
    ) as live:
        own = {**user, "tags": ["a"], "trace_id": "t", "team": "x"}
        for metadata in (user, own):
            reply = await live.post("/v1/messages", {**body, "metadata": metadata})
            assert reply.status == 200, reply.body
        rows = await live.rows(2)
        sent = [json.loads(request.content) for request in live.upstreams.requests]
    assert [body["metadata"] for body in sent] == [user, user]
    assert [row.tags for row in rows] == [[], ["a"]]
    assert rows[1].session == "t"
    assert rows[1].adaptations == [
        {"field": "metadata.team", "action": "dropped", "note": "only user_id is sent"}
    ]


async def test_fallbacks_of_messages_with_objects_are_those_of_the_provider(
    tmp_path: Path,
) -> None:
    claude = provider("claude", "anthropic_messages")
    fallbacks = [{"model": "claude-haiku-4-5"}]
    body = {"model": "m", "max_tokens": 9, "messages": MESSAGES, "fallbacks": fallbacks}
    async with gateway(
        tmp_path,
        snapshot(route("m", claude, model="claude-sonnet-4-5")),
        claude=lambda _: refusal(400),
    ) as live:
        await live.post("/v1/messages", body)
        assert json.loads(live.upstreams.requests[-1].content)["fallbacks"] == fallbacks


@pytest.mark.parametrize(
    "fallbacks", [["backup"], [{"r": ["backup"]}], [{"model": "backup"}], [{"*": ["backup"]}]]
)
async def test_fallbacks_of_the_request_are_tried(tmp_path: Path, fallbacks: Any) -> None:
    async with gateway(
        tmp_path,
        registry(fallbacks=("large",)),
        a=lambda _: refusal(500),
        b=lambda _: completion("from b"),
    ) as live:
        reply = await live.post(CHAT, chat(fallbacks=fallbacks))
    assert reply.json()["choices"][0]["message"]["content"] == "from b"
    assert [request.url.host[0] for request in live.upstreams.requests] == ["a", "b"]


@pytest.mark.parametrize(
    "own",
    [
        {"fallbacks": ["large"]},
        {"fallbacks": ["backup"], "context_window_fallbacks": [{"r": ["large"]}]},
        {"context_window_fallbacks": ["large"]},
    ],
)
async def test_a_context_error_has_fallbacks_too(tmp_path: Path, own: dict[str, Any]) -> None:
    async with gateway(
        tmp_path, registry(), a=too_long, b=lambda _: completion(), c=lambda _: completion("c")
    ) as live:
        reply = await live.post(CHAT, chat(**own))
    assert reply.json()["choices"][0]["message"]["content"] == "c"
    assert [request.url.host[0] for request in live.upstreams.requests] == ["a", "c"]


@pytest.mark.parametrize("field", ["fallbacks", "context_window_fallbacks"])
async def test_the_response_of_a_requested_fallback_is_not_cached_for_others(
    tmp_path: Path, field: str
) -> None:
    responses = [refusal(500) if field == "fallbacks" else too_long, completion("main")]
    cached = registry(cache=CachePolicy())

    def main(request: httpx.Request) -> httpx.Response:
        response = responses.pop(0)
        return response(request) if callable(response) else response

    async with gateway(tmp_path, cached, a=main, b=lambda _: completion("backup")) as live:
        replies = [await live.post(CHAT, chat(**own)) for own in ({field: ["backup"]}, {}, {})]
    texts = [reply.json()["choices"][0]["message"]["content"] for reply in replies]
    assert texts == ["backup", "main", "main"]
    assert [reply.headers.get("x-dragoman-cache") for reply in replies] == [None, "miss", "hit"]


async def test_a_request_can_disable_fallbacks(tmp_path: Path) -> None:
    async with gateway(tmp_path, registry(fallbacks=("backup",)), a=lambda _: refusal(500)) as live:
        reply = await live.post(CHAT, chat(disable_fallbacks=True))
    assert reply.status == 500
    assert len(live.upstreams.requests) == 1


async def test_a_limited_key_names_no_other_fallbacks(tmp_path: Path) -> None:
    limited = registry()
    keys = {d: msgspec.structs.replace(key, routes=("r",)) for d, key in limited.keys.items()}
    limited = msgspec.structs.replace(limited, keys=keys)
    async with gateway(tmp_path, limited, a=lambda _: completion()) as live:
        replies = [
            await live.post(CHAT, chat(**{field: [{"r": ["backup"]}]}))
            for field in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
        ]
    assert [reply.status for reply in replies] == [403, 403, 403]
    assert live.upstreams.requests == []


@pytest.mark.parametrize(
    ("own", "headers"),
    [({"num_retries": 2}, {}), ({}, {"x-litellm-num-retries": "2"})],
    ids=["field", "header"],
)
async def test_a_request_sets_its_retries(
    tmp_path: Path, own: dict[str, Any], headers: dict[str, str]
) -> None:
    failing = registry(backoff_s=0.001)
    async with gateway(tmp_path, failing, a=lambda _: refusal(500)) as live:
        await live.post(CHAT, chat(), headers={})
        assert len(live.upstreams.requests) == 1
        await live.post(CHAT, chat(**own), headers=headers)
    assert len(live.upstreams.requests) == 1 + 3


@pytest.mark.parametrize(
    ("own", "headers"),
    [
        ({"timeout": 0.2}, {}),
        ({"timeout": 60, "stream_timeout": 0.2, "stream": True}, {}),
        ({}, {"x-litellm-timeout": "0.2"}),
        ({"stream": True}, {"x-litellm-stream-timeout": "0.2"}),
    ],
)
async def test_a_request_shortens_its_timeout(
    tmp_path: Path, own: dict[str, Any], headers: dict[str, str]
) -> None:
    """The provider would have two seconds."""
    slow_provider = provider("a")

    async def respond_late() -> httpx.Response:
        await asyncio.sleep(1.5)
        return completion()

    async with gateway(
        tmp_path, snapshot(route("r", slow_provider)), a=lambda _: respond_late()
    ) as live:
        reply = await live.post(CHAT, chat(**own), headers=headers)
    assert (reply.status, reply.json()["error"]["code"]) == (504, "timeout"), reply.body


async def test_an_invalid_header_is_named(tmp_path: Path) -> None:
    async with gateway(tmp_path, registry(), a=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat(), headers={"x-litellm-timeout": "soon"})
    error = reply.json()["error"]
    assert (reply.status, error["param"]) == (400, "x-litellm-timeout")


async def test_embeddings_lose_the_fields_too(tmp_path: Path) -> None:
    embedding = {"object": "embedding", "index": 0, "embedding": [0.5]}
    answer = {
        "object": "list",
        "model": "e",
        "data": [embedding],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
    embeds = snapshot(route("e", A, model="text-embedding-3-small"))
    async with gateway(tmp_path, embeds, a=lambda _: httpx.Response(200, json=answer)) as live:
        body = {"model": "e", "input": "hi", "tags": ["a"], "metadata": {"tags": ["b"]}}
        reply = await live.post("/v1/embeddings", body)
        row = await live.record()
        sent = json.loads(live.upstreams.requests[-1].content)
    assert reply.status == 200, reply.body
    assert sent == {"model": "text-embedding-3-small", "input": "hi"}
    assert row.tags == ["a", "b"]


def test_a_dry_run_applies_the_fields() -> None:
    state = RoutingState(
        snapshot=registry(),
        health={},
        latency_by_target={},
        now=0.0,
        draw=lambda: 0.5,
        simulated_failures={"a/gpt-4.1": "500"},
    )
    body = chat(fallbacks=["backup"], tags=["x"], metadata={"tags": ["y"]})
    run = dry_run(
        state, build_call(state.snapshot, "openai_chat", body), state.snapshot.routes["r"]
    )
    assert [target.candidate.target.model.label for target in run.targets] == [
        "a/gpt-4.1",
        "b/gpt-4.1",
    ]
    assert run.prepared_request is not None
    assert json.loads(run.prepared_request.content) == {"model": "gpt-4.1", "messages": MESSAGES}
    wrong = build_call(state.snapshot, "openai_chat", chat(timeout="soon"))
    run = dry_run(state, wrong, state.snapshot.routes["r"])
    assert run.error is not None
    assert run.error.param == "timeout"
