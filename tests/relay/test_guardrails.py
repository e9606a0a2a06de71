"""Guardrails in the relay: what they block, mask and log, and what happens if they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.guardrails.guardrail import Guardrail, NamedPattern, PatternSettings
from gateway.routing.snapshot import Snapshot
from tests.relay.harness import completion, gateway, provider, route, snapshot

CARD = "4111 1111 1111 1111"
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
    assert reply.status == 400
    error = reply.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "guardrail_blocked")
    assert error["message"] == "the request was blocked by the guardrail `cards`"
    assert passed.status == 200
    assert len(live.upstreams.requests) == 1
    entry = live.entries[0]
    assert (entry.status, entry.error_kind) == (400, "content_policy")
    result = entry.guardrails[0]
    assert (result.name, result.stage, result.outcome) == ("cards", "request", "blocked")
    assert result.found == {"credit_card": 1}
    assert CARD not in str(entry.guardrails)
    assert live.entries[1].guardrails[0].outcome == "passed"


async def test_a_masked_request_reaches_the_target_without_the_text(tmp_path: Path) -> None:
    guard = Guardrail(name="pii", settings=PII, action="mask")
    body = chat("mail ada@example.com", vendor_field={"kept": 1}, temperature=0.5)
    async with gateway(tmp_path, registry(guard), one=lambda _: completion()) as live:
        reply = await live.post(CHAT, body)
        await live.rows(1)
    assert reply.status == 200
    sent = json.loads(live.upstreams.requests[0].content)
    assert sent["messages"][0]["content"] == "mail [EMAIL]"
    assert sent["vendor_field"] == {"kept": 1}
    assert live.entries[0].guardrails[0].outcome == "masked"
    assert b"ada@example.com" not in msgspec.json.encode(live.entries[0])


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


async def test_a_guardrail_that_is_gone_closes_the_route(tmp_path: Path) -> None:
    orphan = snapshot(
        route("r", provider("one"), guardrails=("gone",)),
        guardrails={"other": Guardrail(name="other", settings=PII)},
    )
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
    slow = PatternSettings(patterns=(NamedPattern("slow", r"(?:a|aa|aaa)+[0-9]$"),))
    guard = Guardrail(name="slow", settings=slow, on_error=on_error)
    async with gateway(tmp_path, registry(guard), one=lambda _: completion()) as live:
        reply = await live.post(CHAT, chat("1" + "a" * 60 + "!"))
        await live.rows(1)
    assert reply.status == status
    assert live.entries[0].guardrails[0].error == "its patterns took longer than 0.5 s"


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
