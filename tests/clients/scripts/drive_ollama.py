"""The official `ollama` client."""

from __future__ import annotations

import json
from typing import Any

import ollama
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

client = ollama.Client(host=BASE, headers={"Authorization": f"Bearer {KEY}"})
FUNCTION = {"name": TOOL, "description": TOOL_DESCRIPTION, "parameters": CITY}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]


def text(model: str) -> str:
    """Return the text of a response."""
    return client.chat(model, [user(HELLO)]).message.content or ""


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    chunks = client.chat(model, [user(HELLO)], stream=True)
    return [chunk.message.content for chunk in chunks if chunk.message.content]


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return turn(model, [], BOTH_CITIES, think=None)


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    history: list[Any] = []
    return [turn(model, history, prompt, think=True) for prompt in reasoning_prompts(model)]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    return [json.loads(client.chat(model, [user(AS_JSON)], format=PLACE).message.content or "")]


def embed(model: str) -> list[int]:
    """Return the lengths of the vectors of two texts."""
    return [len(vector) for vector in client.embed(model, ["a", "bbb"]).embeddings]


def user(content: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": content}


def turn(model: str, history: list[Any], prompt: str, *, think: bool | None) -> str:
    """Send a prompt, run the called tools, and repeat until there are no calls."""
    history.append(user(prompt))
    for _ in range(4):
        message = client.chat(model, history, tools=TOOLS, think=think).message
        history.append(message)
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            sent_weather = weather(**call.function.arguments)
            history.append(
                {"role": "tool", "tool_name": call.function.name, "content": sent_weather}
            )
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
