"""Requests with unusual combinations of features, one example each.

A row has a request in one dialect and the expected fields of the body and report in another.
"""

from __future__ import annotations

import msgspec
import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import Signature
from gateway.canon.signature import wrap_signature
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.providers.capabilities import traits_for
from gateway.providers.catalog import resolve_preset
from gateway.providers.profile import Preset
from gateway.simulate import translate
from tests.dialects.test_spec_lines import HI, MODELS, Json, Rows, developer, request_row, user

SCHEMA = {"type": "object", "properties": {}}
FUNCTION = {"name": "f", "input_schema": SCHEMA}
DEFERRED = {"name": "f", "input_schema": SCHEMA, "defer_loading": True}
PLAIN = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
ADDED = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}
REMOVED = {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "g"}}
CHANGES = {"role": "system", "content": [{"type": "text", "text": "x"}, ADDED, REMOVED]}
BARE = {"role": "system", "content": [ADDED]}
EFFORT = {"role": "system", "output_config": {"effort": "low"}}
# A thought of another provider; where it stands the request is translated, not passed on.
FOREIGN = wrap_signature(Signature(provider="openai_responses", model="m", kind="text", value="V"))
RESPONSE = {"type": "thinking", "thinking": "", "signature": FOREIGN}
ASSISTANT_MESSAGE = {"role": "assistant", "content": [RESPONSE, {"type": "text", "text": "a"}]}
LOOK = {
    "type": "image_url",
    "image_url": {"url": "https://a.org/b.png", "detail": "high"},
}


def block(text: str) -> Json:
    """Return an Anthropic text block."""
    return {"type": "text", "text": text}


def message(role: str, *blocks: Json) -> Json:
    """Return an Anthropic message."""
    return {"role": role, "content": list(blocks)}


