"""Guardrails on requests with several choices or prompts, and on stored responses."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from gateway.guardrails.guardrail import Guardrail, PatternSettings
from gateway.relay.exchange.stored_response import StoredResponse
from tests.relay.card_number import CARD, shows_card
from tests.relay.harness import DONE, completion, gateway, provider, route, snapshot, sse
from tests.relay.test_responses import DictStore

GUARD = Guardrail(
    name="cards",
    settings=PatternSettings(pii=("credit_card",)),
    action="mask",
    check_responses=True,
    everywhere=True,
)


def registry() -> Any:
    target_provider = provider("one", preset="custom")
    return snapshot(route("r", target_provider), guardrails={"cards": GUARD})


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
    upstream_bodies = [request.content for request in live.upstreams.requests]
    assert len(upstream_bodies) == 2
    assert not any(map(shows_card, upstream_bodies))
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


@pytest.mark.parametrize("action", ["mask", "block"])
@pytest.mark.parametrize("stored_at_provider", [False, True])
async def test_stored_turns_are_checked_by_the_guardrails_of_the_route(
    tmp_path: Path, action: Literal["mask", "block"], stored_at_provider: bool
) -> None:
    """The conversation began on a route without guardrails."""
    guard = msgspec.structs.replace(GUARD, action=action, everywhere=False)
    turn = {"role": "user", "content": f"my card: {CARD}"}
    stored = StoredResponse(
        id=f"resp_{'0' * 32}",
        owner="key:1",
        created_at=time.time(),
        provider="one" if stored_at_provider else "",
        input=msgspec.json.encode([turn]),
        response=b'{"output":[]}',
    )
    store = DictStore()
    store.save(stored)
    target_provider = provider("one", preset="openai" if stored_at_provider else "custom")
    routes = snapshot(
        route("r", target_provider, guardrails=("cards",)), guardrails={"cards": guard}
    )
    body = {"model": "r", "input": "what is my card?", "previous_response_id": stored.id}
    async with gateway(
        tmp_path, routes, responses=store.backend(), one=lambda _: completion("I do not know")
    ) as live:
        reply = await live.post("/v1/responses", body)
    if action == "block":
        assert (reply.status, live.upstreams.requests) == (400, [])
        assert reply.json()["error"]["code"] == "guardrail_blocked"
        return
    sent_body = live.upstreams.requests[0].content
    assert b"[CREDIT_CARD]" in sent_body
    assert not shows_card(sent_body)


FILE = base64.b64encode(f"name,card\nAda,{CARD}".encode()).decode()
TURN = {"role": "user", "content": "what is my card?"}
UNUSUAL_REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "author": ("/v1/chat/completions", {"messages": [{**TURN, "name": CARD}]}),
    "data_url": (
        "/v1/chat/completions",
        {"messages": [{**TURN, "content": "data:a/b;base64,4111111111111111"}]},
    ),
    "file": (
        "/v1/chat/completions",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "file",
                            "file": {
                                "filename": "a.csv",
                                "file_data": f"data:text/csv;base64,{FILE}",
                            },
                        }
                    ],
                }
            ]
        },
    ),
    "tool": (
        "/v1/chat/completions",
        {
            "messages": [TURN],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {
                            "type": "object",
                            "properties": {CARD: {"type": "string", "note": CARD}},
                            "required": [CARD],
                        },
                    },
                }
            ],
        },
    ),
    "gemini_file": (
        "/v1beta/models/r:generateContent",
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [{"inlineData": {"mimeType": "text/csv", "data": FILE}}],
                }
            ]
        },
    ),
    "converse_document": (
        "/model/r/converse",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"text": "what is it?"},
                        {"document": {"format": "csv", "name": CARD, "source": {"bytes": FILE}}},
                    ],
                }
            ]
        },
    ),
    "cohere_result": (
        "/v2/chat",
        {
            "messages": [
                TURN,
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
                {
                    "role": "tool",
                    "tool_call_id": "c",
                    "content": [{"type": "document", "document": {"id": CARD, "data": "x"}}],
                },
            ]
        },
    ),
}


@pytest.mark.parametrize("name", UNUSUAL_REQUESTS)
@pytest.mark.parametrize("target", ["passed", "openai_chat", "anthropic_messages"])
async def test_texts_in_unusual_places_are_masked(tmp_path: Path, name: str, target: str) -> None:
    """In a request that is passed through, and in one that is translated."""
    path, body = UNUSUAL_REQUESTS[name]
    dialect, preset = {
        "/v1/chat/completions": ("openai_chat", "custom"),
        "/v1beta/models/r:generateContent": ("gemini", "gemini"),
        "/model/r/converse": ("bedrock_converse", "bedrock"),
        "/v2/chat": ("cohere", "cohere"),
    }[path]
    if target != "passed":
        dialect, preset = target, "custom" if target == "openai_chat" else "anthropic"
    routes = snapshot(
        route("r", provider("one", dialect, preset=preset)), guardrails={"cards": GUARD}
    )
    async with gateway(tmp_path, routes, one=lambda _: completion("I do not know")) as live:
        await live.post(path, {"model": "r", **body})
    sent_body = live.upstreams.requests[0].content
    encoded_files = re.findall(rb"(?:[A-Za-z0-9+/]{4}){4,}[A-Za-z0-9+/]{0,3}=*", sent_body)
    sent_files = [base64.b64decode(data + b"=" * (-len(data) % 4)) for data in encoded_files]
    assert not any(map(shows_card, [sent_body, *sent_files]))
    assert b"4111111111111111" not in sent_body


def anthropic_stream(*blocks: dict[str, Any]) -> list[bytes]:
    """Return a stream of Anthropic's API with blocks that arrive whole, then a text."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, block in enumerate((*blocks, {"type": "text", "text": "done"})):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.append({"type": "content_block_stop", "index": index})
    events.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 2},
        }
    )
    events.append({"type": "message_stop"})
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


