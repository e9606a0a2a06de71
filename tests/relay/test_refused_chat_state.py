"""Reasoning state refused by a Chat provider in a passthrough request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.relay.harness import completion, gateway, provider, refusal, route, snapshot

REFUSED = "messages.1: Invalid `signature` in `thinking` block"


def history(details: list[dict[str, Any]], **call_fields: Any) -> list[dict[str, Any]]:
    function = {"name": "f", "arguments": "{}"}
    call = {"id": "c1", "type": "function", "function": function, **call_fields}
    assistant: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
    if details:
        assistant["reasoning_details"] = details
    return [
        {"role": "user", "content": "hi"},
        assistant,
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]


async def test_a_refused_state_is_dropped_and_the_request_retried(tmp_path: Path) -> None:
    """Texts and unknown fields stay."""
    signed = {"type": "reasoning.text", "text": "hm", "signature": "s1"}
    summary = {"type": "reasoning.summary", "summary": "short"}
    extra = {"google": {"thought_signature": "s2"}}
    request = {"model": "r", "messages": history([signed, summary], extra_content=extra), "own": 1}
    responses = iter([refusal(400, REFUSED), completion()])
    async with gateway(
        tmp_path, snapshot(route("r", provider("one"))), one=lambda _: next(responses)
    ) as live:
        reply = await live.post("/v1/chat/completions", request)
        upstream_body = json.loads(live.upstreams.requests[1].content)
    assert reply.status == 200
    assert reply.headers["x-dragoman-dropped"] == (
        "messages[1].reasoning_details, messages[1].tool_calls[0].extra_content"
    )
    assert upstream_body == {"model": "gpt-4.1", "messages": history([summary]), "own": 1}


async def test_without_state_to_drop_it_is_translated(tmp_path: Path) -> None:
    request = {"model": "r", "messages": history([])}
    responses = iter([refusal(400, REFUSED), completion()])
    async with gateway(
        tmp_path, snapshot(route("r", provider("one"))), one=lambda _: next(responses)
    ) as live:
        assert (await live.post("/v1/chat/completions", request)).status == 200
        record = await live.record()
    assert not record.passthrough
