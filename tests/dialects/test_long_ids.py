"""Ids longer than a provider accepts are shortened consistently and reported."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.simulate import translate
from tests.fakes import openai_rules
from tests.fakes.templates import azure_refusal

LONG_CALL = "toolu_" + "x" * 50
# As Claude Code writes it: 71 characters and more, with structure of its own.
CLAUDE_CODE_USER = '{"device_id":"' + "d" * 64 + '","account_uuid":"","session_id":"s"}'
VERSION = {"anthropic-version": "2023-06-01"}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def messages(user: str, call_id: str = "toolu_1") -> dict[str, Any]:
    """Return a turn of Claude Code."""
    call = {"type": "tool_use", "id": call_id, "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": call_id, "content": "42"}
    return {
        "model": "m",
        "max_tokens": 100,
        "metadata": {"user_id": user},
        "tools": [TOOL],
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ],
    }


def chat(user: str, call_id: str = "call_1") -> dict[str, Any]:
    """Return the same turn of a Chat client."""
    call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {
        "model": "m",
        "user": user,
        "tools": [FUNCTION],
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": "42"},
        ],
    }


def paths(out: dict[str, Any]) -> set[str]:
    return {str(item["field"]) for item in out["report"]}


@pytest.mark.parametrize("user", [CLAUDE_CODE_USER, "u" * 65, "u" * 300])
@pytest.mark.parametrize(
    ("preset", "model"),
    [
        ("openai", "gpt-4o"),
        ("openai_responses", "gpt-5"),
        ("azure_openai", "my-deployment"),
        ("azure-openai-v1", "my-deployment"),
        ("openrouter", "openai/gpt-4o"),
        ("vllm", "Qwen/Qwen3-32B"),
    ],
)
def test_an_end_users_id_is_sent_in_at_most_64_characters(
    preset: str, model: str, user: str
) -> None:
    out = translate.request("anthropic_messages", preset, messages(user), VERSION, model)
    user_ids = {out["body"].get("user"), out["body"].get("safety_identifier")} - {None}
    assert user_ids and all(0 < len(value) <= 64 for value in user_ids)
    # Claude Code's is always hashed, as it names a device.
    assert ("metadata.user_id" in paths(out)) == (user != CLAUDE_CODE_USER)
    second = translate.request("anthropic_messages", preset, messages(user), VERSION, model)
    assert second["body"] == out["body"]


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("openai_completions", {"model": "m", "prompt": "Hi", "user": "u" * 65}),
        ("openai_embeddings", {"model": "m", "input": "Hi", "user": "u" * 65}),
        ("openai_chat", chat("u" * 65)),
        ("openai_responses", {"model": "m", "input": "Hi", "user": "u" * 65}),
    ],
)
def test_long_ids_are_shortened_in_every_openai_dialect(source: str, body: dict[str, Any]) -> None:
    out = translate.request(source, "openai", body, {}, "gpt-4o")
    user_ids = {out["body"].get("user"), out["body"].get("safety_identifier")} - {None}
    assert user_ids and all(len(value) <= 64 for value in user_ids)
    assert paths(out) & {"user", "safety_identifier"}


@pytest.mark.parametrize(
    ("source", "preset"),
    [
        ("anthropic_messages", "openai"),
        ("anthropic_messages", "azure_openai"),
        ("anthropic_messages", "azure-openai-v1"),
        ("anthropic_messages", "custom"),
        ("openai_chat", "openai"),
        ("openai_chat", "azure_openai"),
        ("openai_chat", "azure-openai-v1"),
    ],
)
def test_call_ids_of_another_provider_fit_openais_chat(source: str, preset: str) -> None:
    make = messages if source == "anthropic_messages" else chat
    out = translate.request(source, preset, make("u", LONG_CALL), VERSION, "gpt-4o")
    upstream_body = out["body"]
    assert openai_rules.refusal({**upstream_body, "model": "gpt-4o", "tools": [FUNCTION]}) is None
    call, result = upstream_body["messages"][-2]["tool_calls"][0], upstream_body["messages"][-1]
    assert call["id"] == result["tool_call_id"]
    assert call["id"] != LONG_CALL
    assert any("id" in path for path in paths(out))


def test_ids_that_fit_pass_unchanged_and_unreported() -> None:
    out = translate.request("openai_chat", "openai", chat("u" * 64, "c" * 40), {}, "gpt-4o")
    assert out["passthrough"]
    assert out["report"] == []
    assert out["body"] == {**chat("u" * 64, "c" * 40), "model": "gpt-4o"}


def test_claude_code_requests_are_accepted_by_azure() -> None:
    requested_messages = messages(CLAUDE_CODE_USER, LONG_CALL)
    out = translate.request(
        "anthropic_messages", "azure_openai", requested_messages, VERSION, "gpt-4o"
    )
    assert azure_refusal(out["body"]) is None
