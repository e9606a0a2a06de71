"""The official `anthropic` SDK."""

from __future__ import annotations

from typing import Any

import anthropic
from place import Place
from scenarios import (
    AS_JSON,
    BASE,
    BOTH_CITIES,
    CITY,
    HELLO,
    KEY,
    TOOL,
    TOOL_DESCRIPTION,
    main,
    reasoning_prompts,
    weather,
)

client = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=0)
TOOLS: Any = [{"name": TOOL, "description": TOOL_DESCRIPTION, "input_schema": CITY}]


def text(model: str) -> str:
    """Return the text of a response."""
    return message_text(client.messages.create(model=model, max_tokens=100, messages=[user(HELLO)]))


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    params: Any = {"model": model, "max_tokens": 100, "messages": [user(HELLO)]}
    with client.messages.stream(**params) as events:
        return list(events.text_stream)


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return turn(model, [], BOTH_CITIES, {})


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    history: list[Any] = []
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    return [turn(model, history, prompt, more) for prompt in reasoning_prompts(model)]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    params: Any = {"model": model, "max_tokens": 100, "messages": [user(AS_JSON)]}
    with client.messages.stream(output_format=Place, **params) as events:
        streamed = events.get_final_message()
    messages = (client.messages.parse(output_format=Place, **params), streamed)
    return [dict(message.parsed_output or {}) for message in messages]


def user(content: Any) -> Any:
    """Return a user message."""
    return {"role": "user", "content": content}


def message_text(message: Any) -> str:
    """Return the text of a response."""
    return "".join(block.text for block in message.content if block.type == "text")


def turn(model: str, history: list[Any], prompt: str, more: dict[str, Any]) -> str:
    """Send a prompt with streaming, run the called tools, and repeat until there are no calls."""
    history.append(user(prompt))
    for _ in range(4):
        params: Any = {"model": model, "max_tokens": 4096, "messages": history, **more}
        with client.messages.stream(tools=TOOLS, **params) as events:
            message = events.get_final_message()
        history.append({"role": "assistant", "content": message.content})
        calls = [block for block in message.content if block.type == "tool_use"]
        if not calls:
            return message_text(message)
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": weather(**call.input)}
            for call in calls
        ]
        history.append(user(results))
    raise RuntimeError("the tools are called without end")


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
