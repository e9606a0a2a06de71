"""The built-in demo provider on a live gateway: every behavior through a real dialect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic.types import TextBlock, ToolUseBlock

from tests.e2e.sdk_inputs import City
from tests.e2e.stack import GatewayStack

pytestmark = pytest.mark.e2e

WEATHER: Any = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture
def claude(stack: GatewayStack) -> Iterator[anthropic.Anthropic]:
    url, key = stack.gateway.url, stack.gateway.key
    with anthropic.Anthropic(base_url=url, api_key=key, max_retries=0) as client:
        yield client


@pytest.fixture
def chat(stack: GatewayStack) -> Iterator[openai.OpenAI]:
    base, key = f"{stack.gateway.url}/v1", stack.gateway.key
    with openai.OpenAI(base_url=base, api_key=key, max_retries=0) as client:
        yield client


def user_messages(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_the_route_of_the_first_start_answers(chat: openai.OpenAI) -> None:
    response = chat.chat.completions.create(model="demo", messages=user_messages("Anybody there?"))
    assert "Anybody there?" in (response.choices[0].message.content or "")


def test_a_claude_client_gets_reasoning_before_the_response(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model="demo/demo-reasoning@0ms",
        max_tokens=4000,
        messages=user_messages("Think"),
        thinking={"type": "adaptive"},
    ) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"]


def test_a_tool_makes_a_round_trip(claude: anthropic.Anthropic) -> None:
    params: dict[str, Any] = {"model": "demo/demo-fast", "max_tokens": 500, "tools": [WEATHER]}
    messages = user_messages("What is the weather in both cities?")
    response = claude.messages.create(messages=messages, **params)
    calls = [block for block in response.content if isinstance(block, ToolUseBlock)]
    assert [call.input for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    results = [{"type": "tool_result", "tool_use_id": c.id, "content": "sun"} for c in calls]
    messages += [{"role": "assistant", "content": response.content}, *user_messages(results)]  # type: ignore[arg-type]
    response_block = claude.messages.create(messages=messages, **params).content[0]
    assert isinstance(response_block, TextBlock)
    assert response_block.text == "The 2 tools answered:\n1. sun\n2. sun"


def test_structured_output_is_an_instance(claude: anthropic.Anthropic) -> None:
    parsed_message = claude.messages.parse(
        model="demo/demo-fast", max_tokens=500, messages=user_messages("A city"), output_format=City
    )
    assert isinstance(parsed_message.parsed_output, City)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("demo-429", openai.RateLimitError),
        ("demo-500", openai.InternalServerError),
        ("demo-overloaded", openai.InternalServerError),
        ("demo-context", openai.BadRequestError),
        ("demo-html", openai.InternalServerError),
        ("no-such-demo", openai.NotFoundError),
    ],
)
def test_faults_raise_the_exceptions_of_the_sdk(
    chat: openai.OpenAI, model: str, expected: type[openai.APIError]
) -> None:
    with pytest.raises(expected):
        chat.chat.completions.create(model=f"demo/{model}", messages=user_messages("Fail"))


@pytest.mark.parametrize("model", ["demo-cut@1ms", "demo-error-midway@1ms"])
def test_a_broken_stream_raises_after_some_text(claude: anthropic.Anthropic, model: str) -> None:
    pieces: list[str] = []
    with (
        pytest.raises(anthropic.APIError),
        claude.messages.stream(
            model=f"demo/{model}", max_tokens=500, messages=user_messages("Break")
        ) as stream,
    ):
        for text in stream.text_stream:
            pieces.append(text)  # noqa: PERF402 - a list made at once would be lost
    assert "".join(pieces).startswith("Hello")


def test_malformed_tool_json_is_returned_unchanged(chat: openai.OpenAI) -> None:
    tool: Any = {
        "type": "function",
        "function": {"name": "get_weather", "parameters": WEATHER["input_schema"]},
    }
    response = chat.chat.completions.create(
        model="demo/demo-bad-tool-json", messages=user_messages("Use the tool"), tools=[tool]
    )
    [call] = response.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.arguments.startswith('{"broken"')


def test_samples_of_the_postman_collection_are_answered(stack: GatewayStack) -> None:
    """As Postman sends them: with the variables filled in, otherwise unchanged."""
    body = httpx.get(f"{stack.gateway.url}/api/postman.json").json()
    folder = next(folder for folder in body["item"] if folder["name"] == "gateway")
    paths = ["v1/chat/completions", "v1/messages", "v1/responses", "v1/completions", "api/chat"]
    paths += ["v1beta/models/:id:generateContent", "v1/models", "api/tags"]
    statuses = {}
    for item in folder["item"]:
        request = item["request"]
        path = "/".join(request["url"]["path"])
        if path not in paths:
            continue
        response = httpx.request(
            request["method"],
            f"{stack.gateway.url}/{path.replace(':id', 'demo')}",
            headers={
                "authorization": f"Bearer {stack.gateway.key}",
                "content-type": "application/json",
            },
            content=request.get("body", {}).get("raw", ""),
        )
        statuses[path] = response.status_code
    assert statuses == dict.fromkeys(paths, 200)


def test_as_many_choices_are_returned_as_requested(chat: openai.OpenAI) -> None:
    response = chat.chat.completions.create(
        model="demo", messages=user_messages("Two, please"), n=2
    )
    assert [choice.index for choice in response.choices] == [0, 1]
