"""Message threads of the `anthropic` SDK: its tool runner uses them unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import beta_tool

from tests.e2e.stack import GatewayStack
from tests.fakes import Call, ScriptedResponse

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:The model '.*' is deprecated:DeprecationWarning"),
]

CHAT, MESSAGES, DEEP = "gpt-4o", "claude-sonnet-4-5", "deepseek-v4-pro"
EVERY = pytest.mark.parametrize("model", [CHAT, MESSAGES, DEEP])
CITIES = ("Paris", "Rome")


@beta_tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"sun in {city}"


@pytest.fixture
def client(stack: GatewayStack) -> Iterator[anthropic.Anthropic]:
    calls = tuple(Call("get_weather", {"city": city}, f"toolu_{city}") for city in CITIES)
    then = ScriptedResponse(text="It is: {results}")
    stack.on("Paris and Rome", ScriptedResponse(calls=calls, then=then))
    with anthropic.Anthropic(
        base_url=stack.gateway.url, api_key=stack.gateway.key, max_retries=0
    ) as api_client:
        yield api_client


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@EVERY
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_tool_runner_gets_the_last_response(
    client: anthropic.Anthropic, model: str, stream: bool
) -> None:
    prompt: Any = [{"role": "user", "content": "The weather in Paris and Rome?"}]
    runner: Any = client.beta.messages.tool_runner(
        model=model, max_tokens=900, messages=prompt, tools=[get_weather], stream=stream
    )
    responses = [turn.get_final_message() if stream else turn for turn in runner]
    assert all(f"sun in {city}" in text_of(responses[-1]) for city in CITIES)


@EVERY
def test_a_thread_keeps_its_history(
    stack: GatewayStack, client: anthropic.Anthropic, model: str
) -> None:
    thread = client.beta.messages.thread(model=model, max_tokens=900, system="Be short.")
    prompts = [f"Turn {number} with {model}" for number in range(3)]
    for prompt in prompts:
        assert text_of(thread.send({"role": "user", "content": prompt}))
    _, request = stack.last(prompts[-1])
    if model == MESSAGES:
        assert request.body["thread"]["type"] == "continue"
        assert [message["content"] for message in request.body["messages"]] == prompts[-1:]
    else:
        assert all(prompt.encode() in request.raw for prompt in prompts)
        assert "thread" not in request.body
