"""Client responses, upstream requests and log rows for every kind of failure."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.relay.harness import (
    ADMIN,
    DONE,
    KEY,
    PacedBody,
    Reply,
    chunk,
    completion,
    gateway,
    provider,
    refusal,
    route,
    snapshot,
    sse,
)
from tests.waits import WAIT_TIMEOUT_S

CHAT = "/v1/chat/completions"
A, B = provider("a"), provider("b")
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def chat_request(model: str = "m", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}


async def test_a_passthrough_response_is_byte_identical(tmp_path: Path) -> None:
    raw = b'{ "id":"x", "object":"chat.completion","model":"gpt-4.1", "new_field": [1.50],  "choices":[{"index":0,"message":{"role":"assistant","content":"h\\u00e9"},"finish_reason":"stop"}]}'
    response = httpx.Response(200, content=raw, headers={"content-type": "application/json"})
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: response) as live:
        body = b'{"model":"m", "messages":[{"role":"user","content":"h\\u00e9"}],"unknown":{"a": 1.50}}'
        reply = await live.post(CHAT, body)
    assert reply.body == raw.replace(b"gpt-4.1", b"m")
    upstream_request = live.upstreams.requests[0]
    assert b'"unknown":{"a": 1.50}' in upstream_request.content
    assert b'"h\\u00e9"' in upstream_request.content
    assert json.loads(upstream_request.content)["model"] == "gpt-4.1"


async def test_the_clients_key_never_reaches_an_upstream(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        await live.post(
            CHAT, chat_request(), headers={"cookie": "c=1", "x-forwarded-for": "1.2.3.4"}
        )
    headers = live.upstreams.requests[0].headers
    assert headers["authorization"] == "Bearer sk-upstream-secret-of-a"
    assert KEY not in str(headers)
    assert "cookie" not in headers
    assert "x-forwarded-for" not in headers


async def test_a_response_is_logged_with_tokens_times_and_cost(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat_request())
        row = await live.record()
    assert row.id == reply.headers["x-request-id"]
    assert (row.status, row.outcome, row.finish) == (200, "ok", "stop")
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (7, 3, "reported")
    assert row.cost_usd is not None and row.cost_usd > 0
    assert row.provider == "a" and row.model == "gpt-4.1" and row.route == "m"
    assert row.overhead_ms is not None and row.overhead_ms <= row.duration_ms
    assert row.bodies is not None and row.bodies.same_response
    assert "authorization" not in row.bodies.client_headers or (
        row.bodies.client_headers["authorization"] == "***"
    )


async def test_a_stream_passes_through_unchanged(tmp_path: Path) -> None:
    parts = (chunk("a"), chunk("b"), chunk(finish="stop"), DONE)
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: sse(*parts)) as live:
        reply = await live.post(CHAT, chat_request(stream=True))
        row = await live.record()
    assert reply.body == b"".join(parts).replace(b"gpt-4.1", b"m")
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert row.usage_source == "estimated"
    assert row.first_token_ms is not None
    assert row.bodies is not None and len(row.bodies.upstream_chunks) == 4


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(lambda _: refusal(500), id="500"),
        pytest.param(lambda _: refusal(429, retry_after="7"), id="429"),
        pytest.param(lambda _: refusal(401), id="401"),
        pytest.param(lambda _: httpx.ConnectError("refused"), id="refused"),
        pytest.param(lambda _: httpx.Response(200, html="<p>hi</p>"), id="html"),
        pytest.param(lambda _: httpx.Response(200, content=b"{"), id="cut json"),
        pytest.param(lambda _: httpx.Response(200, json={"choices": []}), id="no choices"),
        pytest.param(lambda _: httpx.Response(200, json={"error": {"message": "x"}}), id="error"),
        pytest.param(lambda _: httpx.Response(302, headers={"location": "x"}), id="redirect"),
        pytest.param(lambda _: httpx.Response(204), id="204"),
    ],
)
async def test_a_failing_target_falls_back_to_the_next(tmp_path: Path, failing: Any) -> None:
    registry = snapshot(route("m", A, B))
    async with gateway(tmp_path, registry, a=failing, b=lambda _: completion("from b")) as live:
        reply = await live.post(CHAT, chat_request())
        row = await live.record()
    assert reply.status == 200
    assert reply.json()["choices"][0]["message"]["content"] == "from b"
    assert [a.error_kind is None for a in row.attempts] == [False, True]
    assert reply.headers["x-dragoman-attempts"] == "2"


async def test_a_client_error_does_not_fall_back(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B))
    async with gateway(
        tmp_path, registry, a=lambda _: refusal(400, "bad field"), b=lambda _: completion()
    ) as live:
        reply = await live.post(CHAT, chat_request())
    assert reply.status == 400
    assert len(live.upstreams.requests) == 1
    assert "bad field" in reply.json()["error"]["message"]


async def test_an_error_as_first_event_falls_back_to_the_next_target(tmp_path: Path) -> None:
    error = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    registry = snapshot(route("m", A, B))
    async with gateway(
        tmp_path,
        registry,
        a=lambda _: sse(error),
        b=lambda _: sse(chunk("b"), chunk(finish="stop"), DONE),
    ) as live:
        reply = await live.post(CHAT, chat_request(stream=True))
    assert reply.status == 200
    assert b"overloaded" not in reply.body
    assert reply.body.endswith(DONE)


@pytest.mark.parametrize(
    ("remaining_frames", "kind"),
    [
        pytest.param((), "upstream_error", id="ends"),
        pytest.param((httpx.ReadError("reset"),), "upstream_error", id="reset"),
        pytest.param((WAIT_TIMEOUT_S,), "timeout", id="stalls"),
        pytest.param((b'data: {"choices":[{"del',), "upstream_error", id="torn event"),
        pytest.param((b": ping\n\n", 0.3) * 100, "timeout", id="comments only"),
    ],
)
async def test_a_broken_stream_ends_in_an_error(
    tmp_path: Path, remaining_frames: tuple[Any, ...], kind: str
) -> None:
    impatient = msgspec.structs.replace(A.timeouts, idle_s=0.5)
    registry = snapshot(route("m", msgspec.structs.replace(A, timeouts=impatient), B))
    async with gateway(
        tmp_path,
        registry,
        a=lambda _: sse(chunk("begun"), *remaining_frames),
        b=lambda _: completion(),
    ) as live:
        reply = await live.post(CHAT, chat_request(stream=True))
        row = await live.record()
    assert reply.ended
    assert b"[DONE]" not in reply.body
    last = reply.body.rstrip(b"\n").rpartition(b"\n\n")[2]
    assert json.loads(last.removeprefix(b"data: "))["error"]["message"]
    assert (row.outcome, row.error_kind) == ("cut", kind)
    assert len(live.upstreams.requests) == 1, "never retried after the first frame"


async def test_a_silent_upstream_is_a_504_and_the_next_is_tried(tmp_path: Path) -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    quick = provider("a", timeouts=A.timeouts.__class__(connect_s=1, first_byte_s=0.05))
    async with gateway(tmp_path, snapshot(route("m", quick)), a=hang) as live:
        reply = await live.post(CHAT, chat_request())
        row = await live.record()
    assert reply.status == 504
    assert row.error_kind == "timeout"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_a_disconnected_client_closes_the_upstream(tmp_path: Path, stream: bool) -> None:
    start_times: list[float] = []
    clock = asyncio.get_running_loop().time

    def slow(_: httpx.Request) -> httpx.Response:
        first, mark = chunk("a") if stream else b"{", lambda: start_times.append(clock())
        if stream:
            return sse(first, mark, WAIT_TIMEOUT_S)
        kind = {"content-type": "application/json"}
        return httpx.Response(200, headers=kind, stream=PacedBody(first, mark, WAIT_TIMEOUT_S))

    def waited(_: Reply) -> bool:
        return bool(start_times) and clock() > start_times[0] + 0.5

    async with gateway(tmp_path, snapshot(route("m", A)), a=slow) as live:
        await live.post(CHAT, chat_request(stream=stream), disconnect_once=waited)
        elapsed_s = clock() - start_times[0]
        row = await live.record()
    assert elapsed_s < 10, "not when the upstream has ended"
    assert live.upstreams.closed == ["a"]
    assert row.outcome == "client_closed"
    assert row.overhead_ms is not None and row.overhead_ms < 250, "waiting is not our own part"


async def test_retry_backoff_does_not_count_as_gateway_overhead(tmp_path: Path) -> None:
    responses = iter([refusal(500), completion()])
    registry = snapshot(route("m", A, retries=1, backoff_s=2.0))
    async with gateway(tmp_path, registry, a=lambda _: next(responses)) as live:
        reply = await live.post(CHAT, chat_request(stream=False))
        row = await live.record()
    pause_ms = row.attempts[1].started_ms - (row.attempts[0].ended_ms or 0)
    assert (reply.status, pause_ms > 500) == (200, True)
    assert row.overhead_ms is not None and row.overhead_ms < row.duration_ms - pause_ms * 0.9


async def test_a_rate_limited_target_is_in_cooldown_until_its_retry_after(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, B))
    async with gateway(
        tmp_path, registry, a=lambda _: refusal(429, retry_after="60"), b=lambda _: completion()
    ) as live:
        await live.post(CHAT, chat_request())
        await live.post(CHAT, chat_request())
        rows = await live.rows(2)
    hosts = [r.url.host for r in live.upstreams.requests]
    assert hosts == ["a.test", "b.test", "b.test"]
    assert rows[1].attempts[0].skipped


async def test_a_transient_failure_is_retried_on_the_same_target(tmp_path: Path) -> None:
    responses = [refusal(503), completion("second")]
    registry = snapshot(route("m", A, retries=1))
    async with gateway(tmp_path, registry, a=lambda _: responses.pop(0)) as live:
        reply = await live.post(CHAT, chat_request())
    assert reply.json()["choices"][0]["message"]["content"] == "second"


async def test_a_fallback_route_is_tried_last(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, fallbacks=("spare",)), route("spare", B))
    async with gateway(
        tmp_path, registry, a=lambda _: refusal(500), b=lambda _: completion("spare")
    ) as live:
        reply = await live.post(CHAT, chat_request())
    assert reply.json()["choices"][0]["message"]["content"] == "spare"


async def test_an_upstream_401_is_returned_as_502(tmp_path: Path) -> None:
    echo = refusal(401, "Incorrect API key provided: sk-upstream-secret-of-a")
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: echo) as live:
        reply = await live.post(CHAT, chat_request())
        row = await live.record()
    assert reply.status == 502
    assert b"secret-of-a" not in reply.body
    assert b"secret-of-a" not in (row.bodies and row.bodies.upstream_response or b"")
    assert "secret-of-a" not in row.error


async def test_a_400_in_the_same_dialect_keeps_its_message(tmp_path: Path) -> None:
    refused_response = httpx.Response(
        400,
        json={"error": {"message": "odd wording", "type": "t", "param": "p", "code": "c", "x": 1}},
    )
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: refused_response) as live:
        reply = await live.post(CHAT, chat_request())
    assert reply.json() == {
        "error": {"message": "odd wording", "type": "t", "param": "p", "code": "c", "x": 1}
    }


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        pytest.param(b"{", 400, None, id="cut json"),
        pytest.param(b"[]", 400, None, id="no object"),
        pytest.param(b"{}", 400, "model", id="no model"),
        pytest.param(b'{"model": 5}', 400, "model", id="model is a number"),
        pytest.param(b'{"model": "zzz"}', 404, "model", id="unknown model"),
        pytest.param(b'{"model":"m","stream":"yes"}', 400, "stream", id="stream is text"),
        pytest.param(b'{"model":"m"}', 400, "messages", id="no messages"),
        pytest.param(
            b'{"model":"m","messages":[{"role":"wizard","content":"x"}]}',
            400,
            "messages[0].role",
            id="unknown role",
        ),
        pytest.param(b'{"model":"m","messages":' + b"[" * 10_000, 400, None, id="deep"),
    ],
)
async def test_an_invalid_request_is_named_and_not_sent(
    tmp_path: Path, body: bytes, status: int, param: str | None
) -> None:
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        reply = await live.post(CHAT, body)
        row = await live.record()
    assert reply.status == status
    assert reply.json()["error"]["param"] == param
    assert reply.json()["error"]["message"]
    assert live.upstreams.requests == []
    assert row.outcome == "error"


def depths_near_the_limit() -> range:
    """Depths of JSON around the one that this interpreter can decode: about 950, or 9,970 in 3.13.

    How many functions are being called counts as well, in the relay more than here.
    """
    decodes, refuses = 1, 100_000
    while refuses - decodes > 1:
        depth = (decodes + refuses) // 2
        try:
            msgspec.json.decode(b"[" * depth + b"]" * depth)
            decodes = depth
        except RecursionError:
            refuses = depth
    return range(decodes - 110, decodes + 20)


@pytest.mark.parametrize("name", ["metadata", "user", "tags"])
@pytest.mark.parametrize("stream", [False, True])
async def test_no_depth_of_a_body_is_called_but_not_logged(
    tmp_path: Path, name: str, *, stream: bool
) -> None:
    """Near the interpreter's limit, the first step could decode a body and the last could not."""
    depths = depths_near_the_limit()[::2]
    response = sse(chunk("hi"), chunk(finish="stop"), DONE)
    async with gateway(
        tmp_path, snapshot(route("m", A)), a=lambda _: response if stream else completion()
    ) as live:
        for depth in depths:
            body = json.dumps(chat_request(**{name: "VALUE", "stream": stream})).encode()
            reply = await live.post(CHAT, body.replace(b'"VALUE"', b"[" * depth + b"]" * depth))
            assert reply.status in {200, 400}, depth
        rows = await live.rows(len(depths))
    assert len([row for row in rows if row.outcome == "ok"]) == len(live.upstreams.requests) > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_that_echoes_a_deeply_nested_request_is_not_lost(
    tmp_path: Path, *, stream: bool
) -> None:
    response = sse(chunk("hi"), chunk(finish="stop"), DONE)
    registry = snapshot(route("m", provider("a", preset="deepseek")))
    statuses = []
    async with gateway(
        tmp_path, registry, a=lambda _: response if stream else completion()
    ) as live:
        for depth in depths_near_the_limit():
            body = b'{"model":"m","input":"hi","store":false,"stream":%s,"metadata":{"a":%s}}' % (
                b"true" if stream else b"false",
                b"[" * depth + b"]" * depth,
            )
            reply = await live.post("/v1/responses", body)
            statuses.append(reply.status)
            assert b"internal error" not in reply.body, depth
    assert set(statuses) == {200, 400}
    if not stream:
        assert statuses.count(200) == len(live.upstreams.requests)


