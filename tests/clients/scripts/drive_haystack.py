"""Haystack's chat generators, and its agent, which runs the tools."""

from __future__ import annotations

import json
import os
from typing import Any

from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.tools import tool
from haystack.utils import Secret
from place import Place
from scenarios import (
    AS_JSON,
    BASE,
    BOTH_CITIES,
    HELLO,
    KEY,
    VARIANT,
    main,
    reasoning_prompts,
    weather,
)

SECRET = Secret.from_token(KEY)


@tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return weather(city)


def generator(model: str, *, thinks: bool = False, **more: Any) -> Any:
    """Return the chat generator of this variant."""
    if VARIANT == "anthropic":
        from haystack_integrations.components.generators.anthropic import AnthropicChatGenerator

        # It has no parameter for the base URL.
        os.environ["ANTHROPIC_BASE_URL"] = BASE
        options: dict[str, Any] = {"max_tokens": 4096}
        if thinks:
            options["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        return AnthropicChatGenerator(
            api_key=SECRET,
            model=model,
            max_retries=0,
            generation_kwargs=options,
            ignore_tools_thinking_messages=False,
            **more,
        )
    from haystack.components.generators.chat import (
        OpenAIChatGenerator,
        OpenAIResponsesChatGenerator,
    )

    kind: Any = OpenAIChatGenerator
    options = {"reasoning_effort": "high"} if thinks else {}
    if VARIANT == "responses":
        kind = OpenAIResponsesChatGenerator
        if thinks:
            options = {"reasoning": {"effort": "high", "summary": "auto"}, "store": False}
            options["include"] = ["reasoning.encrypted_content"]
    return kind(
        api_key=SECRET,
        model=model,
        api_base_url=f"{BASE}/v1",
        max_retries=0,
        generation_kwargs=options,
        **more,
    )


def text(model: str) -> str:
    """Return the text of a response."""
    return str(generator(model).run([ChatMessage.from_user(HELLO)])["replies"][0].text)


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    chunks: list[StreamingChunk] = []
    generator(model, streaming_callback=chunks.append).run([ChatMessage.from_user(HELLO)])
    return [chunk.content for chunk in chunks if chunk.content]


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    agent = Agent(chat_generator=generator(model), tools=[get_weather])
    return str(agent.run([ChatMessage.from_user(BOTH_CITIES)])["messages"][-1].text)


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    agent = Agent(chat_generator=generator(model, thinks=True), tools=[get_weather])
    messages: list[ChatMessage] = []
    told = []
    for prompt in reasoning_prompts(model):
        messages = agent.run([*messages, ChatMessage.from_user(prompt)])["messages"]
        told.append(str(messages[-1].text))
    return told


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    option = "text_format" if VARIANT == "responses" else "response_format"
    message = ChatMessage.from_user(AS_JSON)
    replies = generator(model).run([message], generation_kwargs={option: Place})["replies"]
    return [json.loads(replies[0].text)]


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
