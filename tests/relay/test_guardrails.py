"""Guardrails in the relay: blocking, masking, logging, and failures."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.guardrails.guardrail import (
    Guardrail,
    LiteLLMSettings,
    ModerationSettings,
    NamedPattern,
    PatternSettings,
    PortkeySettings,
    PresidioSettings,
)
from gateway.providers.profile import Secret
from gateway.relay.journal.metrics import NodeValues, ProcessValues
from gateway.routing.cache_policy import CachePolicy
from gateway.routing.snapshot import Snapshot
from tests.relay.card_number import CARD, shows_card
from tests.relay.harness import (
    DONE,
    chunk,
    completion,
    gateway,
    provider,
    route,
    snapshot,
    sse,
)

PII = PatternSettings(pii=("credit_card", "email"))
CHAT = "/v1/chat/completions"


def registry(*guardrails: Guardrail, **changes: Any) -> Snapshot:
    names = tuple(guardrail.name for guardrail in guardrails)
    guarded = route("r", provider("one"), guardrails=names, **changes)
    return snapshot(guarded, guardrails={g.name: g for g in guardrails})


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "r", "messages": [{"role": "user", "content": text}], **more}


async def test_a_blocked_request_is_rejected_before_any_target(tmp_path: Path) -> None:
    guard = Guardrail(name="cards", settings=PII)
    async with gateway(tmp_path, registry(guard), one=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat(f"my card is {CARD}"))
        passed = await live.post(CHAT, chat("hello"))
        await live.rows(2)
        text = live.runtime.metrics.exposition(NodeValues(), ProcessValues()).decode()
    assert reply.status == 400
    error = reply.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "guardrail_blocked")
    assert error["message"] == "the request was blocked by the guardrail `cards`"
    assert passed.status == 200
    assert len(live.upstreams.requests) == 1
    record = live.records[0]
    assert (record.status, record.error_kind) == (400, "content_policy")
    result = record.guardrails[0]
    assert (result.name, result.stage, result.outcome) == ("cards", "request", "blocked")
    assert result.findings == {"credit_card": 1}
    assert CARD not in str(record.guardrails)
    assert (
        'guardrail_results_total{guardrail="cards",outcome="blocked",stage="request"} 1.0' in text
    )
    assert live.records[1].guardrails[0].outcome == "passed"


async def test_a_masked_request_reaches_the_target_without_the_text(tmp_path: Path) -> None:
    guard = Guardrail(name="pii", settings=PII, action="mask")
    body = chat("mail ada@example.com", vendor_field={"kept": 1}, temperature=0.5)
    async with gateway(tmp_path, registry(guard), one=lambda _: completion()) as live:
        reply = await live.post(CHAT, body)
        await live.rows(1)
    assert reply.status == 200
    upstream_body = json.loads(live.upstreams.requests[0].content)
    assert upstream_body["messages"][0]["content"] == "mail [EMAIL]"
    assert upstream_body["vendor_field"] == {"kept": 1}
    assert live.records[0].guardrails[0].outcome == "masked"
    assert b"ada@example.com" not in msgspec.json.encode(live.records[0])


@pytest.mark.parametrize("text", [f"data: {CARD}", "4111\u200b 1111\u00ad 1111 1111\ufeff"])
async def test_text_with_invisible_characters_is_blocked(tmp_path: Path, text: str) -> None:
    guard = Guardrail(name="cards", settings=PII)
    async with gateway(tmp_path, registry(guard), one=lambda _: completion()) as live:
        assert (await live.post(CHAT, chat(text))).status == 400
    assert not live.upstreams.requests


DUPLICATE_CONTENT = (
    b'{"model": "r", "messages": [{"role": "user", "content": "%b", "content": "x"}]}'
)
# The model reads these arguments as text, with both values.
DUPLICATE_ARGUMENTS = chat("hello")
DUPLICATE_ARGUMENTS["messages"] += [
    {
        "role": "assistant",
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "f", "arguments": f'{{"a": "{CARD}", "a": "x"}}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "ok"},
]


@pytest.mark.parametrize(
    "body", [DUPLICATE_CONTENT % CARD.encode(), json.dumps(DUPLICATE_ARGUMENTS).encode()]
)
@pytest.mark.parametrize("action", ["block", "mask"])
async def test_no_text_hides_in_a_duplicate_field(tmp_path: Path, body: bytes, action: Any) -> None:
    guard = Guardrail(name="cards", settings=PII, action=action)
    async with gateway(tmp_path, registry(guard), one=lambda _: completion()) as live:
        await live.post(CHAT, body)
    assert not any(CARD.encode() in request.content for request in live.upstreams.requests)


async def test_a_response_with_a_duplicate_field_is_not_sent(tmp_path: Path) -> None:
    guard = Guardrail(name="cards", settings=PII, check_responses=True)
    original = completion().content
    body = original.replace(b'"content":', b'"content": "%b", "content":' % CARD.encode())
    assert body != original
    response = httpx.Response(200, content=body, headers={"content-type": "application/json"})
    async with gateway(tmp_path, registry(guard), one=lambda _: response) as live:
        reply = await live.post(CHAT, chat("hello"))
    assert not shows_card(reply.body)


@pytest.mark.parametrize("action", ["block", "mask", "log"])
async def test_token_ids_cannot_be_checked(tmp_path: Path, action: Any) -> None:
    guard = Guardrail(name="cards", settings=PII, action=action)
    body = {"model": "r", "prompt": [[15339, 1917]], "max_tokens": 5}
    async with gateway(tmp_path, registry(guard), one=lambda _: completion()) as live:
        reply = await live.post("/v1/completions", body)
    if action != "log":
        assert reply.status == 400
        assert "token ids cannot be checked" in reply.json()["error"]["message"]
        assert not live.upstreams.requests


async def test_a_guardrail_of_a_key_or_of_all_requests_applies_too(tmp_path: Path) -> None:
    guard = Guardrail(name="cards", settings=PII)
    plain = snapshot(route("r", provider("one")), guardrails={"cards": guard})
    digest, key = next(iter(plain.keys.items()))
    keyed = {digest: msgspec.structs.replace(key, guardrails=("cards",))}
    everywhere = {"cards": msgspec.structs.replace(guard, everywhere=True)}
    cases = {
        200: plain,
        400: msgspec.structs.replace(plain, keys=keyed),
        400.5: msgspec.structs.replace(plain, guardrails=everywhere),
    }
    for number, (status, registered) in enumerate(cases.items()):
        async with gateway(tmp_path / str(number), registered, one=lambda _: completion()) as live:
            assert (await live.post(CHAT, chat(CARD))).status == int(status)


async def test_a_missing_guardrail_disables_the_route(tmp_path: Path) -> None:
    orphan = snapshot(route("r", provider("one"), guardrails=("gone",)))
    async with gateway(tmp_path, orphan, one=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat("hello"))
    assert reply.status == 503
    assert (
        "the guardrail `gone` could not check it: it does not exist"
        in reply.json()["error"]["message"]
    )


@pytest.mark.parametrize(("on_error", "status"), [("block", 503), ("allow", 200)])
async def test_a_pattern_that_takes_too_long_fails_as_configured(
    tmp_path: Path, on_error: Any, status: int
) -> None:
    slow_pattern = PatternSettings(patterns=(NamedPattern("slow", r"(?:a|aa|aaa)+[0-9]$"),))
    guard = Guardrail(name="slow", settings=slow_pattern, on_error=on_error)
    async with gateway(tmp_path, registry(guard), one=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat("1" + "a" * 60 + "!"))
        await live.rows(1)
    assert reply.status == status
    assert live.records[0].guardrails[0].error == "its patterns took longer than 0.5 s"


async def test_anthropic_clients_get_their_own_error(tmp_path: Path) -> None:
    guard = Guardrail(name="cards", settings=PII)
    async with gateway(tmp_path, registry(guard), one=lambda _: completion()) as live:
        reply = await live.post(
            "/v1/messages",
            {"model": "r", "max_tokens": 9, "messages": [{"role": "user", "content": CARD}]},
        )
    assert reply.status == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert "guardrail `cards`" in reply.json()["error"]["message"]


# --- responses --------------------------------------------------------------------------


def response_guardrail(name: str = "out", **changes: Any) -> Guardrail:
    fields: dict[str, Any] = {"settings": PII, "check_requests": False, "check_responses": True}
    return Guardrail(name=name, **fields | changes)


async def test_a_masked_response_keeps_its_other_fields(tmp_path: Path) -> None:
    response = completion(f"it is {CARD}", vendor_field={"kept": 1})
    async with gateway(
        tmp_path, registry(response_guardrail(action="mask")), one=lambda _: response
    ) as live:
        reply = await live.post(CHAT, chat("hello"))
        await live.rows(1)
    body = reply.json()
    assert body["choices"][0]["message"]["content"] == "it is [CREDIT_CARD]"
    assert body["vendor_field"] == {"kept": 1}
    result = live.records[0].guardrails[0]
    assert (result.stage, result.outcome, result.findings) == (
        "response",
        "masked",
        {"credit_card": 1},
    )


async def test_a_blocked_response_is_billed_but_not_sent_or_retried(tmp_path: Path) -> None:
    registry = snapshot(
        route("r", provider("one"), provider("two"), guardrails=("out",), retries=2),
        guardrails={"out": response_guardrail()},
    )
    responses = {"one": lambda _: completion(CARD), "two": lambda _: completion(CARD)}
    async with gateway(tmp_path, registry, **responses) as live:
        reply = await live.post(CHAT, chat("hello"))
        await live.rows(1)
    assert reply.status == 400
    assert "the response was blocked by the guardrail `out`" in reply.json()["error"]["message"]
    assert CARD.encode() not in reply.body
    assert len(live.upstreams.requests) == 1
    assert live.records[0].output_tokens == 3
    assert live.runtime.health == {}


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_match_across_chunks_is_masked_before_it_is_sent(
    tmp_path: Path, dialect: str, size: int
) -> None:
    text = "word " * 100 + f"it is {CARD}, and " + "more " * 100
    parts = [chunk(text[i : i + size]) for i in range(0, len(text), size)]
    response = lambda _: sse(*parts, chunk(finish="stop"), DONE)  # noqa: E731
    path, body = CHAT, chat("hello", stream=True)
    if dialect == "anthropic_messages":
        path, body = "/v1/messages", {**body, "max_tokens": 9}
    async with gateway(tmp_path, registry(response_guardrail(action="mask")), one=response) as live:
        reply = await live.post(path, body)
    assert reply.status == 200
    received = "".join(_texts(reply.body, dialect))
    assert received == text.replace(CARD, "[CREDIT_CARD]")
    assert size > 7 or len(reply.parts) > 5  # it is still a stream


def _texts(body: bytes, dialect: str) -> list[str]:
    texts = []
    for line in body.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line.removeprefix("data: "))
        if dialect == "openai_chat":
            texts += [c["delta"].get("content") or "" for c in event.get("choices", ())]
        elif event["type"] == "content_block_delta":
            texts.append(event["delta"].get("text", ""))
    return texts


async def test_an_early_match_in_a_stream_is_an_error_response(tmp_path: Path) -> None:
    response = lambda _: sse(*(chunk(c) for c in CARD), chunk(finish="stop"), DONE)  # noqa: E731
    async with gateway(tmp_path, registry(response_guardrail()), one=response) as live:
        reply = await live.post(CHAT, chat("hello", stream=True))
        await live.rows(1)
    assert reply.status == 400
    assert reply.json()["error"]["code"] == "guardrail_blocked"


async def test_a_late_match_in_a_stream_ends_it_with_an_error(tmp_path: Path) -> None:
    text = "word " * 200
    response = lambda _: sse(chunk(text), chunk(CARD), chunk(finish="stop"), DONE)  # noqa: E731
    async with gateway(tmp_path, registry(response_guardrail()), one=response) as live:
        reply = await live.post(CHAT, chat("hello", stream=True))
        record = (await live.rows(1))[0]
    assert reply.status == 200
    assert not shows_card(reply.body)
    assert b"blocked by the guardrail" in reply.body
    assert DONE not in reply.body
    assert (record.outcome, record.guardrails[0].outcome) == ("cut", "blocked")


async def test_tool_arguments_in_a_stream_stay_valid_json(tmp_path: Path) -> None:
    arguments = json.dumps({"to": "ada@example.com", "note": 'a "quote"'})
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "send", "arguments": ""},
    }
    pieces = [arguments[i : i + 5] for i in range(0, len(arguments), 5)]
    parts = [
        _tool_chunk(call),
        *(_tool_chunk({"index": 0, "function": {"arguments": p}}) for p in pieces),
    ]
    response = lambda _: sse(*parts, chunk(finish="tool_calls"), DONE)  # noqa: E731
    async with gateway(tmp_path, registry(response_guardrail(action="mask")), one=response) as live:
        reply = await live.post(CHAT, chat("hello", stream=True))
    joined = ""
    for line in reply.body.decode().splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                for tool in choice["delta"].get("tool_calls") or ():
                    joined += tool["function"].get("arguments") or ""
    assert json.loads(joined) == {"to": "[EMAIL]", "note": 'a "quote"'}


def _tool_chunk(call: dict[str, Any]) -> bytes:
    body = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}],
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


async def test_a_requested_guardrail_checks_a_response_that_is_cached_without_it(
    tmp_path: Path,
) -> None:
    """One key sends the same prompt without the guardrail first, then with it."""
    caching = route("r", provider("one"), cache=CachePolicy())
    guard = response_guardrail(action="mask")
    response = f"card {CARD}"
    async with gateway(
        tmp_path, snapshot(caching, guardrails={"out": guard}), one=lambda _: completion(response)
    ) as live:
        for _ in range(2):
            unchecked = await live.post(CHAT, chat("hello"))
        checked = [await live.post(CHAT, {**chat("hello"), "guardrails": ["out"]}) for _ in "12"]
    assert (CARD in unchecked.body.decode(), CARD in checked[0].body.decode()) == (True, False)
    assert checked[1].headers["x-dragoman-cache"] == "hit"
    assert CARD not in checked[1].body.decode()


async def test_a_logging_guardrail_does_not_change_the_stream(tmp_path: Path) -> None:
    parts = [chunk(f"it is {CARD}"), chunk(finish="stop"), DONE]
    async with gateway(
        tmp_path, registry(response_guardrail(action="log")), one=lambda _: sse(*parts)
    ) as live:
        reply = await live.post(CHAT, chat("hello", stream=True))
        record = (await live.rows(1))[0]
    assert b"".join(parts).replace(b"gpt-4.1", b"r") == reply.body
    assert record.passthrough
    assert (record.guardrails[0].outcome, record.guardrails[0].findings) == (
        "logged",
        {"credit_card": 1},
    )


# --- services ---------------------------------------------------------------------------

GUARD = "http://guard.test"


def service(settings: Any, reply: Any) -> tuple[Guardrail, Any]:
    guard = Guardrail(
        name="svc", settings=settings, action="mask", check_responses=True, timeout_s=0.2
    )
    response = reply if callable(reply) else lambda _: httpx.Response(200, json=reply)
    return guard, response


def litellm(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    if any("bad" in text for text in body["texts"]):
        return httpx.Response(200, json={"action": "BLOCKED", "blocked_reason": "too bad"})
    texts = [text.replace("Ada", "<PERSON>") for text in body["texts"]]
    return httpx.Response(200, json={"action": "GUARDRAIL_INTERVENED", "texts": texts})


async def test_a_service_in_litellms_format_rewrites_and_blocks(tmp_path: Path) -> None:
    guard, response = service(LiteLLMSettings(url=GUARD, parameters={"level": 2}), litellm)
    guard = msgspec.structs.replace(guard, credential=Secret("guard-key"))
    responses = {"one": lambda _: completion("Ada says hi"), "guard": response}
    async with gateway(tmp_path, registry(guard), **responses) as live:
        reply = await live.post(CHAT, chat("I am Ada"))
        blocked = await live.post(CHAT, chat("bad"))
        stream = chunk("I am Ad"), chunk("a."), chunk(finish="stop"), DONE
        live.upstreams.responses["one"] = lambda _: sse(*stream)
        streamed = await live.post(CHAT, chat("hello", stream=True))
    upstream_requests = live.upstreams.requests
    body = json.loads(upstream_requests[0].content)
    assert upstream_requests[0].url.path == "/beta/litellm_basic_guardrail_api"
    assert upstream_requests[0].headers["x-api-key"] == "guard-key"
    assert (body["texts"], body["input_type"]) == (["I am Ada"], "request")
    assert body["additional_provider_specific_params"] == {"level": 2}
    assert json.loads(upstream_requests[1].content)["messages"][0]["content"] == "I am <PERSON>"
    assert reply.json()["choices"][0]["message"]["content"] == "<PERSON> says hi"
    assert blocked.status == 400
    assert "".join(_texts(streamed.body, "openai_chat")) == "I am <PERSON>."


async def test_a_webhook_in_portkeys_format_rewrites_and_blocks(tmp_path: Path) -> None:
    def portkey(request: httpx.Request) -> httpx.Response:
        request_body = json.loads(request.content)
        if "bad" in request_body["request"]["text"]:
            return httpx.Response(200, json={"verdict": False, "data": {"reason": "no"}})
        if request_body["eventType"] == "afterRequestHook":
            return httpx.Response(200, json={"verdict": True})
        body = request_body["request"]["json"]
        body["messages"][0]["content"] = "rewritten"
        return httpx.Response(
            200, json={"verdict": True, "transformedData": {"request": {"json": body}}}
        )

    guard, response = service(PortkeySettings(url=f"{GUARD}/hook"), portkey)
    async with gateway(
        tmp_path, registry(guard), one=lambda _: completion(), guard=response
    ) as live:
        reply = await live.post(CHAT, chat("hello", temperature=0.5))
        blocked = await live.post(CHAT, chat("bad"))
    upstream_body = json.loads(live.upstreams.requests[1].content)
    assert (upstream_body["messages"][0]["content"], upstream_body["temperature"]) == (
        "rewritten",
        0.5,
    )
    assert (reply.status, blocked.status) == (200, 400)


async def test_presidio_masks_what_its_analyzer_finds(tmp_path: Path) -> None:
    def analyze(request: httpx.Request) -> httpx.Response:
        text = json.loads(request.content)["text"]
        start = text.find("Ada Lovelace")
        entities = [{"entity_type": "PERSON", "start": start, "end": start + 12, "score": 0.9}]
        weak = {"entity_type": "DATE", "start": 0, "end": 3, "score": 0.1}
        return httpx.Response(200, json=[*entities, weak] if start >= 0 else [weak])

    guard, response = service(PresidioSettings(url=GUARD), analyze)
    body = chat("x")
    body["messages"] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "I am Ada Lovelace."},
    ]
    async with gateway(
        tmp_path, registry(guard), one=lambda _: completion(), guard=response
    ) as live:
        await live.post(CHAT, body)
        record = (await live.rows(1))[0]
    upstream_body = json.loads(live.upstreams.requests[1].content)
    assert [m["content"] for m in upstream_body["messages"]] == ["Be brief.", "I am [PERSON]."]
    assert record.guardrails[0].findings == {"PERSON": 1}


async def test_a_providers_moderation_blocks(tmp_path: Path) -> None:
    def moderate(request: httpx.Request) -> httpx.Response:
        flagged = "violence" in str(json.loads(request.content)["input"])
        result = {"flagged": flagged, "categories": {"violence": flagged, "hate": False}}
        return httpx.Response(200, json={"results": [result]})

    mod = provider("mod", id=2)
    guard = Guardrail(name="mod", settings=ModerationSettings(provider="mod"))
    registered = registry(guard)
    registered = msgspec.structs.replace(registered, providers={**registered.providers, "mod": mod})
    async with gateway(tmp_path, registered, one=lambda _: completion(), mod=moderate) as live:
        blocked = await live.post(CHAT, chat("violence"))
        passed = await live.post(CHAT, chat("flowers"))
        record = (await live.rows(2))[0]
    assert (blocked.status, passed.status) == (400, 200)
    assert live.upstreams.requests[0].headers["authorization"] == "Bearer sk-upstream-secret-of-mod"
    assert record.guardrails[0].findings == {"violence": 1}


FAILURES: dict[str, Any] = {
    "no response within 0.2 s": lambda _: asyncio.sleep(5),
    "HTTP 500": lambda _: httpx.Response(500),
    "its response is not valid JSON": lambda _: httpx.Response(200, text="no"),
    "its response is not valid: its action is not": lambda _: httpx.Response(200, json={}),
    "connection refused": lambda _: httpx.ConnectError("connection refused"),
}


@pytest.mark.parametrize("on_error", ["block", "allow"])
@pytest.mark.parametrize("reason", FAILURES)
async def test_a_service_that_fails_is_reported_and_decides_as_configured(
    tmp_path: Path, reason: str, on_error: Any
) -> None:
    guard, _ = service(LiteLLMSettings(url=GUARD), {})
    guard = msgspec.structs.replace(guard, on_error=on_error, check_responses=False)
    async with gateway(
        tmp_path, registry(guard), one=lambda _: completion(), guard=FAILURES[reason]
    ) as live:
        reply = await live.post(CHAT, chat("hello"))
        record = (await live.rows(1))[0]
    assert reason in record.guardrails[0].error
    assert reply.status == (503 if on_error == "block" else 200)
    if on_error == "block":
        error = reply.json()["error"]
        assert error["code"] == "guardrail_unavailable"
        assert "the guardrail `svc` could not check it" in error["message"]
