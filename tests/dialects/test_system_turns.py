"""System messages for targets whose chat template accepts them at the start only."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.canon.request import Native, Request, Text, ToolCall, ToolResult, Turn
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.providers.capabilities import traits_for
from gateway.simulate import translate
from tests.each import each
from tests.fakes.templates import mistral_refusal, template_refusal

VERSION = {"anthropic-version": "2023-06-01"}
# Those that write system messages among the others.
AMONG_OTHERS = ("openai_chat", "openai_responses", "ollama", "cohere")
REMINDER = "<system-reminder>\nBe brief.\n</system-reminder>"
CALL = ToolCall(id="c1", name="f", arguments={}, path="messages[1].tool_calls[0]")
RESULT = ToolResult(id="c1", parts=(Text(text="42"),), path="messages[2]")


def turn(role: Any, *parts: Any, path: str = "") -> Turn:
    return Turn(role=role, parts=tuple(Text(text=p) if isinstance(p, str) else p for p in parts))


LATE = Turn(role="system", parts=(Text(text="Be brief."),), path="messages[3]")
HISTORIES = {
    "at the end": (turn("user", "Hi"), LATE),
    "in the middle": (turn("user", "Hi"), LATE, turn("assistant", "Yes?"), turn("user", "Go")),
    "before a user": (turn("user", "Hi"), turn("assistant", "Yes?"), LATE, turn("user", "Go")),
    "between users": (turn("user", "Hi"), LATE, turn("user", "Go")),
    "between assistants": (
        turn("user", "Hi"),
        turn("assistant", "Yes?"),
        LATE,
        turn("assistant", "Well"),
        turn("user", "Go"),
    ),
    "after the assistant, at the end": (turn("user", "Hi"), turn("assistant", "Yes?"), LATE),
    "after a result": (turn("user", "Hi"), turn("assistant", CALL), turn("user", RESULT), LATE),
    "after a result and text": (
        turn("user", "Hi"),
        turn("assistant", CALL),
        turn("user", RESULT, "Go on"),
        LATE,
    ),
    "at the start and the end": (turn("system", "You are kind."), turn("user", "Hi"), LATE),
}


def items(body: dict[str, Any]) -> list[dict[str, Any]]:
    return list(body.get("messages") or body["input"])


@each("dialect", AMONG_OTHERS)
@each("position", HISTORIES)
def test_later_system_messages_become_reminders_of_the_user(dialect: str, position: str) -> None:
    request = Request(model="m", turns=HISTORIES[position])
    rendered_request = DIALECTS[dialect].provider.render_request(request, Traits(mid_system=False))
    rendered_items = items(rendered_request.body)
    later = [item for item in rendered_items[1:] if item.get("role") in {"system", "developer"}]
    assert not later
    of_user = [item for item in rendered_items if item.get("role") == "user"]
    assert REMINDER in str(msgspec.to_builtins(of_user)).replace("\\n", "\n")
    assert [(i.path, i.action) for i in rendered_request.report if i.path == "messages[3]"] == [
        ("messages[3]", "approximated")
    ]


@each("dialect", AMONG_OTHERS)
def test_the_lost_fields_of_merged_system_turns_are_reported(dialect: str) -> None:
    block = Native(dialect="other", data={"type": "tool_addition"}, path="messages[0].content[0]")
    turns = (
        Turn(role="system", parts=(block, Text(text="Be kind.")), path="messages[0]"),
        turn("user", "Hi"),
        Turn(role="system", parts=(Text(text="Be brief."),), name="boss", path="messages[2]"),
    )
    request = Request(model="m", turns=turns)
    rendered_request = DIALECTS[dialect].provider.render_request(request, Traits(mid_system=False))
    dropped = {item.path for item in rendered_request.report if item.action == "dropped"}
    assert dropped == {"messages[0].content[0]", "messages[2].name"}


@each("dialect", AMONG_OTHERS)
def test_a_conversation_without_later_system_turns_is_unchanged(dialect: str) -> None:
    request = Request(model="m", turns=(turn("user", "Hi"), turn("user", "Go")))
    provider = DIALECTS[dialect].provider
    plain = provider.render_request(request, Traits(mid_system=False))
    assert plain == provider.render_request(request, Traits())


# Claude Code asks so: a system message after the prompt, and after each result.
CLAUDE_CODE: dict[str, Any] = {
    "model": "m",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "You are Claude Code."}],
    "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Environment: Linux"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "42"}],
        },
        {"role": "system", "content": "The date has changed"},
    ],
}


@each("tail", [(), ({"role": "user", "content": "And now?"},)])
@each(
    ("preset", "model"),
    [
        ("mistral", "mistral-large-latest"),
        ("mistral", "some-name"),
        ("vllm", "mistralai/Devstral-Small-2-24B-Instruct-2512"),
        ("vllm", "Qwen/Qwen3-32B"),
        ("vllm", "some-name"),
        ("llamacpp", "some-name"),
        ("lmstudio", "some-name"),
        ("sglang", "some-name"),
        ("custom", "some-name"),
        ("ollama", "qwen3"),
        ("ollama-openai", "llama3.3"),
        ("together", "Qwen/Qwen3-235B-A22B-Instruct-2507-tput"),
        ("groq", "llama-3.3-70b-versatile"),
        ("openrouter", "google/gemma-3-27b-it"),
    ],
)
def test_claude_code_requests_are_accepted_by_strict_templates(
    preset: str, model: str, tail: tuple[Any, ...]
) -> None:
    request = {**CLAUDE_CODE, "messages": [*CLAUDE_CODE["messages"], *tail]}
    out = translate.request("anthropic_messages", preset, request, VERSION, model)
    messages = out["body"]["messages"]
    assert template_refusal("qwen", messages) is None
    if not traits_for(preset, model).user_after_tool:
        refusal = mistral_refusal({"model": model, "messages": _with_mistral_ids(messages)})
        assert refusal is None


def _with_mistral_ids(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with call ids of the form that Mistral's own API requires."""
    return msgspec.json.decode(msgspec.json.encode(messages).replace(b'"t1"', b'"abcdefghi"'))


