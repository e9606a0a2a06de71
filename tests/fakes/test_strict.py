"""The fakes accept the official SDKs' requests and refuse what the services refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.fakes import (
    Call,
    ChaosUpstream,
    ScriptedResponse,
    StrictAnthropic,
    StrictDeepSeek,
    StrictGemini,
    StrictOpenAI,
    gemini_rules,
)
from tests.fakes.chaos import FAULTS
from tests.fakes.openai_rules import strict_schema_problem

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
LONG_CALL = {"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": "c" * 41}]}
EITHER = {"type": "object", "anyOf": [{"required": ["a"]}]}
ANY_OF = {"type": "function", "function": {"name": "f", "parameters": EITHER}}
USER_MESSAGE = {"role": "user", "content": "Hi"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
LOOSE = {"type": "object", "properties": {"a": {}}}
FORM = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": LOOSE}}


def result(content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "c1", "content": content}


@pytest.fixture(scope="module")
def chat() -> Iterator[StrictOpenAI]:
    with StrictOpenAI() as server:
        yield server


@pytest.fixture(scope="module")
def messages() -> Iterator[StrictAnthropic]:
    with StrictAnthropic() as server:
        yield server


def post_chat(server: StrictOpenAI, **body: Any) -> httpx.Response:
    request_body = {"model": server.models[0], "messages": [USER_MESSAGE], **body}
    headers = {"authorization": f"Bearer {server.key}"}
    return httpx.post(f"{server.url}/v1/chat/completions", json=request_body, headers=headers)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"top_k": 3}, "Unrecognized request argument supplied: top_k"),
        ({"user": "u" * 65}, "'user': string too long"),
        ({"safety_identifier": "u" * 65}, "'safety_identifier': string too long"),
        ({"messages": [USER_MESSAGE, LONG_CALL, result()]}, "with maximum length 40"),
        ({"tools": [ANY_OF]}, "at the top level"),
        ({"tools": []}, "[] is too short - 'tools'"),
        ({"messages": []}, "[] is too short - 'messages'"),
        ({"tool_choice": "auto"}, "only allowed when 'tools' are specified"),
        ({"temperature": 2.5}, "must be between 0 and 2"),
        ({"stop": list("abcde")}, "array too long"),
        ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
        ({"reasoning_effort": "low"}, "Unrecognized request argument supplied: reasoning_effort"),
        ({"model": "gpt-5", "max_tokens": 5}, "Use 'max_completion_tokens' instead"),
        ({"model": "gpt-5", "temperature": 0}, "does not support 0"),
        ({"model": "o3", "stop": "x"}, "'stop' is not supported with this model"),
        ({"model": "gpt-5.1", "reasoning_effort": "minimal"}, "does not support 'minimal'"),
        ({"model": "gpt-5.6-sol", "tools": [TOOL]}, "use /v1/responses"),
        ({"model": "nobody"}, "does not exist"),
        ({"messages": [USER_MESSAGE, result()]}, "must be a response to a preceeding message"),
        ({"messages": [USER_MESSAGE, CALLED]}, "did not have response messages: c1"),
        (
            {"messages": [USER_MESSAGE, CALLED, USER_MESSAGE, result()]},
            "did not have response messages",
        ),
        ({"messages": [USER_MESSAGE, CALLED, result([IMAGE])]}, "messages[2].content[0]"),
        ({"messages": [USER_MESSAGE, {"role": "assistant", "content": None}]}, "expected a string"),
        ({"messages": [{**USER_MESSAGE, "cache_control": {}}]}, "Unknown parameter"),
        ({"messages": [{"role": "user", "content": 5}]}, "Invalid type"),
        ({"response_format": FORM}, "Invalid schema"),
        ({"response_format": {"type": "json_object"}}, "must contain the word 'json'"),
    ],
)
def test_openai_refuses(chat: StrictOpenAI, body: dict[str, Any], message: str) -> None:
    response = post_chat(chat, **body)
    assert response.status_code in {400, 404}
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True},
        {"messages": [USER_MESSAGE, CALLED, result()], "tools": [TOOL]},
        {
            "messages": [USER_MESSAGE, CALLED, result([{"type": "text", "text": "x"}])],
            "tools": [TOOL],
        },
        {"messages": [USER_MESSAGE, CALLED, {**result(), "name": "f"}], "tools": [TOOL]},
        {"messages": [{"role": "user", "content": [IMAGE]}]},
        {"model": "gpt-5", "max_completion_tokens": 9, "reasoning_effort": "minimal"},
        {"model": "gpt-5.6-sol", "tools": [TOOL], "reasoning_effort": "none"},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"stop": "x", "seed": 1, "logit_bias": {"5": 1}, "user": "u", "n": 2},
    ],
)
def test_strict_openai_accepts(chat: StrictOpenAI, body: dict[str, Any]) -> None:
    assert post_chat(chat, **body).status_code == 200


def test_openai_requires_its_key(chat: StrictOpenAI) -> None:
    with (
        openai.OpenAI(base_url=f"{chat.url}/v1", api_key="sk-no", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


@pytest.mark.parametrize("interleaved", [False, True], ids=["in_turn", "interleaved"])
def test_the_openai_sdk_adds_up_its_streams(chat: StrictOpenAI, interleaved: bool) -> None:
    calls = (Call("f", {"a": "first"}), Call("f", {"a": "second"}))
    chat.script.on(f"Two {interleaved}", ScriptedResponse(calls=calls, interleaved=interleaved))
    with (
        openai.OpenAI(base_url=f"{chat.url}/v1", api_key=chat.key) as client,
        client.chat.completions.stream(
            model="gpt-4o",
            messages=[{"role": "user", "content": f"Two {interleaved}"}],
            tools=[TOOL],  # type: ignore[list-item]
        ) as stream,
    ):
        tool_calls = stream.get_final_completion().choices[0].message.tool_calls or []
    assert [c.function.arguments for c in tool_calls] == ['{"a":"first"}', '{"a":"second"}']


def test_deepseek_requires_its_reasoning() -> None:
    with StrictDeepSeek() as server:
        model = "deepseek-v4-pro"
        history = [USER_MESSAGE, CALLED, result()]
        refused_response = post_chat(server, model=model, messages=history, tools=[TOOL])
        thought = {**CALLED, "reasoning_content": "Hm."}
        response = post_chat(
            server, model=model, messages=[USER_MESSAGE, thought, result()], tools=[TOOL]
        )
    assert "must be passed back" in refused_response.json()["error"]["message"]
    assert response.status_code == 200


def post_messages(server: StrictAnthropic, headers: dict[str, str], **body: Any) -> httpx.Response:
    request_body = {
        "model": "claude-opus-5-5",
        "max_tokens": 2000,
        "messages": [USER_MESSAGE],
        **body,
    }
    request_headers = {"x-api-key": server.key, "anthropic-version": "2023-06-01", **headers}
    return httpx.post(f"{server.url}/v1/messages", json=request_body, headers=request_headers)


SYSTEM = {"role": "system", "content": "Be brief"}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
TOOL_RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
TEXT = {"type": "text", "text": "x"}
USED = {"role": "assistant", "content": [USE]}
TOOLS = [{"name": "f", "input_schema": {"type": "object"}}]
MARK = {**TEXT, "cache_control": {"type": "ephemeral"}}
THOUGHT = {"type": "thinking", "thinking": "x", "signature": "made up"}
OLD = {"model": "claude-sonnet-4-5"}
BUDGET = {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"foo": 1}, "foo: Extra inputs are not permitted"),
        ({"context_management": {"edits": []}}, "context_management: Extra inputs"),
        ({"temperature": 0.5}, "`temperature` is deprecated for this model"),
        ({**OLD, "temperature": 1.5}, "range: 0..1"),
        ({**OLD, "temperature": 0.5, "top_p": 0.5}, "cannot both be specified"),
        ({"thinking": BUDGET}, "is not supported for this model"),
        ({**OLD, "thinking": {"type": "adaptive"}}, "is not supported for this model"),
        ({**OLD, "thinking": {**BUDGET, "budget_tokens": 5}}, "greater than or equal to 1024"),
        ({**OLD, "thinking": {**BUDGET, "budget_tokens": 9000}}, "`max_tokens` must be greater"),
        ({**OLD, "thinking": BUDGET, "tools": TOOLS, "tool_choice": {"type": "any"}}, "forces"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "first message must use"),
        ({"messages": [USER_MESSAGE, {"role": "assistant", "content": "x"}]}, "prefill"),
        ({**OLD, "messages": [USER_MESSAGE, SYSTEM]}, "messages.1.role"),
        ({"messages": [USER_MESSAGE, SYSTEM, USER_MESSAGE]}, "a system message must follow"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ({"messages": [{"role": "user", "content": [{**TEXT, "text": " "}]}]}, "non-whitespace"),
        (
            {"messages": [USER_MESSAGE, USED, USER_MESSAGE], "tools": TOOLS},
            "without `tool_result` blocks",
        ),
        (
            {
                "messages": [USER_MESSAGE, USED, {"role": "user", "content": [TEXT, TOOL_RESULT]}],
                "tools": TOOLS,
            },
            "without `tool_result` blocks immediately",
        ),
        ({"messages": [{"role": "user", "content": [TOOL_RESULT]}], "tools": TOOLS}, "unexpected"),
        ({"messages": [{"role": "user", "content": [MARK] * 5}]}, "maximum of 4 blocks"),
        (
            {"messages": [USER_MESSAGE, {"role": "assistant", "content": [THOUGHT]}, USER_MESSAGE]},
            "signature",
        ),
        ({"model": "nobody"}, "model: nobody"),
        ({"max_tokens": None}, "max_tokens"),
        ({"stop_sequences": [" "]}, "non-whitespace"),
    ],
)
def test_anthropic_refuses(messages: StrictAnthropic, body: dict[str, Any], message: str) -> None:
    response = post_messages(messages, {}, **body)
    assert response.status_code in {400, 404}
    assert message in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"anthropic-version": "2020-01-01"}, "not a valid version"),
        ({"anthropic-beta": "made-up-2026-01-01"}, "Unexpected value(s) `made-up-2026-01-01`"),
        ({"x-api-key": "sk-ant-no"}, "invalid x-api-key"),
    ],
)
def test_anthropic_refuses_headers(
    messages: StrictAnthropic, headers: dict[str, str], message: str
) -> None:
    assert message in post_messages(messages, headers).json()["error"]["message"]


def test_the_new_version_refuses_sampling_at_its_default(messages: StrictAnthropic) -> None:
    newer = {"anthropic-version": "2026-10-21"}
    assert post_messages(messages, newer, **OLD, temperature=1).status_code == 400
    assert post_messages(messages, {}, **OLD, temperature=1).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [USER_MESSAGE, SYSTEM]},
        {
            "messages": [
                USER_MESSAGE,
                USER_MESSAGE,
                {"role": "assistant", "content": "x"},
                USER_MESSAGE,
            ]
        },
        {**OLD, "messages": [USER_MESSAGE, {"role": "assistant", "content": "x"}]},
        {
            "messages": [USER_MESSAGE, USED, {"role": "user", "content": [TOOL_RESULT, TEXT]}],
            "tools": TOOLS,
        },
        {
            "thinking": {"type": "adaptive", "display": "omitted"},
            "output_config": {"effort": "max"},
        },
        {**OLD, "thinking": BUDGET, "temperature": 1},
        {"system": [TEXT], "stop_sequences": ["x"], "metadata": {"user_id": "u"}},
    ],
)
def test_strict_anthropic_accepts(messages: StrictAnthropic, body: dict[str, Any]) -> None:
    response = post_messages(messages, {}, **body)
    assert response.status_code == 200, response.text


def test_anthropic_accepts_the_older_field_of_a_schema_with_its_beta(
    messages: StrictAnthropic,
) -> None:
    """LiteLLM sends `output_format` for Sonnet 4.5, and `prompt-caching-scope` with it."""
    body = {**OLD, "output_format": {"type": "json_schema", "schema": {"type": "object"}}}
    betas = {"anthropic-beta": "structured-outputs-2025-11-13,prompt-caching-scope-2026-01-05"}
    assert post_messages(messages, {}, **body).status_code == 400
    response = post_messages(messages, betas, **body)
    assert response.status_code == 200, response.text


def test_gemini_accepts_snake_case() -> None:
    """As the protobuf JSON mapping does; LiteLLM sends results as `function_response`."""
    call: dict[str, Any] = {"function_call": {"name": "f", "args": {"a_b": 1}}}
    call["thought_signature"] = gemini_rules.signature("f")
    result = {"function_response": {"name": "f", "response": {"out_put": "sun"}}}
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [call]},
            {"role": "user", "parts": [result]},
        ],
        "system_instruction": {"parts": [{"text": "Be brief"}]},
        "generation_config": {"max_output_tokens": 99},
    }
    with StrictGemini() as server:
        server.script.on("Hi", ScriptedResponse(then=ScriptedResponse(text="It is: {results}")))
        url = f"{server.url}/v1beta/models/gemini-3.8-flash:generateContent"
        response = httpx.post(url, json=body, headers={"x-goog-api-key": server.key})
        del call["thought_signature"]
        unsigned = httpx.post(url, json=body, headers={"x-goog-api-key": server.key})
    assert response.status_code == 200, response.text
    text = response.json()["candidates"][0]["content"]["parts"][0]["text"]
    assert text == "It is: {'out_put': 'sun'}"
    assert "missing a `thought_signature`" in unsigned.text


def test_the_anthropic_sdk_adds_up_its_streams(messages: StrictAnthropic) -> None:
    messages.script.on(
        "Two", ScriptedResponse(reasoning="Hm.", calls=(Call("f", {"a": 1}), Call("f")))
    )
    with (
        anthropic.Anthropic(base_url=messages.url, api_key=messages.key) as client,
        client.messages.stream(
            model="claude-opus-5-5",
            max_tokens=2000,
            messages=[{"role": "user", "content": "Two"}],
            thinking={"type": "adaptive"},
            tools=TOOLS,  # type: ignore[arg-type]
        ) as stream,
    ):
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "tool_use", "tool_use"]
    assert message.stop_reason == "tool_use"


def test_the_fake_records_a_client_that_disconnects(chat: StrictOpenAI) -> None:
    chat.script.on("Slowly", ScriptedResponse(text="x" * 500, pace_s=0.05))
    headers = {"authorization": f"Bearer {chat.key}"}
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Slowly"}]}
    url = f"{chat.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=headers) as response:
        next(response.iter_bytes())
    with httpx.Client() as other:  # the server has turned to somebody else since
        other.get(f"{chat.url}/v1/models", headers=headers)
    assert chat.requests[-2].left_at is not None


@pytest.mark.parametrize("fault", ["rst", "close", "garbage", "bad-status-line", "half-closed"])
def test_a_fault_breaks_the_connection(fault: str) -> None:
    with ChaosUpstream() as server, pytest.raises(httpx.TransportError):
        httpx.post(f"{server.url}/v1/messages", json={"model": fault}, timeout=2)


def test_a_fault_may_be_named_by_the_path() -> None:
    with ChaosUpstream() as server:
        response = httpx.post(f"{server.url}/503/v1/messages", json={"model": "any"})
    assert response.status_code == 503
    assert {"hang", "drip-body", "stream-stall", "bomb-gzip"} <= set(FAULTS)


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "object", "properties": {}}, False),
        ({"anyOf": [{"type": "object"}]}, False),
        ({"allOf": []}, False),
    ],
)
def test_strict_schemas_are_checked(schema: dict[str, Any], fits: bool) -> None:
    assert (strict_schema_problem(schema) is None) is fits