BLOCKS = {
    "unknown": {"type": "brand_new_result", "content": [{"text": f"it is {CARD}"}]},
    "search": {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [
            {
                "type": "web_search_result",
                "title": f"it is {CARD}",
                "url": "https://x.test",
                "encrypted_content": "abc",
                "page_age": None,
            }
        ],
    },
    "code": {
        "type": "code_execution_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": {
            "type": "code_execution_result",
            "stdout": f"it is {CARD}",
            "stderr": "",
            "return_code": 0,
            "content": [],
        },
    },
    "mcp": {
        "type": "mcp_tool_result",
        "tool_use_id": "mcptoolu_1",
        "is_error": False,
        "content": [{"type": "text", "text": f"it is {CARD}"}],
    },
}


@pytest.mark.parametrize("kind", BLOCKS)
async def test_results_of_a_providers_tools_are_masked_in_streams(
    tmp_path: Path, kind: str
) -> None:
    registered = snapshot(
        route("r", provider("one", "anthropic_messages", preset="anthropic")),
        guardrails={"cards": GUARD},
    )
    upstream = anthropic_stream(BLOCKS[kind])
    body = {"model": "r", "max_tokens": 50, "stream": True}
    body |= {"messages": [{"role": "user", "content": "x"}]}
    async with gateway(tmp_path, registered, one=lambda _: sse(*upstream)) as live:
        reply = await live.post("/v1/messages", body)
    assert reply.status == 200
    assert not shows_card(reply.body)
    assert b"it is [CREDIT_CARD]" in reply.body
    assert b"done" in reply.body


async def test_the_complete_transcript_of_streamed_audio_is_masked(tmp_path: Path) -> None:
    def audio(**fields: Any) -> bytes:
        delta = {"index": 0, "delta": {"audio": fields}, "finish_reason": None}
        return b"data: " + json.dumps({"id": "c", "choices": [delta]}).encode() + b"\n\n"

    sound = "UklGRiQAAABXQVZF" * 10
    parts = [
        audio(id="audio_1", transcript="it is 4111 11"),
        audio(transcript="11 1111 1111, so"),
        audio(data=sound),
        choice(0, "", "stop"),
        DONE,
    ]
    body = {"model": "r", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    body |= {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
    async with gateway(tmp_path, registry(), one=lambda _: sse(*parts)) as live:
        reply = await live.post("/v1/chat/completions", body)
    assert b"it is [CREDIT_CARD], so" in reply.body
    assert b"11 1111" not in reply.body
    assert sound.encode() in reply.body