MESSAGES: Json = {"messages": [HI], "max_tokens": 99}
REQUESTS = {
    "anthropic": MESSAGES,
    "openai_chat": MESSAGES,
    "openai_responses": {"input": "hi"},
    "openai_completions": {"prompt": "hi"},
}
LINES = [
    request_row(
        "a deferred tool that a system message adds is on offer in Chat",
        "anthropic",
        "openai_chat",
        {"messages": [HI, CHANGES], "tools": [DEFERRED]},
        {"messages": [HI, {"role": "system", "content": "x"}], "tools": [PLAIN]},
        {
            ("messages[1].content[1]", "dropped"),
            ("messages[1].content[2]", "dropped"),
            ("tools[0].defer_loading", "dropped"),
        },
    ),
    request_row(
        "a message that only changes tools is none in Responses",
        "anthropic",
        "openai_responses",
        {"messages": [HI, BARE], "tools": [DEFERRED]},
        {
            "input": [user("hi")],
            "tools": [{"type": "function", "name": "f", "strict": False, "parameters": SCHEMA}],
        },
        {("messages[1].content[0]", "dropped"), ("tools[0].defer_loading", "dropped")},
    ),
    request_row(
        "an empty answer is not sent to Mistral, which answers 400 to it",
        "openai_chat",
        "mistral",
        {"messages": [HI, {"role": "assistant", "content": ""}, HI, {"role": "assistant"}, HI]},
        {"messages": [HI, HI, HI]},
        {("messages[1]", "dropped"), ("messages[3]", "dropped")},
        "mistral-large-latest",
    ),
    request_row(
        "Mistral's models reason only with an effort",
        "anthropic",
        "mistral",
        {"thinking": {"type": "adaptive"}},
        {"reasoning_effort": "medium"},
        {("thinking", "approximated")},
        "mistral-medium-latest",
    ),
    request_row(
        "a deferred tool that a search of the client's found is on offer, another is not",
        "anthropic",
        "openai_chat",
        {
            "messages": [
                HI,
                message(
                    "assistant",
                    {"type": "tool_use", "id": "t", "name": "ToolSearch", "input": {}},
                ),
                message(
                    "user",
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [{"type": "tool_reference", "tool_name": "f"}],
                    },
                ),
            ],
            "tools": [DEFERRED, {**DEFERRED, "name": "g"}],
        },
        {"tools": [PLAIN]},
        {
            ("messages[2].content[0].content[0]", "approximated"),
            ("tools[0].defer_loading", "dropped"),
            ("tools[1]", "dropped"),
        },
    ),
    request_row(
        "changes of tools go to Anthropic as they came",
        "anthropic",
        "anthropic",
        {"messages": [HI, CHANGES, ASSISTANT_MESSAGE, HI], "tools": [DEFERRED]},
        {
            "messages": [
                message("user", block("hi")),
                CHANGES,
                message("assistant", block("a")),
                message("user", block("hi")),
            ],
            "tools": [DEFERRED],
        },
        {("messages[2].content[0]", "dropped")},
    ),
    request_row(
        "changes of tools are not hoisted",
        "anthropic",
        "anthropic",
        {"messages": [HI, CHANGES, ASSISTANT_MESSAGE, HI], "tools": [DEFERRED]},
        {"system": [block("x")]},
        {
            ("messages[1]", "approximated"),
            ("messages[1].content", "dropped"),
            ("messages[2].content[0]", "dropped"),
        },
        "claude-sonnet-5",
    ),
    request_row(
        "changes of tools are not said by the user",
        "anthropic",
        "anthropic",
        {"messages": [HI, ASSISTANT_MESSAGE, CHANGES]},
        {
            "messages": [
                message("user", block("hi")),
                message("assistant", block("a")),
                message("user", block("<system>\nx\n</system>")),
            ]
        },
        {
            ("messages[1].content[0]", "dropped"),
            ("messages[2]", "approximated"),
            ("messages[2].content", "dropped"),
        },
    ),
    request_row(
        "an effort in a system message that says nothing holds",
        "anthropic",
        "anthropic",
        {"messages": [HI, EFFORT, ASSISTANT_MESSAGE, HI]},
        {"output_config": {"effort": "low"}},
        {
            ("messages[1].output_config.effort", "approximated"),
            ("messages[2].content[0]", "dropped"),
        },
    ),
    request_row(
        "the detail of an image is named as the client wrote it",
        "openai_chat",
        "anthropic",
        {"messages": [message("user", LOOK)]},
        {},
        {("messages[0].content[0].image_url.detail", "dropped")},
    ),
    request_row(
        "an empty prompt is a message in Chat",
        "openai_completions",
        "openai_chat",
        {"prompt": ""},
        {"messages": [{"role": "user", "content": ""}]},
        set(),
    ),
    request_row(
        "an empty prompt is a message in Responses",
        "openai_completions",
        "openai_responses",
        {"prompt": [""]},
        {"input": [user("")]},
        set(),
    ),
    request_row(
        "a comment and an answer stay apart for OpenAI, with what each is",
        "openai_responses",
        "openai_responses",
        {
            "input": [
                developer("d"),
                user("hi"),
                {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": FOREIGN},
                {"role": "assistant", "content": "hm", "phase": "commentary"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "output_text", "text": "a", "annotations": []},
                        {"type": "refusal", "refusal": "b"},
                    ],
                    "phase": "final_answer",
                },
                user("hi"),
            ]
        },
        {
            "input": [
                user("hi"),
                {"type": "message", "role": "assistant", "content": "hm", "phase": "commentary"},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [
                        {"type": "output_text", "text": "a", "annotations": []},
                        {"type": "refusal", "refusal": "b"},
                    ],
                    "id": "msg_1_1",
                    "status": "completed",
                    "phase": "final_answer",
                },
                user("hi"),
            ]
        },
        {("input[2]", "dropped")},
    ),
    request_row(
        "what further properties must be is said where none are allowed",
        "openai_chat",
        "anthropic",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "n",
                    "schema": {**SCHEMA, "additionalProperties": {"type": "string"}},
                },
            }
        },
        {
            "output_config": {
                "format": {
                    "type": "json_schema",
                    "schema": {
                        **SCHEMA,
                        "description": 'additionalProperties: {"type":"string"}',
                        "additionalProperties": False,
                    },
                }
            }
        },
        {
            ("response_format.json_schema.name", "dropped"),
            ("response_format.json_schema.schema", "approximated"),
        },
    ),
    request_row(
        "a search that is demanded by the older of its names",
        "openai_responses",
        "anthropic",
        {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search_preview"}},
        {
            "tools": [{"type": "web_search_20260318", "name": "web_search"}],
            "tool_choice": {"type": "tool", "name": "web_search"},
        },
        {("max_tokens", "defaulted")},
    ),
    request_row(
        "the older name of the user is lost beside the newer one (Chat)",
        "openai_chat",
        "anthropic",
        {"user": "u", "safety_identifier": "s", "service_tier": "performance"},
        {"metadata": {"user_id": "s"}, "service_tier": "auto"},
        {("user", "dropped"), ("service_tier", "approximated")},
    ),
    request_row(
        "the older name of the user is lost beside the newer one (Responses)",
        "openai_responses",
        "openai_chat",
        {"user": "u", "safety_identifier": "s"},
        {"safety_identifier": "s", "user": None},
        {("user", "dropped")},
    ),
    request_row(
        "Kimi thinks by default and then rejects a forced tool",
        "anthropic",
        "moonshot",
        {"tools": [FUNCTION], "tool_choice": {"type": "any"}},
        {"tool_choice": "auto"},
        {("tool_choice", "approximated")},
        "kimi-k2.6",
    ),
    request_row(
        "Kimi K3 accepts an effort and a forced tool, but not `thinking`",
        "anthropic",
        "moonshot",
        {
            "tools": [FUNCTION],
            "tool_choice": {"type": "any"},
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "high"},
        },
        {"tool_choice": "required", "reasoning_effort": "high", "thinking": None},
        set(),
        "kimi-k3",
    ),
    request_row(
        "Mistral's word for the standard tier",
        "anthropic",
        "mistral",
        {"service_tier": "standard_only"},
        {"service_tier": "standard_only"},
        set(),
        "mistral-large-latest",
    ),
    request_row(
        "Mistral's word for the standard tier, from its own clients",
        "openai_chat",
        "mistral",
        {"service_tier": "standard_only"},
        {"service_tier": "standard_only"},
        set(),
        "mistral-large-latest",
    ),
    request_row(
        "Mistral's clients may request the standard tier of another provider",
        "openai_chat",
        "anthropic",
        {"service_tier": "standard_only"},
        {"service_tier": "standard_only"},
        set(),
    ),
    request_row(
        "Mistral's name of the seed, from its own clients",
        "openai_chat",
        "mistral",
        {"random_seed": 1},
        {"random_seed": 1},
        set(),
        "mistral-large-latest",
    ),
    request_row(
        "Mistral's clients name the seed of another provider",
        "openai_chat",
        "ollama",
        {"random_seed": 1, "max_tokens": 99},
        {"options": {"num_predict": 99, "seed": 1}},
        set(),
        "qwen3",
    ),
    request_row(
        "Mistral has no name for the priority tier and rejects those of others",
        "openai_chat",
        "mistral",
        {"service_tier": "priority"},
        {"service_tier": "auto"},
        {("service_tier", "approximated")},
        "mistral-large-latest",
    ),
    request_row(
        "Mistral has no cheaper tier",
        "openai_chat",
        "mistral",
        {"service_tier": "flex"},
        {"service_tier": "standard_only"},
        {("service_tier", "approximated")},
        "mistral-large-latest",
    ),
    request_row(
        "Groq's words for tiers, for its own dialect too",
        "openai_chat",
        "groq",
        {"service_tier": "priority"},
        {"service_tier": "performance"},
        set(),
        "openai/gpt-oss-120b",
    ),
    request_row(
        "stop sequences that a model has no place for are dropped, not bent",
        "openai_chat",
        "minimax",
        {"stop": ["x"]},
        {"stop_sequences": None},
        {("stop", "dropped")},
        "MiniMax-M2",
    ),
    request_row(
        "MiniMax takes no system message in the conversation of its own dialect",
        "anthropic",
        "minimax",
        {"messages": [HI, {"role": "system", "content": "x"}]},
        {"messages": [HI, {"role": "user", "content": "x"}]},
        {("messages[1].role", "approximated")},
        "MiniMax-M2",
    ),
    request_row(
        "MiniMax takes one system message in OpenAI's dialect",
        "anthropic",
        "minimax-openai",
        {"system": "s", "messages": [HI, {"role": "system", "content": "x"}]},
        {
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "hi\n\n<system-reminder>\nx\n</system-reminder>"},
            ]
        },
        {("messages[1]", "approximated")},
        "MiniMax-M2",
    ),
    request_row(
        "a model that always reasons does so as little as possible",
        "openai_chat",
        "openai_responses",
        {"reasoning_effort": "none"},
        {"reasoning": {"effort": "minimal"}},
        {("reasoning_effort", "approximated")},
        "gpt-5",
    ),
    request_row(
        "a model of Ollama that always reasons does so as little as possible",
        "openai_chat",
        "ollama",
        {"reasoning_effort": "none"},
        {"think": "low"},
        {("reasoning_effort", "approximated")},
        "gpt-oss:20b",
    ),
    request_row(
        "Cohere returns no alternatives to the tokens of a completion",
        "openai_completions",
        "cohere",
        {"logprobs": 2},
        {"logprobs": True},
        {("logprobs", "approximated")},
        "command-a-03-2025",
    ),
    request_row(
        "a count has no limit to be told of",
        "openai_responses_input_tokens",
        "anthropic",
        {"input": "hi"},
        {"max_tokens": None},
        set(),
    ),
]