async def test_a_recursion_error_is_a_request_that_is_nested_too_deeply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recurse(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("gateway.relay.run.pipeline.attempt", recurse)
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat_request())
        row = await live.record()
    assert reply.status == 400
    assert "nested too deeply" in reply.json()["error"]["message"]
    assert row.outcome == "error"


@pytest.mark.parametrize("key", ["", "wrong"], ids=["none", "wrong"])
async def test_a_request_without_a_key_is_a_401_and_not_sent(tmp_path: Path, key: str) -> None:
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        headers = {"authorization": ""} if not key else None
        reply = await live.post(CHAT, chat_request(), key=key, headers=headers)
    assert reply.status == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert live.upstreams.requests == []


async def test_the_admin_credential_is_a_key_too(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        assert (await live.post(CHAT, chat_request(), key=ADMIN)).status == 200


async def test_in_open_mode_any_token_is_accepted(tmp_path: Path) -> None:
    registry = snapshot(route("m", A), open=True)
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        assert (await live.post(CHAT, chat_request(), key="anything")).status == 200


async def test_a_get_is_refused_with_the_allowed_methods(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        reply = await live.post(CHAT, b"", method="GET")
    assert reply.status == 405
    assert reply.headers["allow"] == "POST"


async def test_usage_after_the_finish_is_counted(tmp_path: Path) -> None:
    last = chunk(usage=USAGE, choices=[])
    parts = (chunk("a"), chunk(finish="stop"), last, DONE)
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: sse(*parts)) as live:
        await live.post(CHAT, chat_request(stream=True, stream_options={"include_usage": True}))
        row = await live.record()
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (7, 3, "reported")


async def test_no_body_is_stored_with_log_bodies_off(tmp_path: Path) -> None:
    registry = snapshot(route("m", A, log_bodies=False))
    async with gateway(tmp_path, registry, a=lambda _: completion()) as live:
        await live.post(CHAT, chat_request())
        row = await live.record()
    assert (row.bodies, row.bodies_omitted) == (None, "off")


async def test_a_rejected_request_explains_its_missing_bodies(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("m", A)), a=lambda _: completion()) as live:
        await live.post(CHAT, chat_request(model="unknown"))
        row = await live.record()
    assert (row.bodies, row.bodies_omitted) == (None, "rejected")


