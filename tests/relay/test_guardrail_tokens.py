"""The tokens of a masked response: clients can request them beside the text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.guardrails.guardrail import Guardrail, PatternSettings
from tests.relay.card_number import CARD, shows_card
from tests.relay.harness import DONE, completion, gateway, provider, route, snapshot, sse

Json = dict[str, Any]
TEXT = f"it is {CARD}"
TOKEN: Json = {"token": CARD, "logprob": -0.1, "bytes": None, "top_logprobs": []}
MESSAGES = [{"role": "user", "content": "x"}]
CHOICES: list[Json] = [
    {
        "index": index,
        "message": {"role": "assistant", "content": TEXT},
        "logprobs": {"content": [TOKEN], "refusal": None},
        "token_ids": [31337],
        "finish_reason": "stop",
    }
    for index in (0, 1)
]
OLLAMA: Json = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": True}
OLLAMA |= {"done_reason": "stop", "prompt_eval_count": 1, "eval_count": 1}
RESPONSES: Json = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": [TOKEN]}
            ],
        }
    ],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
}
CANDIDATE: Json = {
    "content": {"role": "model", "parts": [{"text": TEXT}]},
    "finishReason": "STOP",
    "index": 0,
    # Each token is a text of its own, and none of them is a card number.
    "logprobsResult": {"chosenCandidates": [{"token": " 4111", "logProbability": -0.1}]},
}
# The API of the provider and the client, the path, the request and the provider's response.
RESPONSE_CASES: dict[str, tuple[str, str, Json, Json]] = {
    "chat": (
        "openai_chat",
        "/v1/chat/completions",
        {"model": "r", "logprobs": True, "messages": MESSAGES},
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": CHOICES},
    ),
    "responses": (
        "openai_responses",
        "/v1/responses",
        {"model": "r", "input": "x", "store": False, "include": ["message.output_text.logprobs"]},
        RESPONSES,
    ),
    "gemini": (
        "gemini",
        "/v1beta/models/r:generateContent",
        {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"responseLogprobs": True}},
        {"candidates": [CANDIDATE], "modelVersion": "m"},
    ),
    "ollama": (
        "ollama",
        "/api/chat",
        {"model": "r", "stream": False, "logprobs": True, "messages": MESSAGES},
        {**OLLAMA, "message": {"role": "assistant", "content": TEXT}, "logprobs": [TOKEN]},
    ),
    "ollama-generate": (
        "ollama",
        "/api/generate",
        {"model": "r", "stream": False, "prompt": "x"},
        {**OLLAMA, "response": TEXT, "thinking": TEXT, "context": [31337]},
    ),
    "cohere": (
        "cohere",
        "/v2/chat",
        {"model": "r", "logprobs": True, "messages": MESSAGES},
        {
            "id": "c",
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
            "logprobs": [{"text": CARD, "token_ids": [31337], "logprobs": [-0.1]}],
        },
    ),
}


def registry(dialect: str = "openai_chat", *, check_requests: bool = False) -> Any:
    guard = Guardrail(
        name="cards",
        settings=PatternSettings(pii=("credit_card",)),
        action="mask",
        check_requests=check_requests,
        check_responses=True,
    )
    presets = {"openai_chat": "custom", "openai_responses": "openai"}
    target_provider = provider("one", dialect, preset=presets.get(dialect, dialect))
    guarded = route("r", target_provider, guardrails=("cards",))
    return snapshot(guarded, guardrails={"cards": guard})


@pytest.mark.parametrize("name", RESPONSE_CASES)
async def test_a_masked_response_has_no_tokens_of_its_text(tmp_path: Path, name: str) -> None:
    dialect, path, body, response = RESPONSE_CASES[name]
    upstream = httpx.Response(200, json=response)
    async with gateway(tmp_path, registry(dialect), one=lambda _: upstream) as live:
        reply = await live.post(path, body)
    assert reply.status == 200
    assert b"it is [CREDIT_CARD]" in reply.body
    assert not shows_card(reply.body)
    assert b"31337" not in reply.body


async def test_a_response_without_a_match_keeps_its_tokens(tmp_path: Path) -> None:
    logprobs = {"content": [{**TOKEN, "token": "hello"}], "refusal": None}
    message = {"role": "assistant", "content": "hello"}
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}
    body = {"model": "r", "logprobs": True, "messages": MESSAGES}
    response = completion(choices=[choice])
    async with gateway(tmp_path, registry(), one=lambda _: response) as live:
        reply = await live.post("/v1/chat/completions", body)
    assert reply.json()["choices"] == [choice]


async def test_tool_arguments_of_that_name_are_kept(tmp_path: Path) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"logprobs": [1], "context": [2]}}
    response = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": TEXT}, call],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    body = {"model": "r", "max_tokens": 50, "messages": MESSAGES}
    upstream = httpx.Response(200, json=response)
    async with gateway(tmp_path, registry("anthropic_messages"), one=lambda _: upstream) as live:
        reply = await live.post("/v1/messages", body)
    assert reply.json()["content"] == [{"type": "text", "text": "it is [CREDIT_CARD]"}, call]


STREAM_CASES: dict[str, tuple[str, Json]] = {
    "chat": (
        "/v1/chat/completions",
        {"model": "r", "n": 2, "logprobs": True, "stream": True, "messages": MESSAGES},
    ),
    "completions": (
        "/v1/completions",
        {"model": "r", "n": 2, "logprobs": 1, "stream": True, "prompt": "x"},
    ),
    "gemini": (
        "/v1beta/models/r:streamGenerateContent?alt=sse",
        {
            "contents": [{"parts": [{"text": "x"}]}],
            "generationConfig": {"candidateCount": 2, "responseLogprobs": True},
        },
    ),
}


def chunks(choice: Json) -> list[bytes]:
    """The stream of one choice, with a web page that the model cites."""
    citation = {"url": "https://a.test", "title": TEXT, "start_index": 0, "end_index": 2}
    annotations = [{"type": "url_citation", "url_citation": citation}]
    first = {"delta": {"content": TEXT}, "logprobs": choice["logprobs"], "finish_reason": None}
    second = {"delta": {"annotations": annotations}, "finish_reason": None}
    last = {"delta": {}, "finish_reason": "stop"}
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return [
        b"data: %s\n\n"
        % json.dumps({**base, "choices": [{"index": choice["index"], **part}]}).encode()
        for part in (first, second, last)
    ]


@pytest.mark.parametrize("name", STREAM_CASES)
@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "complete"])
async def test_no_choice_of_a_masked_stream_has_tokens(
    tmp_path: Path, name: str, is_stream: bool
) -> None:
    path, body = STREAM_CASES[name]
    parts = [part for choice in CHOICES for part in chunks(choice)]
    async with gateway(
        tmp_path,
        registry(),
        one=lambda _: sse(*parts, DONE) if is_stream else completion(choices=CHOICES),
    ) as live:
        reply = await live.post(path, body)
        record = await live.record()
    assert reply.status == 200
    assert reply.body.count(b"it is [CREDIT_CARD]") >= 2
    assert not shows_card(reply.body)
    (result,) = record.guardrails
    assert (result.stage, result.outcome) == ("response", "masked")
