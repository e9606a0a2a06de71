"""The official `cohere` client, version 2 of the API."""

from __future__ import annotations

import json
from typing import Any

import cohere
from scenarios import (
    AS_JSON,
    BASE,
    BOTH_CITIES,
    CITY,
    HELLO,
    KEY,
    PLACE,
    TOOL,
    TOOL_DESCRIPTION,
    main,
    reasoning_prompts,
    weather,
)

client = cohere.ClientV2(base_url=BASE, api_key=KEY)
FUNCTION = {"name": TOOL, "description": TOOL_DESCRIPTION, "parameters": CITY}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]


def text(model: str) -> str:
    """Return the text of a response."""
    return message_text(client.chat(model=model, messages=[user(HELLO)]).message)


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    events = client.chat_stream(model=model, messages=[user(HELLO)])
    return [event.delta.message.content.text for event in events if event.type == "content-delta"]


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return turn(model, [], BOTH_CITIES)


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    history: list[Any] = []
    return [
        turn(model, history, prompt, thinking={"type": "enabled"})
        for prompt in reasoning_prompts(model)
    ]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    response_format: Any = {"type": "json_object", "json_schema": PLACE}
    response = client.chat(model=model, messages=[user(AS_JSON)], response_format=response_format)
    return [json.loads(message_text(response.message))]


def embed(model: str) -> list[int]:
    """Return the lengths of the vectors of two texts."""
    response = client.embed(model=model, texts=["a", "bbb"], input_type="search_document")
    return [len(vector) for vector in response.embeddings.float_ or []]


def user(content: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": content}


def message_text(message: Any) -> str:
    """Return the text of a message."""
    return "".join(item.text for item in message.content or [] if item.type == "text")


def turn(model: str, history: list[Any], prompt: str, **more: Any) -> str:
    """Send a prompt, run the called tools, and repeat until there are no calls."""
    history.append(user(prompt))
    for _ in range(4):
        message = client.chat(model=model, messages=history, tools=TOOLS, **more).message
        history.append(message)
        if not message.tool_calls:
            return message_text(message)
        for call in message.tool_calls:
            sent_weather = weather(**json.loads(call.function.arguments))
            history.append({"role": "tool", "tool_call_id": call.id, "content": sent_weather})
    raise RuntimeError("the tools are called without end")


if __name__ == "__main__":
    main(
        text=text,
        stream=stream,
        tools=tools,
        thinking=thinking,
        structured=structured,
        embed=embed,
    )
