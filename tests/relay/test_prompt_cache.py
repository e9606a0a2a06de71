"""A route's `prompt_cache` sets breakpoints if the client set none."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from gateway.dialects import DIALECTS
from gateway.providers.catalog import PRESETS
from gateway.relay.exchange.call import Call, Exchange
from gateway.relay.translate.prepare import PreparedRequest, prepare
from gateway.routing.snapshot import Provider, Route, Snapshot, Target, model_of
from tests.fakes import anthropic_rules, bedrock_rules

Json = dict[str, Any]

MARK = {"type": "ephemeral"}
HEADERS = {"anthropic-version": "2023-06-01"}
LONG = "You book flights for travellers. " * 80
SCHEMA: Json = {"type": "object", "properties": {"day": {"type": "string"}}}
CLAUDE, NOVA = "claude-sonnet-4-5", "us.amazon.nova-pro-v1:0"

MESSAGES: Json = {
    "model": "gw",
    "max_tokens": 99,
    "system": LONG,
    "tools": [{"name": name, "input_schema": SCHEMA} for name in ("find", "book")],
    "messages": [
        {"role": "user", "content": "First question"},
        {"role": "assistant", "content": "First answer"},
        {"role": "user", "content": "Second question"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {"day": "1"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "Two flights"},
                {"type": "text", "text": "Which is cheaper?"},
            ],
        },
    ],
}
CHAT: Json = {
    "model": "gw",
    "tools": [
        {"type": "function", "function": {"name": name, "parameters": SCHEMA}}
        for name in ("find", "book")
    ],
    "messages": [
        {"role": "system", "content": LONG},
        {"role": "user", "content": "First question"},
        {"role": "assistant", "content": "First answer"},
        {"role": "user", "content": [{"type": "text", "text": "Second question"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "t1",
                    "type": "function",
                    "function": {"name": "find", "arguments": '{"day": "1"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "Two flights"},
    ],
}


def prepare_request(
    dialect: str, preset: str, model: str, body: Json, prompt_cache: str = "5m"
) -> PreparedRequest:
    exchange = Exchange(
        request_id="req_1",
        endpoint="translate",
        verb="generate",
        dialect=DIALECTS[dialect],
        snapshot=Snapshot(version=0),
        headers=HEADERS,
        started=0.0,
    )
    exchange.body = msgspec.json.encode(body)
    exchange.fields = msgspec.json.decode(exchange.body, type=dict[str, msgspec.Raw])
    exchange.model = "gw"
    row = PRESETS[preset]
    provider = Provider(
        id=1,
        name=preset,
        preset=preset,
        dialect=row.dialect,
        base_url="http://upstream",
        passthrough=row.passthrough,
    )
    target = Target(id=0, model=model_of(provider, model))
    route = Route(id=0, name="gw", targets=(target,), prompt_cache=prompt_cache)
    return prepare(Call(exchange), route, target)


def upstream_body(*args: Any, **options: Any) -> Json:
    return msgspec.json.decode(prepare_request(*args, **options).content)


def breakpoint_paths(value: Any, path: str = "") -> list[str]:
    """Return the paths of the values with a breakpoint."""
    paths = []
    if isinstance(value, dict):
        paths += [path] if "cache_control" in value else []
        for name, inner in value.items():
            paths += breakpoint_paths(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            turn_path = f"{path}[{index}]"
            is_point = isinstance(inner, dict) and "cachePoint" in inner
            paths += [turn_path] if is_point else breakpoint_paths(inner, turn_path)
    return paths


def without_breakpoints(value: Json) -> Json:
    """Return the body of a client without breakpoints: lists of one text are strings."""
    for message in [*value["messages"], value]:
        for name in ("content", "system"):
            parts = message.get(name)
            for part in parts if isinstance(parts, list) else ():
                if part.pop("cache_control", None) and [*part] == ["type", "text"]:
                    message[name] = part["text"] if len(parts) == 1 else parts
    for tool in value["tools"]:
        tool.pop("cache_control", None)
    return value


ANTHROPIC_MARKS = ["messages[2].content[0]", "messages[4].content[1]", "system[0]", "tools[1]"]


def test_anthropic_passthrough_marks_four_prefixes_and_changes_nothing_else() -> None:
    result = prepare_request("anthropic_messages", "anthropic", CLAUDE, MESSAGES)
    body = msgspec.json.decode(result.content)
    assert result.rendered_request is None
    assert sorted(breakpoint_paths(body)) == ANTHROPIC_MARKS
    assert body["tools"][1]["cache_control"] == MARK
    assert anthropic_rules.refusal(body, HEADERS, counting=False) is None
    assert [(row.path, row.action) for row in result.report] == [("cache_control", "defaulted")]
    assert without_breakpoints(body) == MESSAGES | {"model": CLAUDE}


def test_cache_breakpoints_may_last_one_hour() -> None:
    body = upstream_body("anthropic_messages", "anthropic", CLAUDE, MESSAGES, "1h")
    assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_chat_clients_of_anthropic_get_cache_breakpoints() -> None:
    body = upstream_body("openai_chat", "anthropic", CLAUDE, CHAT)
    assert sorted(breakpoint_paths(body)) == [
        "messages[2].content[0]",
        "messages[4].content[0]",
        "system[0]",
        "tools[1]",
    ]
    assert anthropic_rules.refusal(body, HEADERS, counting=False) is None


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (CLAUDE, ["messages[2].content[1]", "messages[4].content[2]", "system[1]"]),
        (NOVA, ["messages[2].content[1]", "messages[4].content[2]", "system[1]"]),
    ],
)
def test_bedrock_gets_cache_points(model: str, expected: list[str]) -> None:
    name = f"us.anthropic.{model}-20250929-v1:0" if model == CLAUDE else model
    body = upstream_body("anthropic_messages", "bedrock", name, MESSAGES)
    tools = ["toolConfig.tools[2]"] if model == CLAUDE else []
    assert sorted(breakpoint_paths(body)) == [*expected, *tools]
    assert body["system"][1] == {"cachePoint": {"type": "default"}}
    assert bedrock_rules.refusal(name, body) is None


@pytest.mark.parametrize("client", ["openai_chat", "anthropic_messages"])
def test_openrouter_marks_text_parts_of_anthropic_models(client: str) -> None:
    chat = CHAT if client == "openai_chat" else MESSAGES
    result = prepare_request(client, "openrouter", "anthropic/claude-sonnet-4.5", chat)
    body = msgspec.json.decode(result.content)
    assert (result.rendered_request is None) == (client == "openai_chat")
    last = len(body["messages"]) - 1
    assert breakpoint_paths(body) == [
        "messages[0].content[0]",
        "messages[3].content[0]",
        f"messages[{last}].content[0]",
    ]
    assert breakpoint_paths(upstream_body(client, "openrouter", "openai/gpt-5", chat)) == []


def changed_messages(**fields: Any) -> Json:
    return copy.deepcopy(MESSAGES) | fields


@pytest.mark.parametrize(
    ("body", "model", "prompt_cache"),
    [
        (MESSAGES, CLAUDE, ""),
        (changed_messages(system="Short"), CLAUDE, "5m"),
        (
            changed_messages(system=[{"type": "text", "text": LONG, "cache_control": MARK}]),
            CLAUDE,
            "5m",
        ),
        (MESSAGES, "another-model", "5m"),
    ],
    ids=["off", "short", "client-marks", "unknown-model"],
)
def test_the_body_is_unchanged_without_prompt_caching(
    body: Json, model: str, prompt_cache: str
) -> None:
    result = prepare_request("anthropic_messages", "anthropic", model, body, prompt_cache)
    assert msgspec.json.decode(result.content) == body | {"model": model}
    assert result.report == ()


def test_parts_that_anthropic_rejects_a_breakpoint_on_are_skipped() -> None:
    empty = {"type": "text", "text": " "}
    body = changed_messages(
        system=[{"type": "text", "text": LONG}, empty],
        tools=[*MESSAGES["tools"], {**MESSAGES["tools"][0], "name": "x", "defer_loading": True}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, empty]},
            {"role": "user", "content": ""},
        ],
    )
    assert sorted(
        breakpoint_paths(upstream_body("anthropic_messages", "anthropic", CLAUDE, body))
    ) == [
        "messages[0].content[0]",
        "system[0]",
        "tools[1]",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": "text"},
        {"messages": [1, None, {"role": 5, "content": 7}, {"role": "user", "content": [3]}]},
        {"tools": [5], "messages": [{"role": "user", "content": [{"type": ["x"]}]}]},
    ],
)
def test_a_malformed_body_is_the_upstreams_to_refuse(fields: Json) -> None:
    body = upstream_body("anthropic_messages", "anthropic", CLAUDE, changed_messages(**fields))
    assert body["system"][0]["cache_control"] == MARK
    assert {name: body[name] for name in fields} == fields
