"""The demo provider responds as a real one, deterministically, and fails on request."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.demo import MODELS, SCRIPTS, DemoTransport, script_for
from gateway.demo.schema import example_value
from gateway.framing.sse import Decoder

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
            "required": ["city", "unit"],
        },
    },
}
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 12},
        "age": {"type": "integer", "minimum": 40, "maximum": 41},
        "born": {"type": "string", "format": "date"},
        "kind": {"enum": ["a", "b"]},
        "friends": {"type": "array", "items": {"$ref": "#"}, "maxItems": 1},
        "boss": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["name", "age", "born", "kind", "friends", "boss"],
    "additionalProperties": False,
}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=DemoTransport()) as api_client:
        yield api_client


def body(model: str = "demo-fast", prompt: str = "Hi there", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}


async def post_chat(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("demo://local/chat/completions", json=body(**fields))


async def complete_chat(client: httpx.AsyncClient, **fields: Any) -> ChatCompletion:
    response = await post_chat(client, **fields)
    assert response.status_code == 200
    return ChatCompletion.model_validate_json(response.content)


async def chunks(client: httpx.AsyncClient, **fields: Any) -> list[ChatCompletionChunk]:
    response = await post_chat(client, stream=True, **fields)
    frames = Decoder().feed(response.content)
    assert frames[-1].data == b"[DONE]"
    return [ChatCompletionChunk.model_validate_json(frame.data) for frame in frames[:-1]]


async def test_the_same_request_gets_the_same_bytes(client: httpx.AsyncClient) -> None:
    assert (await post_chat(client)).content == (await post_chat(client)).content


async def test_a_stream_has_the_text_of_the_complete_response(client: httpx.AsyncClient) -> None:
    response = await complete_chat(client, prompt="Tell me")
    streamed = await chunks(client, prompt="Tell me")
    text = "".join(c.choices[0].delta.content or "" for c in streamed)
    assert text == response.choices[0].message.content
    assert "Tell me" in text
    assert len(streamed) > 10


async def test_usage_is_the_last_chunk_and_only_on_request(client: httpx.AsyncClient) -> None:
    plain = await chunks(client)
    counted = await chunks(client, stream_options={"include_usage": True})
    assert all(chunk.usage is None for chunk in plain)
    assert counted[-1].choices == []
    assert counted[-1].usage is not None
    assert counted[-1].usage.completion_tokens > 10


async def test_a_reasoning_model_thinks_before_it_answers(client: httpx.AsyncClient) -> None:
    streamed = await chunks(client, model="demo-reasoning@0ms")
    kinds = ["content" if c.choices[0].delta.content else "thought" for c in streamed[1:-1]]
    assert kinds == sorted(kinds, key=["thought", "content"].index)
    assert {"thought", "content"} == set(kinds)


@pytest.mark.parametrize(("effort", "thinks"), [("low", True), ("none", False)])
async def test_effort_switches_reasoning(
    client: httpx.AsyncClient, effort: str, thinks: bool
) -> None:
    response = await complete_chat(client, reasoning_effort=effort)
    assert hasattr(response.choices[0].message, "reasoning_content") is thinks


@pytest.mark.parametrize(
    ("prompt", "choice"),
    [
        ("call a tool", "auto"),
        ("what is the weather?", "auto"),
        ("call get_weather now", "auto"),
        ("hello", "required"),
        ("hello", {"type": "function", "function": {"name": "get_weather"}}),
    ],
    ids=["requested", "suitable", "named", "required", "forced"],
)
async def test_a_tool_is_called_with_arguments_that_fit(
    client: httpx.AsyncClient, prompt: str, choice: Any
) -> None:
    response = await complete_chat(client, prompt=prompt, tools=[WEATHER], tool_choice=choice)
    [call] = response.choices[0].message.tool_calls or []
    assert response.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"city": "Paris", "unit": "f"}


async def test_no_tool_is_called_without_a_matching_prompt(client: httpx.AsyncClient) -> None:
    response = await complete_chat(client, prompt="good morning", tools=[WEATHER])
    assert response.choices[0].message.tool_calls is None


async def test_a_request_with_tools_and_no_user_message_is_answered(
    client: httpx.AsyncClient,
) -> None:
    messages = [{"role": "system", "content": "Be kind."}]
    body = {"model": "demo-fast", "messages": messages, "tools": [WEATHER]}
    response = await client.post("demo://local/chat/completions", json=body)
    assert response.status_code == 200


async def test_parallel_calls_have_their_own_arguments(client: httpx.AsyncClient) -> None:
    response = await complete_chat(client, prompt="weather of both, in parallel", tools=[WEATHER])
    calls = response.choices[0].message.tool_calls or []
    assert [json.loads(c.function.arguments)["city"] for c in calls] == ["Paris", "Rome"]
    assert len({call.id for call in calls}) == 2


async def test_parallel_calls_can_be_switched_off(client: httpx.AsyncClient) -> None:
    params = {"prompt": "weather of both", "tools": [WEATHER], "parallel_tool_calls": False}
    response = await complete_chat(client, **params)
    assert len(response.choices[0].message.tool_calls or []) == 1


async def test_quoted_text_becomes_the_command(client: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"command": {"type": "string"}}}
    bash = {
        "type": "function",
        "function": {"name": "Bash", "parameters": {**schema, "required": ["command"]}},
    }
    response = await complete_chat(client, prompt="Run `echo hi` please", tools=[WEATHER, bash])
    [call] = response.choices[0].message.tool_calls or []
    assert (call.function.name, call.function.arguments) == ("Bash", '{"command":"echo hi"}')


async def test_a_tool_result_is_used_in_the_response(client: httpx.AsyncClient) -> None:
    call_message = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": "{}"},
    }
    messages = [
        {"role": "user", "content": "use the tool"},
        {"role": "assistant", "content": None, "tool_calls": [call_message]},
        {"role": "tool", "tool_call_id": "c1", "content": "21 degrees"},
        {"role": "system", "content": "an agent's reminder"},
    ]
    response = await complete_chat(client, messages=messages, tools=[WEATHER])
    assert response.choices[0].message.content == "The tool answered: 21 degrees"


async def test_structured_output_follows_its_schema(client: httpx.AsyncClient) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    response = await complete_chat(client, response_format=form)
    person = json.loads(response.choices[0].message.content or "")
    assert set(person) == set(PERSON["properties"])
    assert len(person["name"]) >= 12
    assert person["age"] in {40, 41}
    assert person["kind"] in {"a", "b"}


async def test_a_limit_ends_the_response_with_length(client: httpx.AsyncClient) -> None:
    response = await complete_chat(client, max_completion_tokens=3)
    assert response.choices[0].finish_reason == "length"
    assert response.usage is not None
    assert response.usage.completion_tokens == 3


async def test_a_stop_sequence_ends_the_response(client: httpx.AsyncClient) -> None:
    response = await complete_chat(client, stop=["Dragoman"])
    assert (response.choices[0].message.content or "").endswith("inside ")


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("demo-429", 429, "rate_limit_exceeded"),
        ("demo-quota", 429, "insufficient_quota"),
        ("demo-500", 500, None),
        ("demo-overloaded", 503, "server_is_overloaded"),
        ("demo-context", 400, "context_length_exceeded"),
        ("demo-401", 401, "invalid_api_key"),
        ("no-such-model", 404, "model_not_found"),
    ],
)
async def test_faults_answer_as_a_provider_would(
    client: httpx.AsyncClient, model: str, status: int, code: str | None
) -> None:
    response = await post_chat(client, model=model)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code


async def test_a_rate_limit_has_retry_after(client: httpx.AsyncClient) -> None:
    assert (await post_chat(client, model="demo-429")).headers["retry-after"] == "2"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_cut_response_breaks_the_connection(
    client: httpx.AsyncClient, stream: bool
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await post_chat(client, model="demo-cut@0ms", stream=stream)


async def test_an_error_midway_follows_some_text(client: httpx.AsyncClient) -> None:
    response = await post_chat(client, model="demo-error-midway@0ms", stream=True)
    frames = Decoder().feed(response.content)
    assert b'"content":"Hello' in frames[1].data
    assert json.loads(frames[-1].data)["error"]["type"] == "server_error"


async def test_invalid_tool_json_is_not_json(client: httpx.AsyncClient) -> None:
    response = await complete_chat(client, model="demo-bad-tool-json@0ms", tools=[WEATHER])
    [call] = response.choices[0].message.tool_calls or []
    with pytest.raises(json.JSONDecodeError):
        json.loads(call.function.arguments)


async def test_a_wrong_tool_was_never_offered(client: httpx.AsyncClient) -> None:
    response = await complete_chat(client, model="demo-wrong-tool@0ms", tools=[WEATHER])
    [call] = response.choices[0].message.tool_calls or []
    assert call.function.name != "get_weather"


@pytest.mark.parametrize(
    "content", [b"not json", b"[]", b'{"model":"demo"}', b'{"messages":[]}', b"[" * 5000]
)
async def test_invalid_requests_are_refused(client: httpx.AsyncClient, content: bytes) -> None:
    response = await client.post("demo://local/chat/completions", content=content)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_embeddings_of_a_demo_model_are_refused_with_the_reason(
    client: httpx.AsyncClient,
) -> None:
    reply = await client.post("demo://local/embeddings", json={"model": "demo", "input": "hi"})
    assert reply.status_code == 404
    assert "only serve chat completions" in reply.json()["error"]["message"]


async def test_demo_models_are_listed(client: httpx.AsyncClient) -> None:
    response = await client.get("demo://local/models")
    assert [row["id"] for row in response.json()["data"]] == list(MODELS)


@pytest.mark.parametrize("model", [m for m in MODELS if SCRIPTS[m].first_ms <= 1000])
async def test_every_demo_model_streams_at_its_speed(client: httpx.AsyncClient, model: str) -> None:
    script = SCRIPTS[model]
    started = time.perf_counter()
    if script.interruption not in {"cut", "stall"}:
        assert (await post_chat(client, model=model)).content
    assert time.perf_counter() - started < 15


async def test_the_delay_in_the_model_name_is_applied(client: httpx.AsyncClient) -> None:
    started = time.perf_counter()
    streamed = await chunks(client, model="demo@5ms")
    assert time.perf_counter() - started >= 0.005 * len(streamed)


@pytest.mark.parametrize(
    ("name", "pace_ms"),
    [("demo@50ms", 50.0), ("demo@2s", 2000.0), ("demo@0ms", 0.0), ("demo@99s", 10_000.0)],
)
def test_the_speed_suffix_of_a_demo_model_is_parsed(name: str, pace_ms: float) -> None:
    script = script_for(name)
    assert script is not None
    assert script.pace_ms == pace_ms


@pytest.mark.parametrize("name", ["", "demo@", "demo@fast", "other", "@5ms", "demo@5ms\n"])
def test_unknown_demo_models_are_not_found(name: str) -> None:
    assert script_for(name) is None


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 7}, 7),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "integer", "exclusiveMinimum": 10, "exclusiveMaximum": 12}, 11),
        ({"type": "number", "multipleOf": 0.25, "minimum": 9.1, "maximum": 9.3}, 9.25),
        ({"type": "string", "pattern": "^[0-9]{3}$"}, "123"),
        ({"type": "array", "items": {"enum": [1]}, "minItems": 3}, [1, 1, 1]),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            {"a": 1, "b": 2},
        ),
        ({"anyOf": [{"type": "null"}, {"const": "x"}]}, "x"),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 3}}}, 3),
    ],
)
def test_an_instance_satisfies_its_schema(schema: dict[str, Any], expected: Any) -> None:
    assert example_value(schema) == expected


def test_a_recursive_schema_terminates() -> None:
    """A few references can describe a value of 2**40 parts."""
    twice = {
        "type": "object",
        "required": ["a", "b"],
        "properties": {key: {"$ref": "#"} for key in "ab"},
    }
    started = time.thread_time()
    example_value(twice)
    assert time.thread_time() - started < 1


@pytest.mark.parametrize("model", ["demo", "gpt-4o"])
async def test_a_mock_response_is_returned_as_text(client: httpx.AsyncClient, model: str) -> None:
    """This holds for any request and provider, as LiteLLM's `mock_response`."""
    params = {"model": model, "mock_response": "It is a mock, in\n two lines."}
    response = await complete_chat(client, **params, prompt="call a tool", tools=[WEATHER])
    assert response.choices[0].message.content == params["mock_response"]
    assert response.choices[0].message.tool_calls is None
    stream_chunks = await chunks(client, **params)
    text = "".join(c.choices[0].delta.content or "" for c in stream_chunks if c.choices)
    assert text == params["mock_response"]


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("litellm.RateLimitError", 429, "rate_limit_exceeded"),
        ("litellm.InternalServerError", 500, None),
        ("litellm.ContextWindowExceededError", 400, "context_length_exceeded"),
    ],
)
async def test_a_mock_response_can_be_an_error(
    client: httpx.AsyncClient, text: str, status: int, code: str | None
) -> None:
    response = await post_chat(client, model="gpt-4o", mock_response=text)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "pattern", [r"^(?:.|.|.|.|[a-z]|\w|.)*\x00", "a{99999999}b", "(", r"(?:(?:a{999}){999})b"]
)
def test_a_hostile_pattern_does_not_stop_the_gateway(pattern: str) -> None:
    """Any client may send one to the demo model."""
    properties = {f"p{n}": {"type": "string", "pattern": pattern} for n in range(2_000)}
    start = time.monotonic()
    value = example_value({"type": "object", "properties": properties})
    assert time.monotonic() - start < 3
    assert len(value) == 2_000
