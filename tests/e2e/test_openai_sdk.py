"""The official `openai` SDK on a live gateway, on providers of both dialects."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.e2e.sdk_inputs import PIXEL_URL, TWO_CALLS, City
from tests.e2e.stack import GatewayStack
from tests.fakes import Refusal, ScriptedResponse, StrictAnthropic

pytestmark = pytest.mark.e2e

CHAT, MESSAGES = "gpt-4o", "claude-sonnet-4-5"
ON_EACH_PROVIDER_API = pytest.mark.parametrize(
    "model", [CHAT, MESSAGES], ids=["on_chat", "on_messages"]
)
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


@ON_EACH_PROVIDER_API
def test_a_complete_response_is_parsed(client: openai.OpenAI, model: str) -> None:
    response = client.chat.completions.create(model=model, messages=user("Hello there"))
    assert response.choices[0].message.content == "Hello from the strict upstream."
    assert response.choices[0].finish_reason == "stop"
    assert response.usage is not None
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (11, 23)


@ON_EACH_PROVIDER_API
def test_the_base_url_may_lack_v1(stack: GatewayStack, model: str) -> None:
    with openai.OpenAI(base_url=stack.gateway.url, api_key=stack.gateway.key) as client:
        response = client.chat.completions.create(model=model, messages=user("Hello there"))
    assert response.choices[0].message.content == "Hello from the strict upstream."


@ON_EACH_PROVIDER_API
def test_a_stream_adds_up_to_the_response(client: openai.OpenAI, model: str) -> None:
    chunks = list(
        client.chat.completions.create(
            model=model,
            messages=user("Hello there"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Hello from the strict upstream."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 34


@ON_EACH_PROVIDER_API
def test_usage_is_not_streamed_unless_requested(client: openai.OpenAI, model: str) -> None:
    chunks = client.chat.completions.create(model=model, messages=user("Hi"), stream=True)
    assert all(chunk.usage is None for chunk in chunks)


@ON_EACH_PROVIDER_API
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_parallel_tool_calls_make_a_round_trip(
    stack: GatewayStack, client: openai.OpenAI, model: str, stream: bool
) -> None:
    prompt = f"Weather of two cities, {model} {stream}"
    stack.on(prompt, ScriptedResponse(text="I will look.", calls=TWO_CALLS, interleaved=True))
    params: dict[str, Any] = {"model": model, "tools": [WEATHER]}
    if stream:
        with client.chat.completions.stream(messages=user(prompt), **params) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(messages=user(prompt), **params).choices[0].message
    calls = message.tool_calls or []
    assert [(c.id, c.function.name) for c in calls] == [  # type: ignore[union-attr]
        ("toolu_a", "get_weather"),
        ("toolu_b", "get_weather"),
    ]
    cities = [json.loads(c.function.arguments) for c in calls]  # type: ignore[union-attr]
    assert cities == [{"city": "Paris"}, {"city": "Rome"}]
    history = [*user(prompt), message]
    history += [
        {"role": "tool", "tool_call_id": "toolu_a", "content": "sun"},
        {"role": "tool", "tool_call_id": "toolu_b", "content": [{"type": "text", "text": "rain"}]},
    ]
    response = client.chat.completions.create(messages=history, **params)
    assert response.choices[0].message.content == "The tools answered: sun | rain"


@ON_EACH_PROVIDER_API
def test_a_forced_tool_is_forced(stack: GatewayStack, client: openai.OpenAI, model: str) -> None:
    prompt = f"Forced on {model}"
    stack.on(prompt, ScriptedResponse(calls=TWO_CALLS[:1]))
    response = client.chat.completions.create(
        model=model,
        messages=user(prompt),
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        parallel_tool_calls=False,
    )
    assert response.choices[0].finish_reason == "tool_calls"
    server, recorded_request = stack.last(prompt)
    choice = recorded_request.body["tool_choice"]
    if isinstance(server, StrictAnthropic):
        expected_error = {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}
        assert choice == expected_error
    else:
        assert choice["function"]["name"] == "get_weather"


@ON_EACH_PROVIDER_API
def test_an_image_reaches_the_provider(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    prompt = f"What is on it, {model}?"
    content = [
        {"type": "text", "text": prompt},
        {"type": "image_url", "image_url": {"url": PIXEL_URL}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
    ]
    messages: Any = [{"role": "user", "content": content}]
    client.chat.completions.create(model=model, messages=messages)
    server, recorded_request = stack.last(prompt)
    parts = recorded_request.body["messages"][0]["content"]
    if isinstance(server, StrictAnthropic):
        assert parts[1]["source"]["media_type"] == "image/png"
        assert parts[2]["source"] == {"type": "url", "url": "https://example.com/cat.jpg"}
    else:
        assert parts == content


@ON_EACH_PROVIDER_API
def test_structured_output_is_parsed(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    prompt = f"The largest city, {model}"
    stack.on(prompt, ScriptedResponse(text='{"name":"Tokyo","inhabitants":37}'))
    parsed_completion = client.chat.completions.parse(
        model=model, messages=user(prompt), response_format=City
    )
    assert parsed_completion.choices[0].message.parsed == City(name="Tokyo", inhabitants=37)
    server, recorded_request = stack.last(prompt)
    body = recorded_request.body
    form = body.get("output_config", {}).get("format") or body["response_format"]
    assert form["type"] == "json_schema"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_thinking_is_shown_as_reasoning_content(
    stack: GatewayStack, client: openai.OpenAI, stream: bool
) -> None:
    prompt = f"Think about it {stream}"
    stack.on(prompt, ScriptedResponse(reasoning="Let me see.", text="Done."))
    params: dict[str, Any] = {
        "model": MESSAGES,
        "messages": user(prompt),
        "reasoning_effort": "low",
    }
    if stream:
        chunks = list(client.chat.completions.create(stream=True, **params))
        deltas = [c.choices[0].delta for c in chunks if c.choices]
        thought = "".join(getattr(d, "reasoning_content", None) or "" for d in deltas)
    else:
        response = client.chat.completions.create(**params)
        thought = response.choices[0].message.reasoning_content  # type: ignore[attr-defined]
    assert thought == "Let me see."


def test_deepseek_reasoning_is_restored_if_the_client_omits_it(
    stack: GatewayStack, client: openai.OpenAI
) -> None:
    """DeepSeek requires its reasoning and string contents, which most Chat clients do not send."""
    prompt = "Deep weather"
    stack.on(prompt, ScriptedResponse(reasoning="I need the weather.", calls=TWO_CALLS[:1]))
    params: dict[str, Any] = {"model": "deepseek-v4-pro", "tools": [WEATHER]}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
    message = client.chat.completions.create(messages=messages, **params).choices[0].message
    assert message.reasoning_content == "I need the weather."  # type: ignore[attr-defined]
    messages.append(message.model_dump(exclude_none=True, exclude={"reasoning_content"}))
    messages.append({"role": "tool", "tool_call_id": "toolu_a", "content": "sun"})
    response = client.chat.completions.create(messages=messages, **params)
    assert response.choices[0].message.content == "The tools answered: sun"


def test_losses_for_claude_are_listed_in_headers(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MESSAGES, messages=user("Hi"), frequency_penalty=0.5, seed=3, temperature=1.7
    )
    dropped_fields = raw.headers["x-dragoman-dropped"]
    assert "frequency_penalty" in dropped_fields
    assert "seed" in dropped_fields
    assert "temperature" in raw.headers["x-dragoman-approximated"]


def test_max_tokens_is_renamed_for_a_reasoning_model(
    stack: GatewayStack, client: openai.OpenAI
) -> None:
    """On Chat to Chat the body passes through, but known refusals are avoided."""
    prompt = "Short please, gpt-5"
    client.chat.completions.create(model="gpt-5", messages=user(prompt), max_tokens=50)
    _, recorded_request = stack.last(prompt)
    assert recorded_request.body["max_completion_tokens"] == 50


REFUSALS: dict[str, tuple[Refusal, Refusal, type[openai.APIStatusError]]] = {
    "bad_request": (
        Refusal(400, "invalid_request_error", "No.", "invalid_value"),
        Refusal(400, "invalid_request_error", "No."),
        openai.BadRequestError,
    ),
    "context_length": (
        Refusal(400, "invalid_request_error", "Too long.", "context_length_exceeded", "messages"),
        Refusal(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
        openai.BadRequestError,
    ),
    "rate_limit": (
        Refusal(429, "requests", "Slow.", "rate_limit_exceeded", headers={"retry-after": "7"}),
        Refusal(429, "rate_limit_error", "Slow.", headers={"retry-after": "7"}),
        openai.RateLimitError,
    ),
    "overloaded": (
        Refusal(503, "server_error", "Busy.", "server_is_overloaded"),
        Refusal(529, "overloaded_error", "Overloaded"),
        openai.InternalServerError,
    ),
    "server_error": (
        Refusal(500, "server_error", "Broke."),
        Refusal(500, "api_error", "Broke."),
        openai.InternalServerError,
    ),
    "upstream_auth": (
        Refusal(401, "invalid_request_error", "Bad key.", "invalid_api_key"),
        Refusal(401, "authentication_error", "Bad key."),
        openai.InternalServerError,
    ),
}


@ON_EACH_PROVIDER_API
@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_refusals_raise_the_exceptions_of_the_sdk(
    stack: GatewayStack, client: openai.OpenAI, model: str, kind: str, stream: bool
) -> None:
    prompt = f"Refuse with {kind}"
    chat, messages, expected_error = REFUSALS[kind]
    stack.openai.script.on(prompt, ScriptedResponse(error=chat))
    stack.anthropic.script.on(prompt, ScriptedResponse(error=messages))
    with pytest.raises(expected_error) as error:
        client.chat.completions.create(model=model, messages=user(prompt), stream=stream)
    if kind == "context_length":
        assert error.value.code == "context_length_exceeded"
    if kind == "rate_limit":
        assert error.value.response.headers["retry-after"] == "7"
    if kind == "upstream_auth":
        assert error.value.status_code == 502


def test_an_unknown_key_is_an_authentication_error(stack: GatewayStack) -> None:
    base = f"{stack.gateway.url}/v1"
    with (
        openai.OpenAI(base_url=base, api_key="sk-nobody", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as error,
    ):
        client.chat.completions.create(model=CHAT, messages=user("Hi"))
    assert error.value.code == "invalid_api_key"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="no-such-model", messages=user("Hi"))
    assert error.value.code == "model_not_found"


@ON_EACH_PROVIDER_API
def test_invalid_input_never_reaches_the_provider(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    before = len(stack.openai.requests) + len(stack.anthropic.requests)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=model, messages=[{"role": "wizard", "content": "x"}])  # type: ignore[list-item,misc]
    assert len(stack.openai.requests) + len(stack.anthropic.requests) == before


@ON_EACH_PROVIDER_API
@pytest.mark.parametrize("breaks", ["cut", "error"])
def test_a_broken_stream_raises(
    stack: GatewayStack, client: openai.OpenAI, model: str, breaks: str
) -> None:
    prompt = f"Break by {breaks}"
    stack.on(
        prompt,
        ScriptedResponse(
            text="A long and winding answer that never ends.", breaks=breaks, pace_s=0.02
        ),
    )
    pieces: list[str] = []
    stream = client.chat.completions.create(model=model, messages=user(prompt), stream=True)
    with pytest.raises(openai.APIError):
        for chunk in stream:
            pieces.append(chunk.choices[0].delta.content or "" if chunk.choices else "")
    assert "".join(pieces).startswith("A long")


@ON_EACH_PROVIDER_API
def test_leaving_a_stream_closes_the_provider(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    prompt = f"Talk for long, {model}"
    stack.on(prompt, ScriptedResponse(text="word " * 400, pace_s=0.02))
    stream = client.chat.completions.create(model=model, messages=user(prompt), stream=True)
    next(iter(stream))
    stream.close()
    assert stack.saw_disconnect(prompt)


@ON_EACH_PROVIDER_API
def test_disconnecting_closes_the_upstream_of_an_unstreamed_request(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    prompt = f"Think for long, {model}"
    stack.on(prompt, ScriptedResponse(text="late", first_s=20))
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model=model, messages=user(prompt), timeout=2)
    assert stack.saw_disconnect(prompt)


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    models = client.models.list()
    names = {model.id for model in models}
    assert {CHAT, MESSAGES, "deepseek-v4-pro"} <= names
    assert client.models.retrieve(MESSAGES).id == MESSAGES
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_the_log_has_the_request(stack: GatewayStack, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MESSAGES, messages=user("Log me"))
    row = stack.gateway.row(raw.headers["x-request-id"])
    assert row["status"] == 200


@ON_EACH_PROVIDER_API
def test_concurrent_streams_do_not_mix(stack: GatewayStack, model: str) -> None:
    """Each stream has its own marker, which would reveal mixed connections."""
    base = f"{stack.gateway.url}/v1"

    def stream_is_intact(number: int) -> bool:
        prompt = f"Marker {model} {number:04d}."
        stack.on(prompt, ScriptedResponse(text=f"Echo {number:04d} " * 10, chunk_chars=3))
        with openai.OpenAI(base_url=base, api_key=stack.gateway.key, max_retries=0) as client:
            chunks = client.chat.completions.create(model=model, messages=user(prompt), stream=True)
            text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        return text == f"Echo {number:04d} " * 10

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(stream_is_intact, range(48)))