async def test_a_drain_ends_running_requests_with_a_message(tmp_path: Path) -> None:
    stream = lambda _: sse(chunk("a"), 30.0)  # noqa: E731
    async with gateway(tmp_path, snapshot(route("m", A)), a=stream) as live:
        asyncio.get_running_loop().call_later(0.1, live.runtime.begin_drain, 0.6)
        reply = await live.post(CHAT, chat_request(stream=True))
    assert b"shutting down" in reply.body
    assert b"[DONE]" not in reply.body


async def test_models_are_listed_in_both_shapes(tmp_path: Path) -> None:
    registry = snapshot(route("m", A), route("z", A), aliases={"nick": "m"})
    async with gateway(tmp_path, registry) as live:
        openai = await live.post("/v1/models", b"", method="GET")
        version = {"anthropic-version": "2023-06-01"}
        page = await live.post("/v1/models?limit=2", b"", method="GET", headers=version)
        reply = await live.post("/v1/models/m", b"", method="GET")
        none = await live.post("/v1/models/nobody", b"", method="GET")
    assert [m["id"] for m in openai.json()["data"]] == ["m", "nick", "z"]
    assert page.json()["data"][0]["type"] == "model"
    assert page.json()["has_more"] is True
    assert page.json()["last_id"] == "nick"
    assert reply.json()["id"] == "m"
    assert none.status == 404