def never_passed_through(name: str) -> Preset | None:
    """Return the preset of a provider whose requests are always translated."""
    preset = resolve_preset(name)
    return None if preset is None else msgspec.structs.replace(preset, passthrough=False)


@pytest.mark.parametrize(("source", "target", "model", "fields", "expected", "report"), LINES)
def test_a_combination_is_translated_as_specified(
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    target: str,
    model: str,
    fields: Json,
    expected: Json,
    report: Rows,
) -> None:
    if FOREIGN in repr(fields):
        monkeypatch.setattr(translate, "resolve_preset", never_passed_through)
    body = {"model": "gw", **REQUESTS.get(source, {}), **fields}
    translation = translate.request(source, target, body, {}, model)
    assert {name: translation["body"].get(name) for name in expected} == expected
    assert {(line["field"], line["action"]) for line in translation["report"]} == report


@pytest.mark.parametrize("source", ["anthropic", "anthropic_count_tokens"])
def test_a_client_that_names_no_version_is_passed_on_with_one(source: str) -> None:
    """Chapter 1.1: Anthropic requires the header."""
    body = {"model": "gw", **MESSAGES}
    for client_headers, sent_version in (
        ({}, "2023-06-01"),
        ({"anthropic-version": "2026-10-21"}, "2026-10-21"),
    ):
        translation = translate.request(
            source, "anthropic", body, client_headers, MODELS["anthropic"]
        )
        assert (translation["passthrough"], translation["headers"]["anthropic-version"]) == (
            True,
            sent_version,
        )


