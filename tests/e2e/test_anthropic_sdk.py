"""The official `anthropic` SDK on a live gateway, on providers of both dialects."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import TextBlock, ThinkingBlock, ToolUseBlock

from tests.e2e.sdk_inputs import PIXEL, TWO_CALLS, City
from tests.e2e.stack import GatewayStack
from tests.fakes import Refusal, ScriptedResponse, StrictAnthropic

pytestmark = [
    pytest.mark.e2e,
    # The SDK warns of models that reach their end; the names stay good examples.
    pytest.mark.filterwarnings("ignore:The model '.*' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using Claude with:UserWarning"),
]

CHAT, MESSAGES, DEEP = "gpt-4o", "claude-sonnet-4-5", "deepseek-v4-pro"
BOTH = pytest.mark.parametrize("model", [CHAT, MESSAGES], ids=["on_chat", "on_messages"])
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture
def client(stack: GatewayStack, request: pytest.FixtureRequest) -> Iterator[anthropic.Anthropic]:
    """Return the client of Anthropic's own platform, or that of another in `PLATFORMS`."""
    with new_client(getattr(request, "param", "anthropic"), stack) as api_client:
        yield api_client


def new_client(platform: str, stack: GatewayStack, key: str = "") -> Any:
    url, key = stack.gateway.url, key or stack.gateway.key
    if platform == "vertex":
        access: Any = {"access_token": key, "project_id": "p", "region": "eu"}
        return anthropic.AnthropicVertex(base_url=f"{url}/v1", max_retries=0, **access)
    if platform == "bedrock":
        return anthropic.AnthropicBedrock(
            base_url=url, api_key=key, aws_region="eu-west-1", max_retries=0
        )
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)


PLATFORMS = pytest.mark.parametrize("client", ["anthropic", "vertex", "bedrock"], indirect=True)


def user(text: Any) -> Any:
    return [{"role": "user", "content": text}]


def result(id_: str, content: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id_, "content": content}


@PLATFORMS
@BOTH
def test_a_complete_response_is_parsed(client: anthropic.Anthropic, model: str) -> None:
    response = client.messages.create(model=model, max_tokens=100, messages=user("Hello there"))
    [block] = response.content
    assert isinstance(block, TextBlock)
    assert block.text == "Hello from the strict upstream."
    assert response.stop_reason == "end_turn"
    assert (response.usage.input_tokens, response.usage.output_tokens) == (11, 23)


@BOTH
def test_the_older_api_version_and_header_are_accepted(stack: GatewayStack, model: str) -> None:
    with anthropic.Anthropic(
        base_url=f"{stack.gateway.url}/anthropic",
        api_key="unused",
        default_headers={
            "anthropic-version": "2023-06-01",
            "x-api-key": stack.gateway.key,
            "Authorization": "",
        },
        max_retries=0,
    ) as client:
        response = client.messages.create(
            model=model,
            max_tokens=9,
            messages=user("Hello there"),
            extra_body={"temperature": 0.3},
        )
    assert response.stop_reason == "end_turn"


