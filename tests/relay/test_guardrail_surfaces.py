"""Guardrails on requests with several choices or prompts, and on stored responses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.guardrails.guardrail import Guardrail, PatternSettings
from tests.relay.card_number import CARD, shows_card
from tests.relay.harness import DONE, completion, gateway, provider, route, snapshot, sse

GUARD = Guardrail(
    name="cards",
    settings=PatternSettings(pii=("credit_card",)),
    action="mask",
    check_responses=True,
    everywhere=True,
)


def registry() -> Any:
    one = provider("one", preset="custom")
    return snapshot(route("r", one), guardrails={"cards": GUARD})


def choice(index: int, text: str, finish: str | None = None) -> bytes:
    body = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


async def test_all_choices_of_a_stream_are_masked(tmp_path: Path) -> None:
    parts = [choice(n, t) for n in (0, 1) for t in ("it is ", CARD)]
    parts += [choice(0, "", "stop"), choice(1, "", "stop"), DONE]
    body = {"model": "r", "n": 2, "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with gateway(tmp_path, registry(), one=lambda _: sse(*parts)) as live:
        reply = await live.post("/v1/chat/completions", body)
    texts = {0: "", 1: ""}
    for line in reply.body.decode().splitlines():
        if line.startswith("data: {"):
            for item in json.loads(line[6:])["choices"]:
                texts[item["index"]] += item["delta"].get("content") or ""
    assert texts == {0: "it is [CREDIT_CARD]", 1: "it is [CREDIT_CARD]"}


async def test_each_of_several_prompts_is_masked(tmp_path: Path) -> None:
    body = {"model": "r", "prompt": [f"one {CARD}", "two"]}
    async with gateway(tmp_path, registry(), one=lambda _: completion(CARD)) as live:
        reply = await live.post("/v1/completions", body)
    sent = [request.content for request in live.upstreams.requests]
    assert len(sent) == 2
    assert not any(map(shows_card, sent))
    assert [c["text"] for c in reply.json()["choices"]] == ["[CREDIT_CARD]", "[CREDIT_CARD]"]


async def test_a_responses_client_gets_masked_text(tmp_path: Path) -> None:
    for stream in (False, True):
        body = {"model": "r", "input": f"my card: {CARD}", "stream": stream}
        async with gateway(
            tmp_path / str(stream), registry(), one=lambda _: completion(CARD)
        ) as live:
            reply = await live.post("/v1/responses", body)
        assert b"[CREDIT_CARD]" in reply.body
        assert not shows_card(reply.body)
        assert not shows_card(live.upstreams.requests[0].content)