def test_other_blocks_of_a_system_message_are_refused_by_name() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://a.org/b.png"}}
    body = {"model": "gw", **MESSAGES, "messages": [HI, message("system", image)]}
    with pytest.raises(GatewayError) as error:
        translate.request("anthropic", "openai_chat", body, {}, MODELS["openai_chat"])
    assert error.value.error.param == "messages[1].content[0].type"


def test_a_limit_with_a_reset_date_is_not_an_exhausted_account() -> None:
    """Chapter 5: a 429 of Anthropic means exhausted credit only without `retry-after`."""
    body = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}
    headers = {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}
    translation = translate.error("anthropic", "openai_chat", 429, headers, body)
    assert (translation["status"], translation["body"]["error"]["code"]) == (
        429,
        "rate_limit_exceeded",
    )


@pytest.mark.parametrize(
    ("target", "path"), [("anthropic_messages", "content[0]"), ("openai_responses", "output.audio")]
)
def test_a_loss_of_audio_is_reported_as_audio(target: str, path: str) -> None:
    message = {"role": "assistant", "content": None, "audio": {"id": "a", "data": "QQ=="}}
    client_headers = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    chat = DIALECTS["openai_chat"].provider
    response = chat.parse_response(client_headers, traits_for("openai", "gpt-4.1"), None)
    context = ResponseContext(id="1", created=1, model="m")
    _, report = DIALECTS[target].client.render_response(response, context)
    assert [(item.path, item.action) for item in report] == [(path, "dropped")]
    assert "audio" in f"{report[0].path} {report[0].reason}"