@PLATFORMS
@BOTH
def test_a_stream_adds_up_to_the_response(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(
        model=model, max_tokens=100, messages=user("Hello there")
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "Hello from the strict upstream."
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 23)


@BOTH
def test_raw_events_follow_the_grammar(client: anthropic.Anthropic, model: str) -> None:
    events = [
        event.type
        for event in client.messages.create(
            model=model, max_tokens=100, messages=user("Hello there"), stream=True
        )
        if event.type not in {"content_block_delta", "ping"}
    ]
    assert events == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@PLATFORMS
@pytest.mark.parametrize("model", [CHAT, MESSAGES, DEEP])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_parallel_tool_calls_make_a_round_trip(
    stack: GatewayStack, client: anthropic.Anthropic, model: str, stream: bool
) -> None:
    prompt = f"Weather of two cities, {model} {stream}"
    stack.on(
        prompt,
        ScriptedResponse(text="I will look.", calls=TWO_CALLS, interleaved=True, reasoning="Hm."),
    )
    params: dict[str, Any] = {"model": model, "max_tokens": 4000, "tools": [WEATHER]}
    if model != CHAT:
        params["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    if stream:
        with client.messages.stream(messages=user(prompt), **params) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(messages=user(prompt), **params)
    assert message.stop_reason == "tool_use"
    calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
    assert [(c.id, c.input) for c in calls] == [
        ("toolu_a", {"city": "Paris"}),
        ("toolu_b", {"city": "Rome"}),
    ]
    results = [result("toolu_a", "sun"), result("toolu_b", [{"type": "text", "text": "rain"}])]
    content = [block.model_dump(exclude_none=True) for block in message.content]
    history = [*user(prompt), {"role": "assistant", "content": content}, *user(results)]
    second = client.messages.create(messages=history, **params)
    assert texts(second) == "The tools answered: sun | rain"


def texts(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, TextBlock))


@BOTH
def test_an_image_reaches_the_provider(
    stack: GatewayStack, client: anthropic.Anthropic, model: str
) -> None:
    prompt = f"What is on it, {model}?"
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    blocks = [{"type": "text", "text": prompt}, {"type": "image", "source": source}]
    client.messages.create(model=model, max_tokens=9, messages=user(blocks))
    server, recorded_request = stack.last(prompt)
    part = recorded_request.body["messages"][0]["content"][1]
    if isinstance(server, StrictAnthropic):
        assert part == blocks[1]
    else:
        assert part["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"


def test_an_image_in_a_tool_result_moves_to_a_user_message(
    stack: GatewayStack, client: anthropic.Anthropic
) -> None:
    prompt = "Look at the screenshot"
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    call = {"type": "tool_use", "id": "toolu_s", "name": "get_weather", "input": {"city": "x"}}
    seen_by_tool = [{"type": "text", "text": "here"}, {"type": "image", "source": source}]
    history = [
        *user(prompt),
        {"role": "assistant", "content": [call]},
        *user([result("toolu_s", seen_by_tool)]),
    ]
    response = client.messages.create(model=CHAT, max_tokens=9, messages=history, tools=[WEATHER])
    assert "here" in texts(response)
    _, recorded_request = stack.last(prompt)
    roles = [message["role"] for message in recorded_request.body["messages"]]
    assert roles == ["user", "assistant", "tool", "user"]
    assert base64.b64decode(PIXEL)
    assert PIXEL in str(recorded_request.body["messages"][3])


@PLATFORMS
@BOTH
def test_structured_output_is_parsed(
    stack: GatewayStack, client: anthropic.Anthropic, model: str
) -> None:
    prompt = f"The largest city, {model}"
    stack.on(prompt, ScriptedResponse(text='{"name":"Tokyo","inhabitants":37}'))
    parsed_message = client.messages.parse(
        model=model, max_tokens=100, messages=user(prompt), output_format=City
    )
    assert parsed_message.parsed_output == City(name="Tokyo", inhabitants=37)


@pytest.mark.parametrize("model", [MESSAGES, DEEP], ids=["on_messages", "on_deepseek"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_thinking_has_a_signature(
    stack: GatewayStack, client: anthropic.Anthropic, model: str, stream: bool
) -> None:
    prompt = f"Think about it {model} {stream}"
    stack.on(prompt, ScriptedResponse(reasoning="Let me see.", text="Done."))
    params: dict[str, Any] = {
        "model": model,
        "max_tokens": 4000,
        "messages": user(prompt),
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    if stream:
        with client.messages.stream(**params) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**params)
    thought, text = message.content
    assert isinstance(thought, ThinkingBlock)
    assert isinstance(text, TextBlock)
    assert (thought.thinking, text.text) == ("Let me see.", "Done.")
    assert thought.signature


def test_reasoning_of_another_provider_is_dropped(
    stack: GatewayStack, client: anthropic.Anthropic
) -> None:
    """A signature that Claude did not create would be refused."""
    prompt = "Think, then change the model"
    stack.on(prompt, ScriptedResponse(reasoning="Deep.", text="Done."))
    thinking: Any = {"type": "enabled", "budget_tokens": 2000}
    fields: dict[str, Any] = {"max_tokens": 4000, "thinking": thinking}
    response = client.messages.create(model=DEEP, messages=user(prompt), **fields)
    content = [block.model_dump(exclude_none=True) for block in response.content]
    history = [*user(prompt), {"role": "assistant", "content": content}, *user("And now?")]
    second = client.messages.create(model=MESSAGES, messages=history, **fields)
    assert second.stop_reason == "end_turn"


@pytest.mark.parametrize("client", ["anthropic", "vertex"], indirect=True)
@BOTH
def test_tokens_are_counted(client: anthropic.Anthropic, model: str) -> None:
    counted = client.messages.count_tokens(model=model, messages=user("Hello " * 100))
    assert counted.input_tokens > 50


def test_an_estimated_count_is_marked(client: anthropic.Anthropic) -> None:
    params = {"model": "deepseek-v4-pro", "messages": user("Hello")}
    raw = client.messages.with_raw_response.count_tokens(**params)
    assert any("estimate" in f"{name}: {value}" for name, value in raw.headers.items())


def test_models_are_listed_and_retrieved(client: anthropic.Anthropic) -> None:
    models_by_id = {model.id: model for model in client.models.list(limit=100)}
    assert {CHAT, MESSAGES} <= set(models_by_id)
    assert models_by_id[CHAT].type == "model"
    assert client.models.retrieve(CHAT).id == CHAT
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("no-such-model")


REFUSALS: dict[str, tuple[Refusal, Refusal, type[anthropic.APIStatusError], int]] = {
    "bad_request": (
        Refusal(400, "invalid_request_error", "No.", "invalid_value"),
        Refusal(400, "invalid_request_error", "No."),
        anthropic.BadRequestError,
        400,
    ),
    "context_length": (
        Refusal(400, "invalid_request_error", "Too long.", "context_length_exceeded", "messages"),
        Refusal(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
        anthropic.BadRequestError,
        400,
    ),
    "rate_limit": (
        Refusal(429, "requests", "Slow.", "rate_limit_exceeded", headers={"retry-after": "7"}),
        Refusal(429, "rate_limit_error", "Slow.", headers={"retry-after": "7"}),
        anthropic.RateLimitError,
        429,
    ),
    "overloaded": (
        Refusal(503, "server_error", "Busy.", "server_is_overloaded"),
        Refusal(529, "overloaded_error", "Overloaded"),
        anthropic.InternalServerError,
        529,
    ),
    "server_error": (
        Refusal(500, "server_error", "Broke."),
        Refusal(500, "api_error", "Broke."),
        anthropic.InternalServerError,
        500,
    ),
    "upstream_auth": (
        Refusal(401, "invalid_request_error", "Bad key.", "invalid_api_key"),
        Refusal(401, "authentication_error", "Bad key."),
        anthropic.InternalServerError,
        500,
    ),
}


@BOTH
@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_refusals_raise_the_exceptions_of_the_sdk(
    stack: GatewayStack, client: anthropic.Anthropic, model: str, kind: str, stream: bool
) -> None:
    prompt = f"Refuse with {kind}"
    chat, messages, expected_error, status = REFUSALS[kind]
    stack.openai.script.on(prompt, ScriptedResponse(error=chat))
    stack.anthropic.script.on(prompt, ScriptedResponse(error=messages))
    with pytest.raises(anthropic.APIStatusError) as error:
        client.messages.create(model=model, max_tokens=9, messages=user(prompt), stream=stream)
    assert isinstance(error.value, expected_error)
    assert error.value.status_code == status
    if kind == "context_length":
        assert "prompt is too long" in error.value.message
    if kind == "rate_limit":
        assert error.value.response.headers["retry-after"] == "7"


@BOTH
@pytest.mark.parametrize(
    ("kind", "expected_error", "text"),
    [
        ("context_length", anthropic.BadRequestError, "prompt is too long"),
        ("rate_limit", anthropic.RateLimitError, "Slow."),
        ("overloaded", anthropic.InternalServerError, "Busy|Overloaded"),
        ("upstream_auth", anthropic.InternalServerError, "Bad key."),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_refusals_on_bedrock_have_its_form(
    stack: GatewayStack, model: str, kind: str, expected_error: Any, text: str, stream: bool
) -> None:
    prompt = f"Refuse on Bedrock with {kind}"
    chat, messages, _, _ = REFUSALS[kind]
    stack.openai.script.on(prompt, ScriptedResponse(error=chat))
    stack.anthropic.script.on(prompt, ScriptedResponse(error=messages))
    with (
        new_client("bedrock", stack) as client,
        pytest.raises(expected_error, match=text) as error,
    ):
        client.messages.create(model=model, max_tokens=9, messages=user(prompt), stream=stream)
    assert error.value.body.keys() == {"message"}
    assert error.value.response.headers["x-amzn-errortype"].endswith("Exception")


@pytest.mark.parametrize(
    ("platform", "expected_error"),
    [
        ("anthropic", anthropic.AuthenticationError),
        ("vertex", anthropic.AuthenticationError),
        ("bedrock", anthropic.PermissionDeniedError),
    ],
)
def test_an_unknown_key_is_an_authentication_error(
    stack: GatewayStack, platform: str, expected_error: type[Exception]
) -> None:
    with (
        new_client(platform, stack, "sk-nobody") as client,
        pytest.raises(expected_error),
    ):
        client.messages.create(model=CHAT, max_tokens=9, messages=user("Hi"))


@PLATFORMS
def test_an_unknown_model_is_not_found(client: anthropic.Anthropic) -> None:
    """Claude Code treats a 400 as an unsupported feature and retries six times."""
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="no-such-model", max_tokens=9, messages=user("Hi"))


@PLATFORMS
@BOTH
@pytest.mark.parametrize("breaks", ["cut", "error"])
def test_a_broken_stream_raises(
    stack: GatewayStack, client: anthropic.Anthropic, model: str, breaks: str
) -> None:
    prompt = f"Break by {breaks}"
    stack.on(
        prompt,
        ScriptedResponse(
            text="A long and winding answer that never ends.", breaks=breaks, pace_s=0.02
        ),
    )
    with (
        pytest.raises(anthropic.APIError),
        client.messages.stream(model=model, max_tokens=9, messages=user(prompt)) as stream,
    ):
        stream.get_final_message()


@PLATFORMS
@BOTH
def test_leaving_a_stream_closes_the_provider(
    stack: GatewayStack, client: anthropic.Anthropic, model: str
) -> None:
    prompt = f"Talk for long to Anthropic, {model}"
    stack.on(prompt, ScriptedResponse(text="word " * 400, pace_s=0.02))
    with client.messages.stream(model=model, max_tokens=9, messages=user(prompt)) as stream:
        next(iter(stream.text_stream))
    assert stack.saw_disconnect(prompt)


@BOTH
def test_disconnecting_closes_the_upstream_of_an_unstreamed_request(
    stack: GatewayStack, client: anthropic.Anthropic, model: str
) -> None:
    prompt = f"Think for long, Anthropic, {model}"
    stack.on(prompt, ScriptedResponse(text="late", first_s=20))
    with pytest.raises(anthropic.APITimeoutError):
        client.messages.create(model=model, max_tokens=9, messages=user(prompt), timeout=2)
    assert stack.saw_disconnect(prompt)


@PLATFORMS
def test_passthrough_keeps_unknown_fields(stack: GatewayStack, client: anthropic.Anthropic) -> None:
    prompt = "Keep my cache mark"
    block = {"type": "text", "text": prompt, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    client.messages.create(
        model=MESSAGES,
        max_tokens=9,
        messages=user([block]),
        metadata={"user_id": "somebody"},
        extra_headers={"anthropic-beta": "context-1m-2025-08-07"},
    )
    _, recorded_request = stack.last(prompt)
    assert recorded_request.body["messages"][0]["content"] == [block]
    assert recorded_request.body.keys().isdisjoint({"anthropic_version", "anthropic_beta"})
    assert recorded_request.headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert recorded_request.headers["anthropic-version"] == "2026-10-21"


def test_no_credential_of_the_client_reaches_the_provider(
    stack: GatewayStack, client: anthropic.Anthropic
) -> None:
    prompt = "Keep my key"
    client.messages.create(model=CHAT, max_tokens=9, messages=user(prompt))
    _, recorded_request = stack.last(prompt)
    assert stack.gateway.key not in str(recorded_request.headers)
    assert stack.gateway.key.encode() not in recorded_request.raw
