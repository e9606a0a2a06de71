"""Fallback steps by error kind, retries, tags, session affinity and weighted splits."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.routing.candidates import ERROR_CLASSES
from gateway.routing.snapshot import ApiKey, Route, RouteStep, Snapshot, Target, model_of
from tests.relay.harness import (
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
A, B, C = provider("a"), provider("b"), provider("c")
ANTHROPIC = provider("a", "anthropic_messages")


def chat_request(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | more


def openai_error(status: int, code: str, message: str = "no") -> httpx.Response:
    return httpx.Response(
        status, json={"error": {"message": message, "type": "x", "param": None, "code": code}}
    )


def anthropic_error(status: int, kind: str, message: str) -> httpx.Response:
    return httpx.Response(
        status, json={"type": "error", "error": {"type": kind, "message": message}}
    )


async def hang(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(30)
    raise AssertionError


FAILING: list[Any] = [
    pytest.param("rate_limit", A, lambda _: refusal(429), id="429"),
    pytest.param("rate_limit", A, lambda _: openai_error(429, "insufficient_quota"), id="quota"),
    pytest.param("upstream_error", A, lambda _: refusal(500), id="500"),
    pytest.param("upstream_error", A, lambda _: refusal(503), id="503"),
    pytest.param("upstream_error", ANTHROPIC, lambda _: refusal(529), id="529"),
    pytest.param("upstream_error", A, lambda _: httpx.ConnectError("no"), id="refused"),
    pytest.param("timeout", A, lambda _: httpx.ReadTimeout("no"), id="timeout"),
    pytest.param("timeout", A, hang, id="first token budget"),
    pytest.param("upstream_auth", A, lambda _: refusal(401), id="401"),
    pytest.param("not_found", A, lambda _: openai_error(404, "model_not_found"), id="404"),
    pytest.param("not_found", ANTHROPIC, lambda _: refusal(410), id="410"),
    pytest.param(
        "context_length",
        A,
        lambda _: openai_error(400, "context_length_exceeded"),
        id="openai long",
    ),
    pytest.param(
        "context_length",
        ANTHROPIC,
        lambda _: anthropic_error(
            400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"
        ),
        id="anthropic long",
    ),
    pytest.param("context_length", A, lambda _: refusal(413), id="413"),
    pytest.param(
        "content_policy", A, lambda _: openai_error(400, "content_filter"), id="azure filter"
    ),
    pytest.param(
        "content_policy",
        A,
        lambda _: openai_error(400, "content_policy_violation"),
        id="openai policy",
    ),
]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("kind", "first", "failing"), FAILING)
async def test_each_class_of_failure_leads_to_its_own_step(
    tmp_path: Path, kind: str, first: Any, failing: Any, stream: bool
) -> None:
    others = tuple(name for name in ERROR_CLASSES if name != kind)
    steps = (
        RouteStep(order=1, first_token_s=0.15),
        RouteStep(order=2, fallback_on=others),
        RouteStep(order=3, fallback_on=(kind,)),
    )
    registry = snapshot(route("m", first, B, C, steps=steps))
    async with gateway(
        tmp_path, registry, a=failing, b=lambda _: completion("b"), c=lambda _: completion("c")
    ) as live:
        reply = await live.post(CHAT, chat_request(stream=stream))
        row = await live.record()
    assert reply.status == 200
    assert [r.url.host for r in live.upstreams.requests] == ["a.test", "c.test"]
    assert [(a.target[0], bool(a.skipped)) for a in row.attempts] == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]


RESPONSES = provider("a", "openai_responses", preset="openai")


def failing_response(_: httpx.Request) -> httpx.Response:
    """Return a stream as OpenAI sends it for a conversation that is too long."""
    fields = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
    error = {"code": "context_length_exceeded", "message": "Your input exceeds the context window."}
    events = {
        "response.created": fields,
        "response.in_progress": fields,
        "response.failed": {**fields, "status": "failed", "error": error},
    }
    parts = [
        f"event: {name}\ndata: {json.dumps({'type': name, 'response': response})}\n\n".encode()
        for name, response in events.items()
    ]
    return sse(*parts[:2], 0.05, parts[2])


async def test_a_response_that_fails_before_its_output_falls_back(tmp_path: Path) -> None:
    """The events before the failure say only that OpenAI has the request."""
    steps = (RouteStep(order=1), RouteStep(order=2, fallback_on=("context_length",)))
    registry = snapshot(route("m", RESPONSES, B, steps=steps), route("alone", RESPONSES))
    responses = {"a": failing_response, "b": lambda _: completion("b")}
    async with gateway(tmp_path, registry, **responses) as live:
        reply = await live.post(CHAT, chat_request(stream=True))
        assert reply.status == 200
        assert [r.url.host for r in live.upstreams.requests] == ["a.test", "b.test"]
        reply = await live.post(CHAT, chat_request(model="alone", stream=True))
        assert reply.status == 400
        assert reply.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("kind", ["context_length", "content_policy"])
async def test_a_fallback_route_may_be_for_one_class_of_failure(tmp_path: Path, kind: str) -> None:
    code = {"context_length": "context_length_exceeded", "content_policy": "content_filter"}[kind]
    main = route("m", A, fallbacks_by_kind={kind: ("special",)}, fallbacks=("spare",))
    registry = snapshot(main, route("special", B), route("spare", C))
    responses = {"b": lambda _: completion("special"), "c": lambda _: completion("spare")}
    async with gateway(
        tmp_path, registry, a=lambda _: openai_error(400, code), **responses
    ) as live:
        reply = await live.post(CHAT, chat_request())
    assert reply.json()["choices"][0]["message"]["content"] == "special"
    async with gateway(tmp_path, registry, a=lambda _: refusal(500), **responses) as live:
        reply = await live.post(CHAT, chat_request())
    assert reply.json()["choices"][0]["message"]["content"] == "spare"


# Retries


@pytest.mark.parametrize(
    ("retry", "response", "calls"),
    [
        pytest.param({"rate_limit": 2}, lambda _: refusal(429), 3, id="429 twice"),
        pytest.param({"rate_limit": 0}, lambda _: refusal(429), 1, id="429 never"),
        pytest.param({"timeout": 1}, lambda _: httpx.ReadTimeout("x"), 2, id="timeout once"),
        pytest.param({"rate_limit": 3}, lambda _: httpx.ReadTimeout("x"), 1, id="timeout as usual"),
        pytest.param({"rate_limit": 3}, lambda _: refusal(500), 2, id="others as usual"),
        pytest.param(
            {"content_policy": 2}, lambda _: openai_error(400, "content_filter"), 3, id="policy"
        ),
        pytest.param(
            {"rate_limit": 5},
            lambda _: openai_error(429, "insufficient_quota"),
            1,
            id="quota never",
        ),
    ],
)
async def test_retries_differ_by_kind(
    tmp_path: Path, retry: dict[str, int], response: Any, calls: int
) -> None:
    registry = snapshot(route("m", A, retries=1, retries_by_kind=retry, backoff_s=0.001))
    async with gateway(tmp_path, registry, a=response) as live:
        reply = await live.post(CHAT, chat_request())
    assert reply.status >= 400
    assert len(live.upstreams.requests) == calls


async def test_a_short_retry_after_is_waited_for(tmp_path: Path) -> None:
    responses = [refusal(429, retry_after="1"), completion("later")]
    registry = snapshot(route("m", A, retries=1, backoff_s=0.001))
    async with gateway(tmp_path, registry, a=lambda _: responses.pop(0)) as live:
        start = time.monotonic()
        reply = await live.post(CHAT, chat_request())
    assert reply.status == 200
    assert time.monotonic() - start >= 1.0


async def test_a_long_retry_after_is_passed_on(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, retries=5, retries_by_kind={"rate_limit": 5}, max_wait_s=1))
    async with gateway(tmp_path, registry, a=lambda _: refusal(429, retry_after="30")) as live:
        reply = await live.post(CHAT, chat_request())
    assert (reply.status, reply.headers["retry-after"]) == (429, "30")
    assert len(live.upstreams.requests) == 1


# Sessions, tags, splits


def group(*targets: Target, **changes: Any) -> Snapshot:
    test_route = Route(id=1, name="m", targets=targets, retries=0)
    return snapshot(msgspec.structs.replace(test_route, **changes))


def make_target(owner: Any, **changes: Any) -> Target:
    target = Target(id=ord(owner.name), model=model_of(owner, "gpt-4.1"))
    return msgspec.structs.replace(target, **changes)


SESSION_CASES: list[Any] = [
    pytest.param({"headers": {"x-claude-code-session-id": "S"}}, {}, id="claude code"),
    pytest.param({"headers": {"session_id": "S"}}, {}, id="codex"),
    pytest.param({}, {"prompt_cache_key": "S"}, id="prompt_cache_key"),
    pytest.param({}, {"metadata": {"session_id": "S"}}, id="metadata"),
    pytest.param({}, {"metadata": {"user_id": "S"}}, id="metadata user"),
    pytest.param({}, {"user": "S"}, id="user"),
]


@pytest.mark.parametrize(("headers", "fields"), SESSION_CASES)
async def test_a_session_keeps_its_target(
    tmp_path: Path, headers: dict[str, Any], fields: dict[str, Any]
) -> None:
    registry = group(make_target(A), make_target(B), make_target(C), strategy="sticky")
    upstreams = {n: lambda _: completion() for n in "abc"}
    met = set()
    for name in ("one", "two", "three", "four", "five", "six"):
        payload = msgspec.json.decode(
            msgspec.json.encode([headers, fields]).replace(b'"S"', f'"{name}"'.encode())
        )
        async with gateway(tmp_path, registry, **upstreams) as live:
            for _ in range(4):
                await live.post(CHAT, chat_request(**payload[1]), **payload[0])
        hosts = {r.url.host for r in live.upstreams.requests}
        assert len(hosts) == 1
        met |= hosts
    assert len(met) > 1, "all sessions at one target"


async def test_a_session_moves_while_its_target_is_in_cooldown_and_returns(tmp_path: Path) -> None:
    registry = group(make_target(A), make_target(B), strategy="sticky", cooldown_s=0.3)
    down: set[str] = set()
    upstreams = {n: lambda r: refusal(429) if r.url.host[0] in down else completion() for n in "ab"}
    body = chat_request(prompt_cache_key="conversation")
    async with gateway(tmp_path, registry, **upstreams) as live:
        await live.post(CHAT, body)
        home = live.upstreams.requests[-1].url.host[0]
        down.add(home)
        for _ in range(2):
            assert (await live.post(CHAT, body)).status == 200
            assert live.upstreams.requests[-1].url.host[0] != home
        down.clear()
        await asyncio.sleep(0.4)
        await live.post(CHAT, body)
        assert live.upstreams.requests[-1].url.host[0] == home


@pytest.mark.parametrize(
    ("headers", "fields", "key_tags", "host"),
    [
        pytest.param({"x-dragoman-tags": "paid"}, {}, (), "a", id="header"),
        pytest.param({"x-litellm-tags": "other, paid"}, {}, (), "a", id="litellm's header"),
        pytest.param({}, {"metadata": {"tags": ["paid"]}}, (), "a", id="metadata"),
        pytest.param({}, {}, ("paid",), "a", id="key"),
        pytest.param({}, {}, (), "b", id="none goes to default"),
        pytest.param({"x-dragoman-tags": "unknown"}, {}, (), "b", id="unknown goes to default"),
    ],
)
async def test_tags_choose_the_target(
    tmp_path: Path, headers: dict[str, str], fields: Any, key_tags: tuple[str, ...], host: str
) -> None:
    registry = group(
        make_target(A, tags=("paid",)), make_target(B, tags=("default",)), make_target(C)
    )
    keys = {d: msgspec.structs.replace(k, tags=key_tags) for d, k in registry.keys.items()}
    registry = msgspec.structs.replace(registry, keys=keys)
    upstreams = {n: lambda _: completion() for n in "abc"}
    async with gateway(tmp_path, registry, **upstreams) as live:
        assert (await live.post(CHAT, chat_request(**fields), headers=headers)).status == 200
        row = await live.record()
    assert [r.url.host[0] for r in live.upstreams.requests] == [host]
    assert "its tags do not match those of the request" in {a.skipped for a in row.attempts}


async def test_an_unknown_tag_is_refused_with_the_reason(tmp_path: Path) -> None:
    registry = group(make_target(A, tags=("paid",)))
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat_request(), headers={"x-dragoman-tags": "free"})
    assert reply.status == 400
    assert "its tags do not match those of the request" in reply.json()["error"]["message"]


async def test_a_step_may_be_for_tags_and_hours(tmp_path: Path) -> None:
    steps = (RouteStep(order=1, tags=("night",)), RouteStep(order=2, active_hours="00:00-24:00"))
    registry = snapshot(route("m", A, B, steps=steps))
    upstreams = {n: lambda _: completion() for n in "ab"}
    async with gateway(tmp_path, registry, **upstreams) as live:
        await live.post(CHAT, chat_request())
        await live.post(CHAT, chat_request(), headers={"x-dragoman-tags": "night"})
    assert [r.url.host[0] for r in live.upstreams.requests] == ["b", "a"]


async def test_a_split_is_labelled_and_the_same_for_a_session(tmp_path: Path) -> None:
    registry = group(
        make_target(A, variant="now", weight=3),
        make_target(B, variant="next", weight=1),
        strategy="split",
    )
    upstreams = {n: lambda _: completion() for n in "ab"}
    async with gateway(tmp_path, registry, **upstreams) as live:
        for number in range(40):
            for _ in range(2):
                await live.post(CHAT, chat_request(prompt_cache_key=f"s{number}"))
        rows = await live.rows(80)
    variants = [row.variant for row in rows]
    assert variants[::2] == variants[1::2]
    counted = Counter(variants[::2])
    assert set(counted) == {"now", "next"} and counted["now"] > counted["next"]


async def test_the_least_busy_target_gets_the_next_request(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        await gate.wait()
        return completion()

    registry = group(make_target(A), make_target(B), make_target(C), strategy="least_busy")
    async with gateway(tmp_path, registry, a=slow, b=slow, c=slow) as live:
        tasks = [asyncio.create_task(live.post(CHAT, chat_request())) for _ in range(9)]
        while len(live.upstreams.requests) < 9:
            await asyncio.sleep(0.01)
        assert set(live.runtime.load.in_flight.values()) == {3}
        gate.set()
        await asyncio.gather(*tasks)
        assert live.runtime.load.in_flight == {}
    counted = Counter(r.url.host for r in live.upstreams.requests)
    assert set(counted.values()) == {3}


async def test_the_least_used_target_is_the_one_with_fewer_tokens(tmp_path: Path) -> None:
    big = {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000}
    registry = group(make_target(A), make_target(B), strategy="least_used")
    async with gateway(
        tmp_path, registry, a=lambda _: completion(usage=big), b=lambda _: completion()
    ) as live:
        for _ in range(12):
            await live.post(CHAT, chat_request())
    counted = Counter(r.url.host[0] for r in live.upstreams.requests)
    assert counted["a"] <= 2
    assert isinstance(next(iter(registry.keys.values())), ApiKey)