@pytest.mark.parametrize(
    ("target", "model", "effort"),
    [
        ("openai_responses", "o3", {"reasoning": {"effort": "high", "summary": "auto"}}),
        ("groq", "openai/gpt-oss-120b", {"reasoning_effort": "high"}),
    ],
)
def test_a_budget_above_the_strongest_effort_is_reported_once(
    target: str, model: str, effort: Json
) -> None:
    thinking = {"type": "enabled", "budget_tokens": 20_000}
    request = {**MESSAGES, "model": "gw", "max_tokens": 30_000, "thinking": thinking}
    translation = translate.request("anthropic", target, request, {}, model)
    assert translation["body"].items() >= effort.items()
    rows = [row for row in translation["report"] if row["field"] == "thinking.budget_tokens"]
    assert [(row["action"], row["from"], row["to"]) for row in rows] == [
        ("approximated", 20_000, "high")
    ]


@pytest.mark.parametrize(
    ("source", "request_body", "title", "strict"),
    [
        (
            "openai_chat",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "file", "file": {"filename": "a.pdf", "file_data": "JVBERi0="}}
                        ],
                    }
                ],
                "tools": [{"type": "function", "function": {"name": "f", "strict": True}}],
            },
            "messages[0].content[0].file.filename",
            "tools[0].function.strict",
        ),
        (
            "openai_responses",
            {
                "input": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_file", "filename": "a.pdf", "file_data": "JVBERi0="}
                        ],
                    }
                ],
                "tools": [{"type": "function", "name": "f", "strict": True}],
            },
            "input[0].content[0].filename",
            "tools[0].strict",
        ),
        (
            "bedrock_converse",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "document": {
                                    "format": "pdf",
                                    "name": "a",
                                    "source": {"bytes": "JVBERi0="},
                                }
                            }
                        ],
                    }
                ],
                "toolConfig": {
                    "tools": [
                        {"toolSpec": {"name": "f", "strict": True, "inputSchema": {"json": {}}}}
                    ]
                },
            },
            "messages[0].content[0].document.name",
            "toolConfig.tools[0].toolSpec.strict",
        ),
    ],
)
def test_a_name_of_a_file_and_a_strict_tool_are_reported_by_the_clients_field(
    source: str, request_body: Json, title: str, strict: str
) -> None:
    translation = translate.request(
        source, "gemini", {"model": "gw", **request_body}, {}, "gemini-3.8-flash"
    )
    assert {(row["field"], row["action"]) for row in translation["report"]} == {
        (title, "dropped"),
        (strict, "approximated"),
    }


@pytest.mark.parametrize(
    "target",
    [
        *("deepseek-anthropic", "minimax", "ollama-anthropic", "moonshot-anthropic"),
        *("zai-anthropic", "openai_chat", "openai_responses", "gemini", "bedrock_converse"),
    ],
)
def test_local_paths_of_claude_code_reach_only_anthropic(target: str) -> None:
    """Claude Code's auto mode sends the directories that it protects in `safeguards`."""
    body = {"model": "gw", **MESSAGES, "safeguards": {"paths": ["/home/ann/project"]}}
    translation = translate.request("anthropic", target, body, {}, MODELS.get(target, "m"))
    assert "/home/ann" not in repr(translation["body"])
    assert ("safeguards", "dropped") in {(r["field"], r["action"]) for r in translation["report"]}


def test_anthropic_gets_the_safeguards_of_claude_code() -> None:
    body = {"model": "gw", **MESSAGES, "safeguards": {"paths": ["/home/ann/project"]}}
    translation = translate.request("anthropic", "anthropic", body, {}, "claude-opus-5")
    assert translation["body"]["safeguards"] == body["safeguards"]