def test_a_reminder_after_results_is_part_of_the_last_result_for_mistral() -> None:
    out = translate.request(
        "anthropic_messages", "mistral", CLAUDE_CODE, VERSION, "mistral-large-latest"
    )
    last = out["body"]["messages"][-1]
    assert last["role"] == "tool"
    assert "42" in str(last["content"])
    assert "<system-reminder>" in str(last["content"])


@each("preset", ["openai", "deepseek", "demo"])
def test_other_presets_accept_system_messages_in_place(preset: str) -> None:
    assert traits_for(preset, "some-name").mid_system


def test_a_chat_clients_messages_pass_through_unchanged() -> None:
    """The server's own template decides, and its refusal reaches the client."""
    messages = [{"role": "user", "content": "Hi"}, {"role": "system", "content": "Be brief."}]
    request = {"model": "m", "messages": messages}
    out = translate.request("openai_chat", "vllm", request, {}, "Qwen/Qwen3-32B")
    assert out["passthrough"]
    assert out["body"]["messages"] == messages


@each("target", ["cohere", "gemini", "ollama"])
def test_names_of_system_messages_are_reported(target: str) -> None:
    messages = [
        {"role": "system", "content": "Be kind.", "name": "policy"},
        {"role": "user", "content": "Hi"},
    ]
    translation = translate.request(
        "openai_chat", target, {"model": "m", "messages": messages}, {}, "qwen3"
    )
    fields = {(row["field"], row["action"]) for row in translation["report"]}
    assert ("messages[0].name", "dropped") in fields


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("anthropic", "claude-opus-5-5"),
        ("anthropic", "claude-sonnet-4-5"),
        ("bedrock_converse", "anthropic.claude-opus-5-5-v1:0"),
        ("gemini", "gemini-3.8-flash"),
        ("cohere", "command-a-03-2025"),
        ("ollama", "llama3.3"),
    ],
)
def test_a_system_message_before_the_conversation_only_loses_its_name(
    target: str, model: str
) -> None:
    messages = [
        {"role": "system", "content": "Be brief.", "name": "rules"},
        {"role": "user", "content": "Hi"},
    ]
    body = {"model": "m", "max_tokens": 99, "messages": messages}
    translation = translate.request("openai_chat", target, body, {}, model)
    assert "Be brief." in json.dumps(translation["body"])
    reported_fields = [(row["field"], row["action"]) for row in translation["report"]]
    assert reported_fields == [("messages[0].name", "dropped")]
