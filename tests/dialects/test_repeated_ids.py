"""Calls of one response that a server gave the same id: clients get different ids."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.request import ToolCall
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.simulate import translate

SAME = "call_same"
IDS = [SAME, f"{SAME}_2"]
CHAT_CALLS = [
    {"index": n, "id": SAME, "type": "function", "function": {"name": name, "arguments": "{}"}}
    for n, name in enumerate("fg")
]
TOOL_USES = [{"type": "tool_use", "id": SAME, "name": name, "input": {}} for name in "fg"]
ITEMS = [
    {"type": "function_call", "id": f"fc_{name}", "call_id": SAME, "name": name, "arguments": "{}"}
    for name in "fg"
]
GEMINI_PARTS = [{"functionCall": {"id": SAME, "name": name, "args": {}}} for name in "fg"]
CANDIDATE = {"content": {"role": "model", "parts": GEMINI_PARTS}, "finishReason": "STOP"}
CONVERSE_CALLS = [{"toolUse": {"toolUseId": SAME, "name": name}} for name in "fg"]
COHERE_CALLS = [
    {"id": SAME, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in "fg"
]
OLLAMA_MESSAGE = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": SAME, "function": {"name": name, "arguments": {}}} for name in "fg"],
}
OLLAMA_LINE = {"model": "m", "message": OLLAMA_MESSAGE, "done": True, "done_reason": "stop"}

STREAMS: dict[str, list[Any]] = {
    "openai_chat": [
        {"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [CHAT_CALLS[0]]}}]},
        {"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [CHAT_CALLS[1]]}}]},
        {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        "[DONE]",
    ],
    "openai_responses": [
        *(
            {"type": "response.output_item.done", "output_index": n, "item": item}
            for n, item in enumerate(ITEMS)
        ),
        {"type": "response.completed", "response": {"id": "resp_1", "output": []}},
    ],
    "anthropic_messages": [
        *(
            event
            for n, block in enumerate(TOOL_USES)
            for event in (
                {"type": "content_block_start", "index": n, "content_block": block},
                {"type": "content_block_stop", "index": n},
            )
        ),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ],
    "gemini": [{"candidates": [CANDIDATE]}],
    "bedrock_converse": [
        *(
            event
            for n, call in enumerate(CONVERSE_CALLS)
            for event in (
                {"contentBlockStart": {"start": call, "contentBlockIndex": n}},
                {"contentBlockStop": {"contentBlockIndex": n}},
            )
        ),
        {"messageStop": {"stopReason": "tool_use"}},
    ],
    "cohere": [
        *(
            event
            for n, call in enumerate(COHERE_CALLS)
            for event in (
                {
                    "type": "tool-call-start",
                    "index": n,
                    "delta": {"message": {"tool_calls": call}},
                },
                {"type": "tool-call-end", "index": n},
            )
        ),
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
    ],
    "ollama": [OLLAMA_LINE],
}
RESPONSES: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "id": "1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "tool_calls": CHAT_CALLS},
                "finish_reason": "tool_calls",
            }
        ],
    },
    "openai_responses": {"id": "resp_1", "status": "completed", "output": ITEMS},
    "anthropic_messages": {"id": "msg_1", "content": TOOL_USES, "stop_reason": "tool_use"},
    "gemini": {"candidates": [CANDIDATE]},
    "bedrock_converse": {
        "output": {"message": {"role": "assistant", "content": CONVERSE_CALLS}},
        "stopReason": "tool_use",
    },
    "cohere": {
        "id": "1",
        "message": {"role": "assistant", "tool_calls": COHERE_CALLS},
        "finish_reason": "TOOL_CALL",
    },
    "ollama": OLLAMA_LINE,
}


@pytest.mark.parametrize("dialect", STREAMS)
def test_calls_of_a_stream_have_different_ids(dialect: str):
    events = translate.stream(dialect, "openai_responses", STREAMS[dialect], "m")["events"]
    response = events[-1]["data"]["response"]
    assert [item["call_id"] for item in response["output"]] == IDS
    assert [item["name"] for item in response["output"]] == ["f", "g"]


@pytest.mark.parametrize("dialect", RESPONSES)
def test_calls_of_a_response_have_different_ids(dialect: str):
    provider = DIALECTS[dialect].provider
    parts = provider.parse_response(RESPONSES[dialect], Traits(), None).parts
    assert [part.id for part in parts if isinstance(part, ToolCall)] == IDS
